/**
 * The timers of a worker process. Their ticks are awaited: none overlaps another of its own timer, the
 * drain waits for those that run, and leadership is let go only when none runs on its behalf.
 */
import { describeError } from '../errors.ts'
import type { WorkerView } from '../protocols/connection.ts'
import { report } from '../protocols/report.ts'
import type { CutReport } from '../protocols/traffic.ts'
import { settlingOf } from '../settling.ts'

export interface TimerPlan {
  readonly ms: number
  readonly repeats: boolean
  /** Ticks only while the process is the leader of its group. */
  readonly leaderOnly: boolean
  readonly callback: () => unknown
  /** Where it was made, for the log: `jobs.ts:12:3`. */
  readonly place: string
}

/** One timer. */
export class Ticker {
  readonly #home: Timers
  readonly #plan: TimerPlan
  #dueAt: number
  #timeout: NodeJS.Timeout | null = null
  /** No tick begins any more. */
  isCancelled = false

  constructor(home: Timers, plan: TimerPlan) {
    this.#home = home
    this.#plan = plan
    this.#dueAt = performance.now() + plan.ms
    this.#wait()
  }

  get plan(): TimerPlan {
    return this.#plan
  }

  cancel(): void {
    this.isCancelled = true
    if (this.#timeout) clearTimeout(this.#timeout)
    this.#home.forget(this)
  }

  #wait(): void {
    this.#timeout = setTimeout(() => this.#tick(), Math.max(0, this.#dueAt - performance.now()))
  }

  #tick(): void {
    const { leaderOnly, repeats } = this.#plan
    if (!repeats) this.cancel()
    const settling = leaderOnly && !this.#home.worker.isLeader ? null : this.#call()
    if (settling) this.#waitFor(settling)
    else this.#next()
  }

  /** @returns null when it is done already. What goes wrong is logged. */
  #call(): Promise<unknown> | null {
    const { callback, place } = this.#plan
    const failed = (error: unknown): void =>
      this.#home.report(`the timer of ${place} threw: ${describeError(error).stack}`)
    try {
      return settlingOf(callback())?.catch(failed) ?? null
    } catch (error) {
      failed(error)
      return null
    }
  }

  #waitFor(settling: Promise<unknown>): void {
    this.#home.begin(this)
    void settling.then(() => {
      this.#home.end(this)
      this.#next()
    })
  }

  #next(): void {
    if (this.isCancelled) return
    this.#dueAt = nextDueAt(this.#dueAt, this.#plan.ms, performance.now())
    this.#wait()
  }
}

/** When the tick after the one that was due is: those that a long one has missed are left out, the beat stays. */
export function nextDueAt(dueAt: number, everyMs: number, now: number): number {
  return dueAt + everyMs * Math.max(1, Math.ceil((now - dueAt) / everyMs))
}

export class Timers {
  readonly worker: WorkerView
  readonly #waiting = new Set<Ticker>()
  readonly #running = new Set<Ticker>()
  #onEnd: (() => void)[] = []
  #isStopped = false

  constructor(worker: WorkerView) {
    this.worker = worker
  }

  /** After `stop` it never ticks. */
  add(plan: TimerPlan): Ticker {
    const ticker = new Ticker(this, plan)
    if (this.#isStopped) ticker.cancel()
    else this.#waiting.add(ticker)
    return ticker
  }

  /** Cancels all of them, for good; what runs goes on. */
  stop(): void {
    this.#isStopped = true
    for (const ticker of [...this.#waiting]) ticker.cancel()
  }

  /** Resolves when no tick runs any more. */
  drained(): Promise<void> {
    return this.#until(() => this.#running.size === 0)
  }

  /** Resolves when no tick runs any more that only a leader may. */
  leaderDone(): Promise<void> {
    return this.#until(() => ![...this.#running].some(({ plan }) => plan.leaderOnly))
  }

  /** The deadline is over: says what is not done. */
  cut(): CutReport {
    for (const { plan } of this.#running) this.report(`the timer of ${plan.place} was not done at the deadline`)
    return { connections: 0, requests: [] }
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#onEnd.push(resolve))
  }

  // ---- for Ticker --------------------------------------------------------------------------------------------------

  begin(ticker: Ticker): void {
    this.#running.add(ticker)
  }

  end(ticker: Ticker): void {
    this.#running.delete(ticker)
    for (const resolve of this.#onEnd.splice(0)) resolve()
  }

  forget(ticker: Ticker): void {
    this.#waiting.delete(ticker)
  }

  report(what: string): void {
    report(this.worker, what)
  }
}
