/**
 * The open connections of an `http://` worker, as `worker.connections` shows them. A Connection is made of
 * each when somebody looks at it, and not before: hardly anybody does.
 */
import type { Connection, OpenConnections, Owner } from '../connection.ts'
import type { Opened } from '../traffic.ts'
import { connectionOf } from './http-connection.ts'

export class WebConnections implements OpenConnections {
  readonly #owner: Owner
  readonly #opened: () => Opened[]

  /** @param opened those of the worker's own server. What user code has taken over by an upgrade is its own. */
  constructor(owner: Owner, opened: () => Opened[]) {
    this.#owner = owner
    this.#opened = opened
  }

  get size(): number {
    return this.#spoken().length
  }

  *[Symbol.iterator](): IterableIterator<Connection> {
    for (const { socket } of this.#spoken())
      if (!socket.destroyed) yield connectionOf(this.#owner, socket, true) as Connection
  }

  #spoken(): Opened[] {
    return this.#opened().filter(({ socket, stage }) => stage === 'spoken' && !socket.destroyed)
  }
}
