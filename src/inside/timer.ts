/** `Timer`: work of a worker that nobody asks for. The public face of `timers`. */
import { describeError, ShiftworkError } from '../errors.ts'
import { OptionCheck, show } from '../spec/options.ts'
import { MAX_TIMER_MS } from '../spec/spec.ts'
import { findInside } from './present.ts'
import type { Ticker, TimerPlan } from './timers.ts'

export interface TimerOptions {
  /** Ticks only while this process is the leader of its group, and never before the last leader's tick is done. */
  leaderOnly?: boolean
}

/**
 * A timer of a worker. When the worker begins to leave, it is cancelled, and a tick that runs is awaited within
 * `stopTimeoutMs`. What a tick throws or rejects with is logged, and ends neither the timer nor the worker.
 */
export class Timer {
  readonly #ticker: Ticker

  private constructor(ticker: Ticker) {
    this.#ticker = ticker
  }

  /**
   * Calls `callback` every `ms`. A promise is awaited: what falls due meanwhile is left out.
   * @throws ShiftworkError `ERR_OPTION`, and `ERR_NOT_IN_WORKER` outside a worker.
   */
  static every(ms: number, callback: () => unknown, options: TimerOptions = {}): Timer {
    const { timers } = findInside('Timer.every')
    const check = new OptionCheck({ owner: 'Timer.every' }, { options })
    const inner = new OptionCheck({ owner: 'Timer.every' }, check.object('options', ['leaderOnly']))
    const leaderOnly = inner.boolean('leaderOnly', false)
    return new Timer(timers.add({ ...checkTimer('Timer.every', ms, callback), repeats: true, leaderOnly }))
  }

  /**
   * Calls `callback` once, after `ms`.
   * @throws ShiftworkError `ERR_OPTION`, and `ERR_NOT_IN_WORKER` outside a worker.
   */
  static after(ms: number, callback: () => unknown): Timer {
    const { timers } = findInside('Timer.after')
    return new Timer(timers.add({ ...checkTimer('Timer.after', ms, callback), repeats: false, leaderOnly: false }))
  }

  /** No tick begins any more; one that runs goes on. Safe to call twice, and in a tick. */
  cancel(): void {
    this.#ticker.cancel()
  }

  /** Another tick will come. */
  get isActive(): boolean {
    return !this.#ticker.isCancelled
  }
}

function checkTimer(owner: string, ms: unknown, callback: unknown): Pick<TimerPlan, 'ms' | 'callback' | 'place'> {
  const check = new OptionCheck({ owner }, { ms: ms ?? null })
  if (typeof callback !== 'function')
    throw new ShiftworkError('ERR_OPTION', `${owner}: the callback is ${show(callback)}`, {
      hint: `It must be a function: ${owner}(1_000, () => …).`,
    })
  const place = callerPlace()
  return { ms: check.integer('ms', 1, 1, MAX_TIMER_MS), callback: callback as () => unknown, place }
}

/** The first frame of the stack that is not of this package. */
function callerPlace(): string {
  const frame = describeError(new Error('here'))
    .stack.split('\n')
    .find((line) => /^\s+at /.test(line))
  return frame?.replace(/^\s+at (?:async )?/, '') ?? 'an unknown place'
}
