/**
 * The open connections of a process that speak a protocol of ours; how a draining worker parts with them:
 * a few at a time, since clients that were told at once would all come back at once; and the one timer
 * that looks for those from which nothing comes.
 */
import { lookEvery } from '../patience.ts'
import type { Connection, Registry } from './connection.ts'

/** So many goodbyes, and then a turn for everybody else. */
const BATCH = 10
const BATCH_MS = 5

export class Connections implements Registry {
  readonly #open = new Set<Connection>()
  /** Those of them that stay until the worker's own code is done. */
  readonly #last = new Set<Connection>()
  /** Those that are not named when they are cut. */
  readonly #internal = new WeakSet<Connection>()
  #isParting = false
  #isPartingWithLast = false
  #looks: { everyMs: number; timer: NodeJS.Timeout } | null = null
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
    this.#lookEvery(connection.lookEveryMs)
    if (!this.#isParting) return
    setImmediate(() => {
      if (this.#isPartingWithLast || !this.#last.has(connection)) connection.part()
    })
  }

  /** One that `partWithAll` spares, and `partWithLast` does not. */
  addLast(connection: Connection): void {
    this.#last.add(connection)
    this.add(connection)
  }

  /** Nobody misses it when it is cut. */
  discount(connection: Connection): void {
    this.#internal.add(connection)
  }

  delete(connection: Connection): void {
    this.#open.delete(connection)
    this.#last.delete(connection)
    if (this.#open.size > 0) return
    this.#onEmpty()
    if (!this.#looks) return
    clearInterval(this.#looks.timer)
    this.#looks = null
  }

  /** Waits until the last one is told `onClose`: what a client said before it left may still be handled. */
  emptied(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onEmpty = resolve
    })
  }

  /** What is not finished, in words, for at most so many of them; one that has left may have a handler that has not settled. */
  unfinished(atMost: number): string[] {
    const missed = [...this.#open].filter((connection) => !this.#internal.has(connection))
    const named = missed.filter(({ isKnownByRequests, state }) => !isKnownByRequests && state !== 'closed')
    return named.slice(0, atMost).map((connection) => {
      const name = connection.describe()
      return connection.unfinished === null ? name : `${name}: ${connection.unfinished}`
    })
  }

  /**
   * Ends each connection after what it has begun: two a millisecond, faster when that would take longer than
   * `maxMs`. Those that come afterwards are ended at once.
   */
  partWithAll(maxMs: number): void {
    this.#isParting = true
    const all = [...this.#open].filter((connection) => !this.#last.has(connection))
    const batch = Math.max(BATCH, Math.ceil((all.length * BATCH_MS) / Math.max(maxMs, 1)))
    const next = (): void => {
      for (const connection of all.splice(0, batch)) connection.part()
      if (all.length > 0) setTimeout(next, BATCH_MS)
    }
    next()
  }

  partWithLast(): void {
    this.#isPartingWithLast = true
    for (const connection of this.#last) connection.part()
  }

  /** From now on as often as this or oftener; null: no look is needed for it. */
  #lookEvery(ms: number | null): void {
    if (ms === null || (this.#looks && this.#looks.everyMs <= ms)) return
    if (this.#looks) clearInterval(this.#looks.timer)
    // what a blocked process has not heard yet was said all the same
    const timer = lookEvery(ms, () => this.#look()).unref()
    this.#looks = { everyMs: ms, timer }
  }

  #look(): void {
    const now = performance.now()
    for (const connection of this.#open) connection.bearSilence(now)
  }
}
