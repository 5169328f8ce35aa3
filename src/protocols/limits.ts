/** The limits of a connection, from options that were checked. */
import { CONNECTION_DEFAULTS } from '../spec/connections.ts'
import type { ConnectionLimits } from './connection.ts'

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
