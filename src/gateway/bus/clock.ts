/**
 * The broker's clock, as far as it is known here. A question for the time that took longer says less: the broker has
 * looked at its clock somewhere in between. Pure: the clock of this process is passed in, in ms, one that only goes forward.
 */

/** So long a better answer is preferred to later ones: clocks drift. */
const MAX_AGE_MS = 60_000

interface Sample {
  /** From the clock of this process to that of the broker: wrong by half of what the question took, at most. */
  readonly offset: number
  readonly tookMs: number
  readonly now: number
}

export class BrokerClock {
  #sample: Sample | null = null

  /** In ms since 1970; makes no sense before it was told. */
  at(now: number): number {
    return now + (this.#sample?.offset ?? 0)
  }

  /** The broker was asked and has answered with its time. */
  told(brokerNow: number, { askedAt, now }: { askedAt: number; now: number }): void {
    if (this.#sample && isBetter(this.#sample, brokerNow, { askedAt, now })) return
    this.#sample = { offset: brokerNow - (askedAt + now) / 2, tookMs: now - askedAt, now }
  }

  /** It may be another one's: the next answer is taken, whatever it is. */
  doubt(): void {
    if (this.#sample) this.#sample = { ...this.#sample, now: -Infinity }
  }
}

/** What is known is young, more exact than the new answer, and not refuted by it, as when a clock was set. */
function isBetter(
  { offset, tookMs, now: knownAt }: Sample,
  brokerNow: number,
  { askedAt, now }: { askedAt: number; now: number },
): boolean {
  const isPossible = askedAt + offset <= brokerNow && brokerNow <= now + offset
  return isPossible && tookMs < now - askedAt && now - knownAt <= MAX_AGE_MS
}
