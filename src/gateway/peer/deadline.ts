/** How much time a command has left: finding its gateway takes from the same. */

export class Deadline {
  readonly #at: number

  constructor(deadlineMs: number) {
    this.#at = performance.now() + deadlineMs
  }

  /** In whole milliseconds, at least 1. */
  get leftMs(): number {
    return Math.max(1, Math.ceil(this.#at - performance.now()))
  }
}
