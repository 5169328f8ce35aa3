/** A master seen again and again: when to look, and until when. For a view and for a stream of statuses. */
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError } from '../errors.ts'
import type { MasterStatus, SeenStatus } from '../ipc/status.ts'
import type { StateDir } from '../os/statedir.ts'
import { notRunning } from './client.ts'
import { lookAt } from './look.ts'
import { OtherVersion } from './otherversion.ts'

/** What one look brought. */
export type Sight =
  | { master: 'speaks'; status: SeenStatus; problem: null }
  /** It does not answer; the status is the process table's. */
  | { master: 'silent'; status: SeenStatus; problem: ShiftworkError }
  | { master: 'gone'; status: null; problem: ShiftworkError }

export interface Pace {
  everyMs: number
  /** How often while something goes on, if that is more often. */
  busyMs: number
  signal: AbortSignal
}

/** A look may take long, and a master must have some rest. */
const MIN_PAUSE_MS = 50
const BUSY: ReadonlySet<MasterStatus['state']> = new Set(['starting', 'reloading', 'stopping'])

/**
 * Looks until the signal comes. A master that ends is waited for.
 * @throws ShiftworkError when nothing runs at the first look, or it becomes another user's, or is of another version.
 */
export async function* sightsOf(stateDir: StateDir, { everyMs, busyMs, signal }: Pace): AsyncGenerator<Sight> {
  for (let isFirst = true; !signal.aborted; isFirst = false) {
    const beganMs = performance.now()
    const sight = await unlessAborted(see(stateDir), signal)
    if (sight === null) return
    if (isFirst && sight.master === 'gone') throw sight.problem
    yield sight
    const pauseMs = isQuiet(sight) ? everyMs : Math.min(everyMs, busyMs)
    await unlessAborted(delay(Math.max(MIN_PAUSE_MS, pauseMs - (performance.now() - beganMs))), signal)
  }
}

/** Null: the signal has come first. Nothing of it is left when it is over: a view is open for weeks. */
function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value | null> {
  return new Promise((resolve, reject) => {
    const abort = (): void => resolve(null)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

async function see(stateDir: StateDir): Promise<Sight> {
  try {
    const { status, problem } = await lookAt(stateDir)
    return problem ? { master: 'silent', status, problem } : { master: 'speaks', status, problem }
  } catch (error) {
    // it ended before it was asked, or while it was
    const isGone = error instanceof ShiftworkError && ['ERR_NOT_RUNNING', 'ERR_NO_ANSWER'].includes(error.code)
    if (!isGone || error instanceof OtherVersion) throw error
    return { master: 'gone', status: null, problem: notRunning() }
  }
}

function isQuiet(sight: Sight): boolean {
  return sight.status !== null && !BUSY.has(sight.status.master.state)
}
