/**
 * Waiting for what another process has to say. Node.js calls timers that are due before it reads what has
 * come, so one that was stalled would find its own time over although the answer is there already.
 */

/**
 * Calls back once, when so many milliseconds have passed and what had come by then was read.
 * @param keepsAlive also the process, so long.
 * @returns ends the wait; safe to call twice, and after the end.
 */
export function waitFor(ms: number, giveUp: () => void, { keepsAlive = true } = {}): () => void {
  let last: NodeJS.Immediate | undefined
  const timer = setTimeout(() => {
    last = setImmediate(giveUp)
  }, ms)
  if (!keepsAlive) timer.unref()
  return () => {
    clearTimeout(timer)
    clearImmediate(last)
  }
}

/** Calls back again and again, each time when what had come was read; the last time it may be after `clearInterval`. */
export function lookEvery(ms: number, look: () => void): NodeJS.Timeout {
  return setInterval(() => setImmediate(look), ms)
}
