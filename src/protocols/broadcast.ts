/**
 * One message to every open connection of a process: for `worker.broadcast`, and for what the master
 * hands on of `Worker.broadcast`.
 */
import { describeError } from '../errors.ts'
import type { Connection } from './connection.ts'
import type { ConnectionState } from './connection-state.ts'

/** One whose `onConnect` has not settled is nobody yet. */
const TAKING: ReadonlySet<ConnectionState> = new Set(['open', 'parting'])

/**
 * One that is closed or has a full buffer is not waited for: its `onError` is told, as of any `send`. What
 * `encode` throws costs no connection its life and no other the message, and is logged once.
 * @returns how many took it. HTTP takes only answers: none.
 */
export function broadcastTo(connections: Iterable<Connection>, data: unknown): number {
  let taken = 0
  let failure: { error: unknown } | null = null
  for (const connection of connections) {
    if (!connection.takesPush || !TAKING.has(connection.state)) continue
    try {
      if (connection.sendShared(data) !== false) taken++
    } catch (error) {
      failure ??= { error }
    }
  }
  if (failure) console.error(`shiftwork: a broadcast cannot be sent: ${describeError(failure.error).stack}`)
  return taken
}
