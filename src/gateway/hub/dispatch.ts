/**
 * Which business worker handles which client, and how much of a client's line it has: a client stays with its
 * worker; another gets it when that one leaves and has acknowledged everything, or is gone. Writes to links and decides
 * nothing about connections.
 */
import { type Clients, infoOf } from './clients.ts'
import { type ClientEvent, sizeOf } from './line.ts'
import type { BusinessLink, HubClient } from './model.ts'
import { Succession } from './succession.ts'

/** What a worker may hold of one client without having acknowledged it. */
const MAX_CLIENT_EVENTS = 64
const MAX_CLIENT_BYTES = 256 * 1024
/** And of all of them. */
const MAX_LINK_BYTES = 16 * 1024 * 1024
/** And what it may be told of clients without having read it: their sessions and groups may be large. */
const MAX_TOLD_BYTES = 1024 * 1024

export interface DispatchOptions {
  readonly clients: Clients
  /** False: what a worker was handed and has not acknowledged is lost with it. */
  readonly redelivers: boolean
  /** Events of this client were acknowledged or lost: there is more room. */
  onRelieved(client: HubClient): void
  /** Too many workers were lost with this event of it: no other gets it. Nobody has the client at this moment. */
  onFatal(client: HubClient, event: ClientEvent): void
  /** A worker was lost, and none is expected in its place any more. */
  onAbandoned(): void
}

export class Dispatch {
  readonly #options: DispatchOptions
  readonly #links = new Set<BusinessLink>()
  /** They wait for a worker, or for one that has room for them. */
  readonly #unowned = new Set<HubClient>()
  /** Whether another one comes in the place of one that was lost. */
  readonly succession: Succession
  /** Events of all clients that are not acknowledged. */
  events = 0
  byteLength = 0
  handedOver = 0
  redelivered = 0
  lost = 0
  /** Events that were dropped because workers were lost with them. */
  fatal = 0

  constructor(options: DispatchOptions) {
    this.#options = options
    this.succession = new Succession(() => options.onAbandoned())
  }

  /** Those that take clients. */
  get serving(): number {
    return [...this.#links].filter(({ state }) => state === 'serving').length
  }

  /** Somebody takes clients, or is about to. */
  get isServed(): boolean {
    return this.serving > 0 || this.succession.isExpected
  }

  // ---- clients -----------------------------------------------------------------------------------------------------

  /** Something happened to a client: it goes to its worker, or waits. */
  push(client: HubClient, kind: ClientEvent['kind'], bytes: Uint8Array): void {
    const event = client.line.push(kind, bytes, performance.now())
    this.events++
    this.byteLength += sizeOf(event)
    if (client.owner) this.#pump(client)
    else this.#assign(client)
  }

  /** The eldest message that waits for a worker is dropped. @returns whether there was one that came before. */
  dropOldest(client: HubClient, before?: number): boolean {
    return this.#noteDropped(client.line.dropOldest(before))
  }

  /** What it has said last is dropped, if it waits for a worker. @returns whether it did. */
  dropNewest(client: HubClient): boolean {
    return this.#noteDropped(client.line.dropNewest())
  }

  #noteDropped(event: ClientEvent | undefined): boolean {
    if (!event) return false
    this.events--
    this.byteLength -= sizeOf(event)
    return true
  }

  /** No worker will take what waits: messages are lost. @returns how many those were, and of how many clients. */
  giveUp(): { messages: number; clients: number } {
    const given = { messages: 0, clients: 0 }
    for (const client of this.#options.clients.all()) {
      const messages = this.#shorten(client, () => client.line.dropWaiting())
      given.messages += messages
      if (messages > 0) given.clients++
    }
    this.lost += given.messages
    return given
  }

  /** Nobody will be told that this client has come and gone: it is closed, and no worker ever heard of it. */
  forgetUnheard(client: HubClient): void {
    this.#unowned.delete(client)
    this.events -= client.line.size
    this.byteLength -= client.line.byteLength
    this.#options.clients.forget(client)
  }

  /** Tells its worker what has changed about it. */
  tell(client: HubClient, value: unknown): void {
    client.owner?.write({ type: 'state', client: client.number, value })
  }

  /** @returns false: it waits, and so would every other. */
  #assign(client: HubClient): boolean {
    const link = this.#leastBusy()
    if (!link) {
      this.#unowned.add(client)
      return false
    }
    this.#unowned.delete(client)
    client.owner = link
    link.clients.add(client)
    link.toldBytes += link.write({ type: 'adopt', client: client.number, value: infoOf(client) })
    // when that is answered, everything before it was read
    if (link.toldBytes >= MAX_TOLD_BYTES) link.write({ type: 'ping' })
    this.#pump(client)
    return true
  }

  #assignWaiting(): void {
    for (const client of [...this.#unowned]) if (!this.#assign(client)) return
  }

  #leastBusy(): BusinessLink | undefined {
    let least: BusinessLink | undefined
    for (const link of this.#links)
      if (takesClients(link) && (!least || link.clients.size < least.clients.size)) least = link
    return least
  }

  /** Hands over what may be. */
  #pump(client: HubClient): void {
    const { owner, line } = client
    if (owner?.state !== 'serving') return
    while (line.waiting > 0) {
      if (line.handedOver >= MAX_CLIENT_EVENTS || line.handedBytes >= MAX_CLIENT_BYTES) return
      if (owner.handedBytes >= MAX_LINK_BYTES) {
        owner.starved.add(client)
        return
      }
      const event = line.handOver()
      if (!event) return
      this.handedOver++
      owner.handedBytes += sizeOf(event)
      const { number, kind, isRedelivered, losses, bytes } = event
      if (isRedelivered) this.redelivered++
      owner.write({ type: 'event', client: client.number, event: number, kind, isRedelivered, losses, bytes })
    }
  }

  // ---- links -------------------------------------------------------------------------------------------------------

  /** It takes clients from now on: those that wait are the first. */
  serve(link: BusinessLink): void {
    if (link.state !== 'ready') return
    this.succession.settle()
    link.state = 'serving'
    this.#links.add(link)
    this.#assignWaiting()
  }

  /** It has read what it was told. */
  hasRead(link: BusinessLink): void {
    link.toldBytes = 0
    this.#assignWaiting()
  }

  /** It takes nothing new: its clients go to others as soon as it has nothing of theirs. */
  leave(link: BusinessLink, { isFollowed = false }: { isFollowed?: boolean } = {}): void {
    if (link.state === 'closed') return
    if (isFollowed && link.state === 'serving') this.succession.expect()
    link.hasCrashed = isFollowed
    link.state = 'leaving'
    for (const client of [...link.clients]) this.#moveOn(client)
    link.write({ type: 'leave' })
  }

  #moveOn(client: HubClient): void {
    if (client.owner?.state !== 'leaving' || client.line.handedOver > 0) return
    this.#disown(client)
    if (client.isClosed && client.line.size === 0) this.#options.clients.forget(client)
    else this.#assign(client)
  }

  /** It is gone, and with it all that it had not acknowledged. */
  close(link: BusinessLink): void {
    // one that leaves in order and is cut at its deadline was slow, and no more than that
    const wasLost = link.state === 'serving' || link.hasCrashed
    if (link.state === 'serving') this.succession.expect()
    link.state = 'closed'
    this.#links.delete(link)
    for (const client of [...link.clients]) {
      this.#disown(client)
      for (const event of this.#takeBack(client, { wasLost })) this.#giveUpOn(client, event)
      if (client.isClosed && client.line.size === 0) this.#options.clients.forget(client)
      else if (!client.owner) this.#assign(client)
      // not before somebody has it: one that may speak again does so at once
      this.#options.onRelieved(client)
    }
  }

  #disown(client: HubClient): void {
    client.owner?.clients.delete(client)
    client.owner?.starved.delete(client)
    client.owner = null
  }

  #takeBack(client: HubClient, how: { wasLost: boolean }): ClientEvent[] {
    const { line } = client
    this.handedOver -= line.handedOver
    if (!this.#options.redelivers) this.lost += this.#shorten(client, () => line.loseHandedOver())
    return this.#shorten(client, () => line.takeBack(how))
  }

  #giveUpOn(client: HubClient, event: ClientEvent): void {
    this.fatal++
    // one whose coming nobody could handle is not let in: what it has said is not handled without that
    if (event.kind === 'connect') this.lost += this.#shorten(client, () => client.line.dropWaiting())
    this.#options.onFatal(client, event)
  }

  /** Keeps the sums over the lines. */
  #shorten<Told>({ line }: HubClient, shorten: () => Told): Told {
    const before = { size: line.size, byteLength: line.byteLength }
    const told = shorten()
    this.events -= before.size - line.size
    this.byteLength -= before.byteLength - line.byteLength
    return told
  }

  /** A worker has handled all events of a client up to this one. */
  acknowledge(link: BusinessLink, number: number, event: number): void {
    const client = this.#options.clients.findNumber(number)
    // it was taken from this worker meanwhile
    if (client?.owner !== link) return
    const { events, bytes } = client.line.acknowledge(event)
    this.events -= events
    this.handedOver -= events
    this.byteLength -= bytes
    link.handedBytes -= bytes
    this.#afterAcknowledged(client)
    this.#feedStarved(link)
  }

  /** A worker begins an event that was lost with another one. */
  begin(link: BusinessLink, number: number, event: number): void {
    const client = this.#options.clients.findNumber(number)
    if (client?.owner === link) client.line.begin(event)
  }

  /** A worker was not lost by an event that it has begun, and it alone. */
  outlive(link: BusinessLink, number: number, event: number): void {
    const client = this.#options.clients.findNumber(number)
    if (client?.owner === link) client.line.outlive(event)
  }

  #afterAcknowledged(client: HubClient): void {
    this.#options.onRelieved(client)
    if (client.isClosed && client.line.size === 0) {
      this.#disown(client)
      this.#options.clients.forget(client)
    } else if (client.owner?.state === 'leaving') this.#moveOn(client)
    else this.#pump(client)
  }

  #feedStarved(link: BusinessLink): void {
    for (const client of [...link.starved]) {
      if (link.handedBytes >= MAX_LINK_BYTES) return
      link.starved.delete(client)
      this.#pump(client)
    }
  }
}

function takesClients({ state, toldBytes }: BusinessLink): boolean {
  return state === 'serving' && toldBytes < MAX_TOLD_BYTES
}
