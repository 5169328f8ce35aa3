/** What becomes of a connected socket: a connection of the protocol that its address names. */
import type { Socket } from 'node:net'
import { type Address, PROTOCOLS, type Speech, speechOf } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import type { Owner } from '../protocols/connection.ts'
import type { Protocol } from '../protocols/stream/protocol.ts'
import { StreamConnection } from '../protocols/stream/stream.ts'
import { codecOf } from '../protocols/stream/stream-server.ts'

/** What is to be spoken. */
export interface Spoken {
  readonly address: Address
  /** The user's own, on top of bytes. */
  readonly protocol: Protocol | undefined
}

/** Makes the connection, adds it to its owner's, and calls `onConnect`. Settles when that is done or has failed. */
export type Opener = (socket: Socket, owner: Owner, spoken: Spoken) => Promise<void>

const openStream: Opener = (socket, owner, { address, protocol }) =>
  new StreamConnection(owner, socket, codecOf(address.protocol, protocol)).open()

/** One row for each protocol that a worker can be a client of. */
const OPENERS: Partial<Record<Speech, Opener>> = {
  tcp: openStream,
  text: openStream,
  frame: openStream,
}

/** @throws ShiftworkError `ERR_ADDRESS` where nobody here can be a client. */
export function openerOf(address: Address): Opener {
  const speech = speechOf(address.protocol)
  const opener = OPENERS[speech]
  if (opener) return opener
  const known = PROTOCOLS.filter((protocol) => OPENERS[speechOf(protocol)])
  throw new ShiftworkError('ERR_ADDRESS', `Cannot connect to "${address.text}": connect does not speak ${speech}`, {
    hint: speech === 'http' ? 'Use fetch.' : `It speaks ${known.join(', ')}.`,
  })
}
