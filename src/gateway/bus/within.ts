/** A promise, and a deadline for it. */

/**
 * Rejects with this reason when the promise has not settled by then.
 * @param keepsAlive also the process, so long.
 */
export async function within<Value>(
  promise: Promise<Value>,
  ms: number,
  { reason, keepsAlive = false }: { reason: string; keepsAlive?: boolean },
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(reason)), ms)
    if (!keepsAlive) timer.unref()
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
