/** Limits and times of one connection, as plain data, and what they are where the user has said nothing. */
import { CONNECTION_DEFAULTS } from '../spec/connections.ts'

/** Limits and times of one connection. */
export interface ConnectionLimits {
  /** A message that is longer ends its connection. */
  maxMessageBytes: number
  /** While more than this waits to be sent, `send` drops. */
  maxSendBufferBytes: number
  /** A client from which nothing came for so long is disconnected; 0: never. */
  idleTimeoutMs: number
  heartbeat: Heartbeat | null
}

/** Keeps a connection alive, and finds out that the other side is gone. */
export interface Heartbeat {
  /** How often a silent client is asked for a sign of life. */
  everyMs: number
  /** How many times in a row it may give none before it is disconnected. */
  maxMissed: number
  /** What is sent; null: the ping of the protocol, where it has one. */
  data: unknown
}

/** What the user has left out is the default. */
export function limitsOf(options: Readonly<Record<string, unknown>>): ConnectionLimits {
  const { heartbeat, ...numbers } = options as Partial<ConnectionLimits>
  return {
    maxMessageBytes: numbers.maxMessageBytes ?? CONNECTION_DEFAULTS.maxMessageBytes,
    maxSendBufferBytes: numbers.maxSendBufferBytes ?? CONNECTION_DEFAULTS.maxSendBufferBytes,
    idleTimeoutMs: numbers.idleTimeoutMs ?? CONNECTION_DEFAULTS.idleTimeoutMs,
    heartbeat: heartbeat ? { ...heartbeat, maxMissed: heartbeat.maxMissed ?? CONNECTION_DEFAULTS.maxMissed } : null,
  }
}
