/**
 * Many events as one: due when it has been quiet for a while, and at the latest some time after the
 * first, so that endless writing does not put it off for ever. Pure: the clock is passed in.
 */

export interface BurstLimits {
  quietMs: number
  maxMs: number
}

export class Burst {
  readonly #limits: BurstLimits
  #times: { firstAt: number; lastAt: number } | null = null

  constructor(limits: BurstLimits) {
    this.#limits = limits
  }

  note(now: number): void {
    this.#times = { firstAt: this.#times?.firstAt ?? now, lastAt: now }
  }

  /** When it is over; null while there is none. */
  get dueAt(): number | null {
    if (!this.#times) return null
    const { firstAt, lastAt } = this.#times
    return Math.min(lastAt + this.#limits.quietMs, firstAt + this.#limits.maxMs)
  }

  /** True, once, when it is over. */
  take(now: number): boolean {
    if (this.dueAt === null || now < this.dueAt) return false
    this.#times = null
    return true
  }
}
