/**
 * How fast the counters of a process grow. Whoever asks for a status is told the rate over about the
 * last second, however often others ask; nobody asked for long: since the last one did. Pure: the
 * status brings the time, nothing here wakes the master up.
 */

/** A rate over less than this is noise. Below a second, so that one who asks every second gets a second. */
const MIN_WINDOW_MS = 900
/** Samples nearer to each other than this are one: a flood of questions must not be remembered. */
const MIN_GAP_MS = 100

interface Sample {
  atMs: number
  value: number
}

/** One counter that only grows. */
export class Rate {
  /** Oldest first, the first one being what the next rate may be counted from; never empty. */
  #samples: [Sample, ...Sample[]]

  /** @param atMs when the process began, its counter at 0. */
  constructor(atMs: number) {
    this.#samples = [{ atMs, value: 0 }]
  }

  /** Notes what the counter says now. @returns how much it grew, per millisecond. */
  note(atMs: number, value: number): number {
    const base = this.#forget(atMs - MIN_WINDOW_MS)
    const last = this.#samples.at(-1) ?? base
    if (atMs - last.atMs >= MIN_GAP_MS) this.#samples.push({ atMs, value })
    return (value - base.value) / Math.max(1, atMs - base.atMs)
  }

  /** Drops all that is older than the newest sample of that time; keeps that one, and returns it. */
  #forget(beforeMs: number): Sample {
    let [base, ...rest] = this.#samples
    for (let next = rest[0]; next !== undefined && next.atMs <= beforeMs; next = rest[0]) {
      base = next
      rest = rest.slice(1)
    }
    this.#samples = [base, ...rest]
    return base
  }
}

/** What is counted of one process. */
export class ProcessRates {
  readonly cpuMs: Rate
  readonly requests: Rate
  readonly loopActiveMs: Rate

  constructor(startedAtMs: number) {
    this.cpuMs = new Rate(startedAtMs)
    this.requests = new Rate(startedAtMs)
    this.loopActiveMs = new Rate(startedAtMs)
  }
}
