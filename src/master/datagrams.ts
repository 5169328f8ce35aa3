/**
 * A UDP socket that is bound and never read: what comes for it waits in the kernel until a worker takes
 * it. The public `bind` of `node:dgram` begins to read at once, and the master would take what is meant
 * for its workers; so this file, and no other, reaches below it for the handle (a member of the socket's
 * state, in every version from 12 to 26). Called by `listeners`.
 */
import { createSocket } from 'node:dgram'

/** As much of Node's UDP handle as is used here. It can be sent with `child.send(message, handle)`. */
export interface DatagramHandle {
  /** @returns 0, or the system's error as a negative number. */
  bind(ip: string, port: number, flags: number): number
  getsockname(out: { port?: number }): number
  close(): void
}

/** How `node:dgram` describes the symbol of its sockets' state. */
const STATE = 'state symbol'

/** A handle that is bound to nothing yet; null on a Node.js that lacks what this file stands on. */
export function createDatagramHandle(family: number): DatagramHandle | null {
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === STATE)
  const state =
    symbol && (socket as unknown as Record<symbol, { handle?: Partial<DatagramHandle> } | undefined>)[symbol]
  const handle = state?.handle
  if (typeof handle?.bind === 'function' && typeof handle.getsockname === 'function') return handle as DatagramHandle
  socket.close()
  return null
}

/** For the self-check at start. */
export function canHoldDatagrams(): boolean {
  const handle = createDatagramHandle(4)
  handle?.close()
  return handle !== null
}
