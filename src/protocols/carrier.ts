/** What carries a connection, and the name that the connection on it has in the whole fleet. */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'

/** What carries a connection: a `net.Socket`, or as much of one as is shown here. */
export type Carrier = Pick<
  Socket,
  'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort' | 'bytesRead' | 'bytesWritten' | 'writableLength'
>

const PROCESS_ID = randomBytes(8).toString('base64url')
let opened = 0
const ID = Symbol('shiftwork.id')

/** The id of the connection on this socket: given when it is first asked for, since hardly any HTTP connection is. */
export function idOf(socket: object): string {
  const known = socket as { [ID]?: string }
  known[ID] ??= `${PROCESS_ID}-${(opened++).toString(36)}`
  return known[ID]
}
