/**
 * Tells people once when something has been missing for a while that nothing is done without: clients wait, or a
 * worker has nothing to do, and nobody would see why.
 */

/** Longer than a fleet takes to start. */
const PATIENCE_MS = 10_000

export class Absence {
  /** @returns what is to be said; null: it is not missing. */
  readonly #describe: () => string | null
  readonly #patienceMs: number
  #timer: NodeJS.Timeout | null = null

  constructor(describe: () => string | null, patienceMs = PATIENCE_MS) {
    this.#describe = describe
    this.#patienceMs = patienceMs
  }

  /** It may be missing: looked at again after a while, and not told twice. */
  note(): void {
    this.#timer ??= setTimeout(() => {
      const sentence = this.#describe()
      if (sentence === null) this.end()
      else console.error(`shiftwork: ${sentence}`)
    }, this.#patienceMs).unref()
  }

  /** It is there, or does not matter any more; when it is missed again, that is told again. */
  end(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
  }
}
