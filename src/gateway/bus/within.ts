/** A promise, and a deadline for it. */
import { waitFor } from '../patience.ts'

/**
 * Rejects with this reason when the promise has not settled by then.
 * @param keepsAlive also the process, so long.
 */
export async function within<Value>(
  promise: Promise<Value>,
  ms: number,
  { reason, keepsAlive = false }: { reason: string; keepsAlive?: boolean },
): Promise<Value> {
  let endWait: (() => void) | undefined
  const late = new Promise<never>((_, reject) => {
    endWait = waitFor(ms, () => reject(new Error(reason)), { keepsAlive })
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    endWait?.()
  }
}
