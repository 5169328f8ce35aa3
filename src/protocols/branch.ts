/**
 * The open connections of one listener, as `worker.connections` and broadcasts see them; each is also known
 * among all of its process, which a drain and the look for silent clients go over.
 */
import type { Connection, OpenConnections, Registry } from './connection.ts'
import type { Connections } from './connections.ts'

export class Branch implements Registry, OpenConnections {
  readonly #open = new Set<Connection>()
  readonly #all: Connections
  readonly #partsLast: boolean
  readonly #isInternal: boolean

  /**
   * @param how partsLast: they stay until the worker's own code is done · isInternal: nobody misses them when they are cut.
   */
  constructor(all: Connections, { partsLast = false, isInternal = false } = {}) {
    this.#all = all
    this.#partsLast = partsLast
    this.#isInternal = isInternal
  }

  get size(): number {
    return this.#open.size
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#open.values()
  }

  get onMessage(): () => void {
    return this.#all.onMessage
  }

  add(connection: Connection): void {
    this.#open.add(connection)
    if (this.#isInternal) this.#all.discount(connection)
    if (this.#partsLast) this.#all.addLast(connection)
    else this.#all.add(connection)
  }

  delete(connection: Connection): void {
    this.#open.delete(connection)
    this.#all.delete(connection)
  }
}
