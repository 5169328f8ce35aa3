/** What becomes of a connected socket: a connection of the protocol that its address names. */
import type { Socket } from 'node:net'
import { type Address, isSecure, PROTOCOLS, type Speech, speechOf } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import { waitAwake } from '../patience.ts'
import type { Owner } from '../protocols/connection.ts'
import type { Protocol } from '../protocols/stream/protocol.ts'
import { StreamConnection } from '../protocols/stream/stream.ts'
import { codecOf } from '../protocols/stream/stream-server.ts'
import type { WebSocketOptions } from '../protocols/websocket/websocket-options.ts'
import { tooLate } from './dial.ts'

/** What is to be spoken. */
export interface Spoken {
  readonly address: Address
  /** The address in sentences. */
  readonly name: string
  /** Of a WebSocket, with its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly webSocket: WebSocketOptions
  /** The user's own, on top of bytes. */
  readonly protocol: Protocol | undefined
  /** For everything until it is connected. */
  readonly timeoutMs: number
}

/**
 * Makes the connection, adds it to its owner's, and calls `onConnect`. Rejects when it cannot be made.
 * @param leftMs how much of the time is left.
 */
export type Opener = (socket: Socket, owner: Owner, how: { spoken: Spoken; leftMs: number }) => Promise<void>

const openStream: Opener = (socket, owner, { spoken: { address, protocol } }) =>
  new StreamConnection(owner, socket, codecOf(address.protocol, protocol)).open()

const openWebSocket: Opener = async (socket, owner, { spoken, leftMs }) => {
  const { address, path, headers, webSocket } = spoken
  // loaded only where it is spoken
  const client = await import('../protocols/websocket/websocket-client.ts')
  const url = `${isSecure(address.protocol) ? 'wss' : 'ws'}://${hostOf(address)}${path}`
  // it was lost meanwhile, and would not say so again
  if (socket.destroyed) throw socket.errored ?? new Error('it hung up')
  let endWait = (): void => undefined
  const late = new Promise<never>((_, reject) => {
    endWait = waitAwake(leftMs, () => {
      reject(tooLate(spoken, 'its WebSocket handshake was not done'))
      socket.destroy()
    })
  })
  try {
    await Promise.race([client.openWebSocket(socket, owner, { url, headers, webSocket }), late])
  } finally {
    endWait()
  }
}

function hostOf(address: Address): string {
  if (address.kind === 'unix') return 'localhost'
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** One row for each protocol that a worker can be a client of. */
const OPENERS: Partial<Record<Speech, Opener>> = {
  tcp: openStream,
  text: openStream,
  frame: openStream,
  websocket: openWebSocket,
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
