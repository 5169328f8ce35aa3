/** When it is tried again to reach the broker. */

const FIRST_MS = 100
const LAST_MS = 1_000

/** Doubles, and is spread: not everybody comes at once. @param random from 0 to 1. */
export function backoffMs(attempts: number, random: number): number {
  return Math.min(FIRST_MS * 2 ** attempts, LAST_MS) * (0.5 + random / 2)
}
