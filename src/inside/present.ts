/**
 * What user code inside a worker process works with: who the worker is, what it is a client of, and its
 * timers. It stands on the process, so that another copy of this package finds it, too.
 */
import type { Server } from 'node:net'
import { ShiftworkError } from '../errors.ts'
import type { Branch } from '../protocols/branch.ts'
import type { WorkerView } from '../protocols/connection.ts'
import type { Timers } from './timers.ts'
import type { Upstreams } from './upstreams.ts'

export interface Inside {
  readonly worker: WorkerView
  readonly upstreams: Upstreams
  readonly timers: Timers
  /** A place for the connections of one more listener. */
  branch(how: { partsLast: boolean; isInternal: boolean }): Branch
  /** It accepts until `onWorkerStop` has settled. */
  keepListening(server: Server): void
  /** Its connections are not missed when they are cut. */
  discount(server: Server): void
}

const INSIDE = Symbol.for('shiftwork.inside')

/** From now on this process is that worker. */
export function enter(inside: Inside): void {
  Object.assign(process, { [INSIDE]: inside })
}

/** Whether this process is a worker whose start file was read. */
export function isInside(): boolean {
  return INSIDE in process
}

/**
 * @param what the caller, for the sentence.
 * @throws ShiftworkError `ERR_NOT_IN_WORKER` in the master, on the command line, and at the top level of a start file.
 */
export function findInside(what: string): Inside {
  const inside = (process as unknown as Record<symbol, Inside | undefined>)[INSIDE]
  if (inside) return inside
  throw new ShiftworkError('ERR_NOT_IN_WORKER', `${what} works in a worker only`, {
    hint: 'Call it inside onWorkerStart or another hook, or in a file that is imported there.',
  })
}
