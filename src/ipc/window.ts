/**
 * How much is on its way to a process that has not said that it has read it: one that is stopped must not
 * fill the memory of the one that sends. Pure.
 */

/** What a message costs that has no bytes. */
const OVERHEAD_BYTES = 256

export class Window {
  readonly #maxBytes: number
  readonly #sizes = new Map<number, number>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes + OVERHEAD_BYTES <= this.#maxBytes
  }

  /** Sent, under this number. */
  take(id: number, bytes: number): void {
    this.release(id)
    this.#sizes.set(id, bytes + OVERHEAD_BYTES)
    this.#bytes += bytes + OVERHEAD_BYTES
  }

  /** Read. Safe to call twice. */
  release(id: number): void {
    this.#bytes -= this.#sizes.get(id) ?? 0
    this.#sizes.delete(id)
  }
}
