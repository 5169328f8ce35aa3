/**
 * The open connections of a process that speak a protocol of ours, and how a draining worker parts with
 * them: a few at a time, since clients that were told at once would all come back at once.
 */
import type { Connection, Registry } from './connection.ts'

/** So many goodbyes, and then a turn for everybody else. */
const BATCH = 10
const BATCH_MS = 5

export class Connections implements Registry {
  readonly #open = new Set<Connection>()
  #isParting = false
  #onEmpty: () => void = () => undefined
  /** Called at each message that was handled. */
  onMessage: () => void = () => undefined

  get size(): number {
    return this.#open.size
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#open.values()
  }

  add(connection: Connection): void {
    this.#open.add(connection)
    if (this.#isParting) setImmediate(() => connection.part())
  }

  delete(connection: Connection): void {
    this.#open.delete(connection)
    if (this.#open.size === 0) this.#onEmpty()
  }

  /** Waits until the last one is told `onClose`: what a client said before it left may still be handled. */
  emptied(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onEmpty = resolve
    })
  }

  /**
   * Ends each connection after what it has begun: two a millisecond, faster when that would take longer than
   * `maxMs`. Those that come afterwards are ended at once.
   */
  partWithAll(maxMs: number): void {
    this.#isParting = true
    const all = [...this.#open]
    const batch = Math.max(BATCH, Math.ceil((all.length * BATCH_MS) / Math.max(maxMs, 1)))
    const next = (): void => {
      for (const connection of all.splice(0, batch)) connection.part()
      if (all.length > 0) setTimeout(next, BATCH_MS)
    }
    next()
  }
}
