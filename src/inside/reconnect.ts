/**
 * How long a lost or failed connection waits before it is tried again. Pure; the caller brings the clock
 * and the chance.
 */

export interface ReconnectTimes {
  /** Before the first try; each that fails doubles it. */
  readonly minDelayMs: number
  readonly maxDelayMs: number
}

/**
 * How many tries have failed in a row, after one more has.
 * @param livedMs how long the connection was open; null: it did not come about. One that lived for longer than
 * the next wait would be was a good one: a server that accepts and hangs up at once is not asked all the time.
 */
export function failuresAfter(failures: number, livedMs: number | null, times: ReconnectTimes): number {
  return livedMs !== null && livedMs > longestDelayMs(failures + 1, times) ? 1 : failures + 1
}

/**
 * How long to wait after so many failures in a row, 1 for the first.
 * @param chance 0 to 1: half of the time is left to it, so that many clients of one server do not come back at once.
 */
export function delayMs(failures: number, chance: number, times: ReconnectTimes): number {
  return Math.round(longestDelayMs(failures, times) * (1 - chance / 2))
}

function longestDelayMs(failures: number, { minDelayMs, maxDelayMs }: ReconnectTimes): number {
  return Math.min(maxDelayMs, minDelayMs * 2 ** Math.max(0, failures - 1))
}
