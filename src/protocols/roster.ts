/**
 * The open sockets of a process, in no order; kept by `traffic`. Each carries its own place: a Set or a
 * Map of objects that live for a millisecond costs a tenth of a short connection's processor time.
 */
import type { Socket } from 'node:net'

type Placed = Socket & { [mark: symbol]: number | undefined }

export class Roster {
  readonly #place = Symbol('shiftwork.place')
  readonly #since = Symbol('shiftwork.since')
  readonly #sockets: Socket[] = []

  get size(): number {
    return this.#sockets.length
  }

  /** Safe to call twice. */
  add(socket: Socket): void {
    const placed = socket as Placed
    if (placed[this.#place] !== undefined) return
    placed[this.#place] = this.#sockets.length
    placed[this.#since] = performance.now()
    this.#sockets.push(socket)
  }

  /** When it came, on the clock of `performance.now()`. */
  since(socket: Socket): number {
    return (socket as Placed)[this.#since] ?? 0
  }

  /** The last one takes the place that becomes free. */
  delete(socket: Socket): void {
    const place = (socket as Placed)[this.#place]
    const last = this.#sockets.at(-1)
    if (place === undefined || last === undefined) return
    this.#sockets[place] = last
    ;(last as Placed)[this.#place] = place
    ;(socket as Placed)[this.#place] = undefined
    this.#sockets.pop()
  }

  /** Those of this moment, which may be deleted meanwhile. */
  [Symbol.iterator](): IterableIterator<Socket> {
    return [...this.#sockets].values()
  }
}
