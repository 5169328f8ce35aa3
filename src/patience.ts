/**
 * Waiting for what another process has to say. Node.js calls timers that are due before it reads what has
 * come, so one that was stalled would find its own time over although the answer is there already.
 */

/**
 * Calls back once, when so many milliseconds have passed and what had come by then was read.
 * @param how `keepsAlive` false: the process may end meanwhile. Default true.
 * @returns ends the wait; safe to call twice, and after the end.
 */
export function waitFor(
  ms: number,
  giveUp: () => void,
  how: { keepsAlive: boolean } = { keepsAlive: true },
): () => void {
  let last: NodeJS.Immediate | undefined
  const timer = setTimeout(() => {
    last = setImmediate(giveUp)
  }, ms)
  if (!how.keepsAlive) timer.unref()
  return () => {
    clearTimeout(timer)
    clearImmediate(last)
  }
}

/** A timer that is so late was slept through. */
const ASLEEP_MS = 300

/**
 * As `waitFor`, and once more when this process was not awake at the end of it: what it waits for may need more than
 * the one turn that has read what had come.
 */
export function waitAwake(
  ms: number,
  giveUp: () => void,
  how: { keepsAlive: boolean } = { keepsAlive: true },
): () => void {
  const dueAt = performance.now() + ms
  let endWait = waitFor(
    ms,
    () => {
      if (performance.now() - dueAt < ASLEEP_MS) giveUp()
      else endWait = waitFor(ms, giveUp, how)
    },
    how,
  )
  return () => endWait()
}

/** Calls back again and again, each time when what had come was read; the last time it may be after `clearInterval`. */
export function lookEvery(ms: number, look: () => void): NodeJS.Timeout {
  return setInterval(() => setImmediate(look), ms)
}
