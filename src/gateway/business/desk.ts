/**
 * A business worker process: its links to gateways, the clients that those have given to it, and how it
 * lets go of them. Made by `BusinessWorker` in `onWorkerStart`.
 */

import { ShiftworkError } from '../../index.ts'
import { Absence } from '../absence.ts'
import { parseBusAddress } from '../bus/address.ts'
import { Far } from '../bus/far.ts'
import { BusReach } from '../bus/reach.ts'
import { DEFAULT_DEADLINE_MS } from '../options.ts'
import { waitFor } from '../patience.ts'
import { Commands } from '../peer/commands.ts'
import type { PeerLink } from '../peer/link.ts'
import { Links } from '../peer/links.ts'
import type { Places } from '../peer/places.ts'
import { LocalReach } from '../peer/reach.ts'
import type { ClientInfo, ClientState } from '../types.ts'
import type { EventKind, WireRecord } from '../wire/records.ts'
import { Client, type ClientHome, type ClientHooks } from './client.ts'
import { complaint } from './complaint.ts'
import { Trials } from './trials.ts'

export interface DeskOptions {
  readonly name: string
  readonly places: Places
  readonly hooks: ClientHooks
  readonly deadlineMs: number | undefined
  readonly bus?: string | undefined
}

/** One gateway's clients here, by their numbers there. */
type Book = Map<number, Client>

export class Desk implements ClientHome {
  readonly hooks: ClientHooks
  readonly commands: Commands
  readonly trials = new Trials()
  readonly #links: Links
  readonly #far: Far | null
  readonly #absence: Absence
  readonly #books = new Map<PeerLink, Book>()
  /** Gateways that have not yet said that nothing new comes. */
  readonly #leaving = new Set<PeerLink>()
  /** Gateways that leave before this worker does. */
  readonly #outlasted = new Set<PeerLink>()
  #onOutlasted: () => void = () => undefined
  /** Clients that are not done, once nothing new can come. */
  #awaited: Set<Client> | null = null
  #phase: 'ready' | 'serving' | 'outlasting' | 'leaving' = 'ready'
  #onDone: () => void = () => undefined
  redelivered = 0

  constructor({ name, places, hooks, deadlineMs = DEFAULT_DEADLINE_MS, bus }: DeskOptions) {
    this.hooks = hooks
    // a gateway that starts beside this worker is seen at once
    places.prepare()
    this.#links = new Links({
      places,
      introduction: { role: 'business', name },
      onOpened: (link) => this.#opened(link),
      onRecord: (link, record) => this.#take(link, record),
      onClosed: (link) => this.#hold(link),
      onLost: (link, isAlive) => this.#lost(link, isAlive),
      onDead: (gateway) => this.#far?.bury(gateway),
    })
    this.#absence = new Absence(() => {
      if (this.#phase !== 'serving' || this.#links.all().length > 0) return null
      return `this business worker has no gateway; it looks for them in ${places.shown}`
    })
    const near = new LocalReach(this.#links)
    this.#far = bus === undefined ? null : new Far({ address: parseBusAddress(bus) })
    this.commands = new Commands(this.#far ? new BusReach(near, this.#far) : near, deadlineMs)
  }

  /** All gateways of this machine are linked, and the bus is up or known to be away. */
  async ready(): Promise<void> {
    await Promise.all([this.#links.settle(), this.#far?.ready()])
  }

  /** From now on it takes clients. */
  serve(): void {
    if (this.#phase !== 'ready') return
    this.#phase = 'serving'
    for (const link of this.#links.all()) link.write({ type: 'serve' })
    this.#absence.note()
  }

  figures(): Record<string, number> {
    const books = [...this.#books.values()]
    return {
      gateways: this.#links.all().length,
      clients: books.reduce((sum, book) => sum + book.size, 0),
      redelivered: this.redelivered,
      ...(this.#far && { bus: this.#far.isUp ? 1 : 0 }),
    }
  }

  /**
   * The master is lost, and the gateways of this state directory leave, too: handles what their clients have said, until
   * they have left, or this long. Takes no clients of gateways that come now.
   */
  async outlast(stateDir: string, atMostMs: number): Promise<void> {
    if (this.#phase !== 'serving') return
    this.#phase = 'outlasting'
    for (const link of this.#links.all()) if (link.stateDir === stateDir) this.#outlasted.add(link)
    if (this.#outlasted.size === 0) return
    await new Promise<void>((resolve) => {
      const endWait = waitFor(atMostMs, resolve)
      this.#onOutlasted = () => {
        endWait()
        resolve()
      }
    })
  }

  /**
   * Takes nothing new, finishes what it has, and resolves when its gateways know that.
   * @param isFollowed another worker comes in its place, and is not there yet.
   */
  async drain({ isFollowed = false } = {}): Promise<void> {
    this.#phase = 'leaving'
    if (isFollowed) this.trials.stop()
    for (const link of this.#links.all()) {
      this.#leaving.add(link)
      link.write(isFollowed ? { type: 'leave', isFollowed } : { type: 'leave' })
    }
    await new Promise<void>((resolve) => {
      this.#onDone = resolve
      this.#noteDone()
    })
    // an acknowledgement that dies with this process would let another worker handle its event again
    await Promise.all(this.#links.all().map((link) => link.confirm()))
  }

  async close(): Promise<void> {
    this.#links.close()
    await this.#far?.close()
  }

  // ---- links -------------------------------------------------------------------------------------------------------

  #opened(link: PeerLink): void {
    this.#absence.end()
    this.#books.set(link, new Map())
    if (this.#phase === 'serving') link.write({ type: 'serve' })
  }

  #take(link: PeerLink, record: WireRecord): void {
    const book = this.#books.get(link)
    if (!book) return
    switch (record.type) {
      case 'adopt': {
        const { client: number, value } = record
        book.set(number, new Client(this, link, { number, info: value as ClientInfo }))
        return
      }
      case 'state':
        book.get(record.client)?.note(record.value as ClientState)
        return
      case 'event':
        if (record.isRedelivered) this.redelivered++
        book.get(record.client)?.take(record)
        return
      case 'leave':
        this.#leaving.delete(link)
        for (const client of [...book.values()]) if (client.isIdle) book.delete(client.number)
        this.#noteDone()
        return
      default:
        throw new RangeError(`a gateway says ${record.type}`)
    }
  }

  #hold(link: PeerLink): void {
    for (const client of this.#books.get(link)?.values() ?? []) client.hold()
  }

  #lost(link: PeerLink, isAlive: boolean): void {
    this.#leaving.delete(link)
    if (this.#outlasted.delete(link) && this.#outlasted.size === 0) this.#onOutlasted()
    const clients = [...(this.#books.get(link)?.values() ?? [])]
    for (const client of clients) {
      if (isAlive) client.revoke()
      else client.bury()
      if (!client.isIdle) this.#awaited?.add(client)
    }
    if (clients.length === 0) this.#books.delete(link)
    if (!isAlive) this.#absence.note()
    this.#noteDone()
  }

  // ---- clients -----------------------------------------------------------------------------------------------------

  onIdle(client: Client): void {
    this.#awaited?.delete(client)
    // it is another worker's now: what becomes of it is told there
    if (this.#phase === 'leaving' && !this.#leaving.has(client.link))
      this.#books.get(client.link)?.delete(client.number)
    this.#noteDone()
  }

  onGone(client: Client): void {
    this.#awaited?.delete(client)
    const book = this.#books.get(client.link)
    book?.delete(client.number)
    if (book?.size === 0 && !client.link.isOpen) this.#books.delete(client.link)
    this.#noteDone()
  }

  report(what: EventKind | 'error', clientId: string, error: unknown): void {
    // the last gateway has died, and with it everybody who could be told: that is known, and not to be said per client
    if (what === 'close' && error instanceof ShiftworkError && error.code === 'ERR_NOT_RUNNING') return
    console.error(complaint(what, clientId, error))
  }

  /** Resolves the drain when no gateway can send anything new, and nothing that came is left. */
  #noteDone(): void {
    if (this.#phase !== 'leaving' || this.#leaving.size > 0) return
    this.#awaited ??= new Set([...this.#books.values()].flatMap((book) => [...book.values()]).filter(isBusy))
    if (this.#awaited.size === 0) this.#onDone()
  }
}

function isBusy({ isIdle }: Client): boolean {
  return !isIdle
}
