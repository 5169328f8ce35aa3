/**
 * The open connections of this process, told a page at a time to the master that asks: ten thousand of
 * them are a message of megabytes. Listed are those that were open at the first page and still are when
 * their own is made. Made by `run`.
 */
import { type ConnectionPage, LIST_LIFETIME_MS, PAGE_ROWS } from '../ipc/connections.ts'
import { factsOf } from '../protocols/facts.ts'
import type { Opened } from '../protocols/traffic.ts'

interface List {
  rest: Opened[]
  timer: NodeJS.Timeout
}

export class Listings {
  readonly #opened: () => Opened[]
  readonly #lists = new Map<number, List>()

  constructor(opened: () => Opened[]) {
    this.#opened = opened
  }

  /** The next page of a list, which begins with the first that is asked for. */
  page(id: number, { isFirst }: { isFirst: boolean }): ConnectionPage {
    const begun = this.#lists.get(id)
    if (!begun && !isFirst) return { facts: [], rest: 'lost' }
    clearTimeout(begun?.timer)
    const rest = begun?.rest ?? this.#opened()
    const now = performance.now()
    const page = rest.splice(-PAGE_ROWS).filter(({ socket }) => !socket.destroyed)
    if (rest.length === 0) this.#lists.delete(id)
    else this.#lists.set(id, { rest, timer: setTimeout(() => this.#lists.delete(id), LIST_LIFETIME_MS).unref() })
    return { facts: page.map((opened) => factsOf(opened, now)), rest: rest.length === 0 ? 'none' : 'more' }
  }
}
