/**
 * How a gateway that leaves parts with its clients: each is not read from any more, hears what its worker still
 * answers to what it has said, and is told goodbye behind that. Made by `Hub`, which closes what is left.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Dispatch } from './dispatch.ts'
import type { HubClient } from './model.ts'

/** So many goodbyes, and then a turn for everybody else: clients that were told at once would all come back at once. */
const BATCH = 10
const BATCH_MS = 5
/** All of them are begun within so long. */
const MAX_SPREAD_MS = 2_000
/** Goodbyes wait for answers no longer than so long, from the first one on. */
const PATIENCE_MS = 2_000

export class Farewell {
  readonly #dispatch: Dispatch
  /** Clients whose worker has something to handle, and what is done when it has. */
  readonly #waiting = new Map<HubClient, (() => void)[]>()
  #phase: 'not yet' | 'waits for answers' | 'waits for nothing' = 'not yet'
  #patience: NodeJS.Timeout | null = null

  constructor(dispatch: Dispatch) {
    this.#dispatch = dispatch
  }

  get hasBegun(): boolean {
    return this.#phase !== 'not yet'
  }

  /** Resolves when every goodbye is begun. */
  async begin(clients: readonly HubClient[]): Promise<void> {
    this.#phase = 'waits for answers'
    this.#patience = setTimeout(() => this.end(), PATIENCE_MS)
    const left = [...clients]
    const batch = Math.max(BATCH, Math.ceil((left.length * BATCH_MS) / MAX_SPREAD_MS))
    const goodbyes: Promise<void>[] = []
    while (left.length > 0) {
      for (const client of left.splice(0, batch)) goodbyes.push(this.partWith(client))
      if (left.length > 0) await delay(BATCH_MS)
    }
    await Promise.all(goodbyes)
  }

  async partWith(client: HubClient): Promise<void> {
    if (client.isClosed) return
    client.connection.pause()
    await this.whenHeard(client)
    client.connection.resume()
    // what comes until then is its last word, and `whenHeard` is asked for it, too
    client.connection.part()
  }

  /** Its worker has handled all that it said, or there is no use in waiting for that. Null: that is so. */
  whenHeard(client: HubClient): Promise<void> | null {
    if (this.#phase === 'waits for nothing' || this.#isHeard(client)) return null
    return new Promise((resolve) => {
      const others = this.#waiting.get(client)
      if (others) others.push(resolve)
      else this.#waiting.set(client, [resolve])
    })
  }

  #isHeard(client: HubClient): boolean {
    const { isClosed, line } = client
    return isClosed || line.size === 0 || (!this.#dispatch.isServed && line.handedOver === 0)
  }

  /** Something of it was handled, or it is gone. */
  note(client: HubClient): void {
    if (!this.#waiting.has(client) || !this.#isHeard(client)) return
    const resolves = this.#waiting.get(client) ?? []
    this.#waiting.delete(client)
    for (const resolve of resolves) resolve()
  }

  /** A worker has left. */
  noteAll(): void {
    for (const client of [...this.#waiting.keys()]) this.note(client)
  }

  /** Nothing is waited for any more. */
  end(): void {
    if (this.#patience) clearTimeout(this.#patience)
    this.#phase = 'waits for nothing'
    for (const resolve of [...this.#waiting.values()].flat()) resolve()
    this.#waiting.clear()
  }
}
