/**
 * The promise that a command returns. What is asked wrongly rejects, as everything does that fails, and is a fault of
 * the code that asks: where nobody looks at the promise, it is said once, with its place, and ends no worker.
 */
import { thrownText } from '../thrown.ts'

/** Looked at, when somebody waits for it: `await` and all others call `then` of what is no plain promise. */
class Refused<Value> extends Promise<Value> {
  isLookedAt = false

  // what is made of it is plain
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  // biome-ignore lint/suspicious/noThenProperty: that it is called is what counts
  override then<Kept = Value, Mended = never>(
    onKept?: ((value: Value) => Kept | PromiseLike<Kept>) | null,
    onRefused?: ((reason: unknown) => Mended | PromiseLike<Mended>) | null,
  ): Promise<Kept | Mended> {
    this.isLookedAt = true
    return super.then(onKept, onRefused)
  }
}

/**
 * Checks what is asked, and does it.
 * @returns what it comes to. Who does not wait for what cannot be done does not want to end for it: nothing is said.
 */
export function told<Told>(check: () => unknown, act: () => Promise<Told>): Promise<Told> {
  try {
    check()
  } catch (error) {
    return refused(error)
  }
  const telling = act()
  telling.catch(() => undefined)
  return telling
}

function refused<Told>(error: unknown): Promise<Told> {
  const promise = new Refused<Told>((_, reject) => reject(error))
  // nothing is thrown at the process
  Promise.prototype.then.call(promise, undefined, () => undefined)
  setImmediate(() => {
    if (!promise.isLookedAt)
      console.error(`shiftwork: a command was not given, and nobody has waited for it: ${thrownText(error)}`)
  })
  return promise
}
