/**
 * A gateway's clients and links without connections and sockets, with a random life: what is promised of the way of
 * an event is looked at after each step. A worker here is what was written to its link.
 */
import { expect } from 'vitest'
import { Clients } from '../../../src/gateway/hub/clients.ts'
import { Dispatch } from '../../../src/gateway/hub/dispatch.ts'
import type { BusinessLink, HubClient } from '../../../src/gateway/hub/model.ts'
import type { WireRecord } from '../../../src/gateway/wire/records.ts'
import type { Connection } from '../../../src/index.ts'
import type { Random } from '../random.ts'

/** Most are small; of the large ones, a few fill a client's window, and a link's. */
const BODIES = [new Uint8Array(0), new Uint8Array(20), new Uint8Array(100_000), new Uint8Array(1024 * 1024)]
const MAX_CLIENT_EVENTS = 64
const MAX_CLIENT_BYTES = 256 * 1024

type Event = Extract<WireRecord, { type: 'event' }>

export class FakeLink implements BusinessLink {
  state: BusinessLink['state'] = 'ready'
  readonly clients = new Set<HubClient>()
  readonly starved = new Set<HubClient>()
  hasCrashed = false
  handedBytes = 0
  toldBytes = 0
  /** Each client that it was given costs as much. */
  adoptBytes = 50
  /** It was asked whether it has read everything. */
  isAsked = false
  /** What it was given of each client since it was given that one, and has not acknowledged. */
  readonly held = new Map<number, Event[]>()
  readonly onEvent: (event: Event) => void

  constructor(onEvent: (event: Event) => void) {
    this.onEvent = onEvent
  }

  write(record: WireRecord): number {
    switch (record.type) {
      case 'adopt':
        expect(this.state, 'a client is given to one that serves').toBe('serving')
        this.held.set(record.client, [])
        return this.adoptBytes
      case 'event':
        expect(this.state, 'an event is handed to one that serves').toBe('serving')
        expect(this.held.has(record.client), 'a client is given before its events').toBe(true)
        this.held.get(record.client)?.push(record)
        this.onEvent(record)
        return 0
      case 'ping':
        this.isAsked = true
        return 0
      default:
        return 0
    }
  }
}

/** With so many workers an event is lost at most. */
const MAX_LOSSES = 6

/** turned away: nobody could handle that its client had come. */
type Fate = 'waiting' | 'acknowledged' | 'dropped' | 'lost' | 'given up' | 'fatal' | 'turned away'

/** What is known of one event. */
interface Known {
  readonly kind: Event['kind']
  timesHanded: number
  /** Workers that were lost with it, and whether the one that has it has begun it since. */
  losses: number
  isBegun: boolean
  fate: Fate
}

export class Handover {
  readonly clients = new Clients()
  readonly dispatch: Dispatch
  readonly redelivers: boolean
  links: FakeLink[] = []
  readonly #random: Random
  /** By client and by event. */
  readonly #known = new Map<number, Map<number, Known>>()
  /** What a client says as soon as there is room, as one does that was paused. */
  #isEager = false

  constructor(random: Random, redelivers: boolean) {
    this.#random = random
    this.redelivers = redelivers
    this.dispatch = new Dispatch({
      clients: this.clients,
      redelivers,
      onAbandoned: () => undefined,
      onRelieved: (client) => {
        if (this.#isEager && !client.isClosed) this.say(client)
      },
      onFatal: (client, event) => this.#noteFatal(client, event),
    })
  }

  // ---- what happens ------------------------------------------------------------------------------------------------

  step(): void {
    const random = this.#random
    this.#isEager = random.chance(0.1)
    const client = this.#pick([...this.clients.all()].filter(({ isClosed }) => !isClosed))
    const link = this.#pick(this.links)
    const what = random.next()
    if (what < 0.08) this.come()
    else if (what < 0.4) client && this.say(client)
    else if (what < 0.44) client && this.#go(client)
    else if (what < 0.46) client && this.#drop(client)
    else if (what < 0.48) this.links.length < 5 && this.#link()
    else if (what < 0.5) link && this.dispatch.serve(link)
    else if (what < 0.515) link && this.dispatch.leave(link, { isFollowed: random.chance(0.3) })
    else if (what < 0.53) link && this.lose(link)
    else if (what < 0.532) this.#giveUp()
    else if (what < 0.65) link && this.#begin(link)
    else if (link) this.#acknowledge(link)
  }

  come(): void {
    const client = this.clients.add(`client-${this.#known.size}`, { protocol: 'text' } as Connection)
    this.#known.set(client.number, new Map())
    this.#push(client, 'connect', BODIES[0])
  }

  say(client: HubClient): void {
    this.#push(client, this.#random.chance(0.5) ? 'text' : 'bytes', this.#random.pick(BODIES))
  }

  #go(client: HubClient): void {
    this.clients.close(client)
    this.#push(client, 'close', BODIES[0])
  }

  #push(client: HubClient, kind: Event['kind'], bytes = new Uint8Array()): void {
    const events = this.#known.get(client.number)
    events?.set(events.size + 1, { kind, timesHanded: 0, losses: 0, isBegun: false, fate: 'waiting' })
    this.dispatch.push(client, kind, bytes)
  }

  #drop(client: HubClient): void {
    const [eldest] = this.#waitingOf(client)
    expect(this.dispatch.dropOldest(client)).toBe(eldest !== undefined)
    if (eldest) eldest.fate = 'dropped'
  }

  #giveUp(): void {
    const waiting = [...this.clients.all()].map((client) => this.#waitingOf(client))
    expect(this.dispatch.giveUp()).toEqual({
      messages: sum(waiting, (messages) => messages.length),
      clients: waiting.filter((messages) => messages.length > 0).length,
    })
    for (const message of waiting.flat()) message.fate = 'given up'
  }

  /** Its messages that no worker has, in order. */
  #waitingOf(client: HubClient): Known[] {
    const held = new Set((client.owner as FakeLink | null)?.held.get(client.number)?.map(({ event }) => event))
    return [...(this.#known.get(client.number) ?? [])]
      .filter(([number, known]) => known.fate === 'waiting' && isMessage(known) && !held.has(number))
      .map(([, known]) => known)
  }

  /** An event of a lost worker is begun by another. */
  #begin(link: FakeLink): void {
    const all = [...link.held].flatMap(([client, events]) => events.map(({ event }) => ({ client, event })))
    const { client = 0, event = 0 } = this.#pick(all) ?? {}
    const known = this.#known.get(client)?.get(event)
    if (!known || known.losses === 0) return
    known.isBegun = true
    this.dispatch.begin(link, client, event)
  }

  #noteFatal(client: HubClient, { number, kind }: { number: number; kind: Event['kind'] }): void {
    const events = this.#known.get(client.number)
    const known = events?.get(number)
    if (!events || !known) throw new Error(`event ${number} of client ${client.number} was never said`)
    expect(known.losses, 'it was lost too often').toBe(MAX_LOSSES)
    known.fate = 'fatal'
    if (kind !== 'connect') return
    for (const other of events.values()) if (other.fate === 'waiting' && isMessage(other)) other.fate = 'turned away'
    if (!client.isClosed) this.#go(client)
  }

  #link(): FakeLink {
    const link = new FakeLink((event) => this.#noteHanded(event))
    this.links.push(link)
    return link
  }

  /** One more worker serves. */
  serve(): FakeLink {
    const link = this.#link()
    this.dispatch.serve(link)
    return link
  }

  lose(link: FakeLink): void {
    this.links = this.links.filter((other) => other !== link)
    const wasLost = link.state === 'serving' || link.hasCrashed
    const held = [...link.held].flatMap(([client, events]) =>
      events.map(({ event }) => this.#known.get(client)?.get(event)).filter((known) => known !== undefined),
    )
    for (const known of held) {
      if (isMessage(known) && !this.redelivers) known.fate = 'lost'
      else if (wasLost && (known.losses === 0 || known.isBegun)) known.losses++
      known.isBegun = false
    }
    this.dispatch.close(link)
    const tooOften = held.filter(({ losses, fate }) => losses >= MAX_LOSSES && fate !== 'fatal')
    expect(tooOften, 'lost too often, and not dropped').toEqual([])
    // what it says late stands for nothing
    for (const [client, events] of link.held) this.dispatch.acknowledge(link, client, events.at(-1)?.event ?? 0)
  }

  /** Some of what it has of one client. */
  #acknowledge(link: FakeLink): void {
    const [client, events] = this.#pick([...link.held].filter(([, held]) => held.length > 0)) ?? []
    if (client !== undefined && events) this.acknowledge(link, client, this.#random.int(1, events.length))
  }

  acknowledge(link: FakeLink, client: number, count: number): void {
    const done = link.held.get(client)?.splice(0, count) ?? []
    for (const { event } of done) {
      const known = this.#known.get(client)?.get(event)
      expect(known?.fate, `event ${event} of client ${client} is acknowledged once`).toBe('waiting')
      if (known) known.fate = 'acknowledged'
    }
    this.dispatch.acknowledge(link, client, done.at(-1)?.event ?? 0)
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : this.#random.pick(list)
  }

  // ---- what is promised --------------------------------------------------------------------------------------------

  #noteHanded({ client, event, isRedelivered, losses }: Event): void {
    const events = this.#known.get(client)
    const known = events?.get(event)
    if (!events || !known) throw new Error(`event ${event} of client ${client} was never said`)
    const owner = this.clients.findNumber(client)?.owner as FakeLink
    const held = owner.held.get(client)?.map((other) => other.event) ?? []
    const open = [...events].filter(([number, { fate }]) => number <= event && fate === 'waiting')
    // everything before it is with the same worker, and marked is what another had
    expect({ held, isRedelivered, losses }).toEqual({
      held: open.map(([number]) => number),
      isRedelivered: known.timesHanded > 0,
      losses: known.losses,
    })
    if (open.some(([, other]) => other.losses > 0))
      expect(held, 'one with which a worker was lost is alone').toEqual([event])
    known.timesHanded++
    if (!this.redelivers && isMessage(known)) expect(known.timesHanded).toBe(1)
  }

  check(): void {
    const all = [...this.clients.all()]
    const known = [...this.#known.values()].flatMap((events) => [...events.values()])
    const { events, byteLength, handedOver, redelivered, lost, fatal } = this.dispatch
    const wrongs = [...all.flatMap((client) => this.#faultsOf(client)), ...this.links.flatMap(faultsOfLink)]
    const countOf = (...fates: Fate[]): number => known.filter(({ fate }) => fates.includes(fate)).length
    expect({ events, byteLength, handedOver, redelivered, lost, fatal, wrongs }).toEqual({
      events: sum(all, ({ line }) => line.size),
      byteLength: sum(all, ({ line }) => line.byteLength),
      handedOver: sum(all, ({ line }) => line.handedOver),
      redelivered: sum(known, ({ timesHanded }) => Math.max(0, timesHanded - 1)),
      lost: countOf('lost', 'given up', 'turned away'),
      fatal: countOf('fatal'),
      wrongs: [],
    })
  }

  #faultsOf(client: HubClient): string[] {
    const { owner, line, number } = client
    const owners = this.links.filter(({ clients }) => clients.has(client))
    if (!owner)
      return faults(number, {
        'has an owner that does not know it': owners.length > 0,
        'waits while somebody serves': this.links.some(({ state }) => state === 'serving'),
        'is handed to nobody': line.handedOver > 0,
      })
    const isAlone = line.isSuspected && line.handedOver > 0
    const isFull = isAlone || line.handedOver >= MAX_CLIENT_EVENTS || line.handedBytes >= MAX_CLIENT_BYTES
    return faults(number, {
      'has two workers': owners.length !== 1 || owners[0] !== owner,
      'is said to have another number of events handed over': heldBy(owner, number) !== line.handedOver,
      'has more with its worker than fits': line.handedOver > MAX_CLIENT_EVENTS,
      'is still with one that leaves': owner.state === 'leaving' && line.handedOver === 0,
      'waits for nothing': owner.state === 'serving' && line.waiting > 0 && !isFull && !owner.starved.has(client),
    })
  }

  /** A worker that handles everything comes: then each event was handled once, or is accounted for. */
  settle(): void {
    this.#isEager = false
    const last = this.serve()
    for (const link of this.links) if (link.state === 'ready') this.dispatch.serve(link)
    for (let isMore = true; isMore; ) {
      isMore = false
      for (const link of [...this.links])
        for (const [client, events] of [...link.held])
          if (events.length > 0) {
            isMore = true
            this.acknowledge(link, client, events.length)
            this.check()
          }
    }
    expect(last.state).toBe('serving')
    expect({ events: this.dispatch.events, byteLength: this.dispatch.byteLength }).toEqual({ events: 0, byteLength: 0 })
    expect([...this.clients.all()].filter(({ isClosed }) => isClosed)).toEqual([])
    const fates = [...this.#known.values()].flatMap((events) => [...events.values()]).map(({ fate }) => fate)
    expect(fates.filter((fate) => fate === 'waiting')).toEqual([])
    if (this.redelivers) expect(fates).not.toContain('lost')
  }
}

function isMessage({ kind }: Known): boolean {
  return kind === 'text' || kind === 'bytes'
}

function heldBy(link: BusinessLink, client: number): number | undefined {
  return (link as FakeLink).held.get(client)?.length
}

function faultsOfLink(link: FakeLink): string[] {
  const owned = [...link.clients]
  return faults(0, {
    'a link counts other bytes than it has': link.handedBytes !== sum(owned, ({ line }) => line.handedBytes),
    'a link has a client of another': owned.some(({ owner }) => owner !== link),
    'a link lets a client wait that it has not': [...link.starved].some(({ owner }) => owner !== link),
  })
}

function faults(client: number, are: Record<string, boolean>): string[] {
  return Object.keys(are)
    .filter((name) => are[name])
    .map((name) => `client ${client} ${name}`)
}

function sum<T>(list: readonly T[], amountOf: (item: T) => number): number {
  return list.reduce((total, item) => total + amountOf(item), 0)
}
