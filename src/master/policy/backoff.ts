/** How long a slot waits before it is filled again after a failure. Pure; the caller brings the chance. */

const FIRST_MS = 100
const LONGEST_MS = 30_000
const JITTER = 0.2

/** A child that served for so long had a good start: its next failure counts as the first. */
export const RESET_AFTER_MS = 60_000

/** @param failures in a row, 1 for the first; @param chance 0 to 1, spreads many slots that fail together. */
export function backoffMs(failures: number, chance: number): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, failures - 1))
  return Math.round(full * (1 - JITTER + 2 * JITTER * chance))
}
