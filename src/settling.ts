/** What user code returns when it is not done yet. */

/** Any thenable counts, as it does for `await`: a query builder begins only when it is asked. Null: it is done. */
export function settlingOf(result: unknown): Promise<unknown> | null {
  if (result instanceof Promise) return result
  const isThenable = typeof (result as PromiseLike<unknown> | null | undefined)?.then === 'function'
  return isThenable ? Promise.resolve(result) : null
}
