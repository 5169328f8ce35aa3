/** What a hook returns when it is not done yet: any thenable, as for `await`. Null: it is done. */
export function settlingOf(result: unknown): Promise<unknown> | null {
  if (result instanceof Promise) return result
  const isThenable = typeof (result as PromiseLike<unknown> | null | undefined)?.then === 'function'
  return isThenable ? Promise.resolve(result) : null
}
