/**
 * What a bad message costs: business workers that die of some events, in random lives of real dispatches and of the
 * order in which real workers begin what others were lost with. Connections and processes are made up.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Trials } from '../../../src/gateway/business/trials.ts'
import { Clients } from '../../../src/gateway/hub/clients.ts'
import { Dispatch } from '../../../src/gateway/hub/dispatch.ts'
import type { BusinessLink, HubClient } from '../../../src/gateway/hub/model.ts'
import type { WireRecord } from '../../../src/gateway/wire/records.ts'
import type { Connection } from '../../../src/index.ts'
import { Random } from '../random.ts'

type Event = Extract<WireRecord, { type: 'event' }>

const HARMLESS = Uint8Array.of(0)
/** Whoever handles it dies. */
const POISON = Uint8Array.of(1)
/** It is never handled to the end, and harms nobody. */
const ENDLESS = Uint8Array.of(2)
/** It is handled to the end after a while, and harms nobody. */
const SLOW = Uint8Array.of(3)

function is(event: Event, what: Uint8Array): boolean {
  return event.bytes[0] === what[0]
}

/** An event that a worker has, and how far it is with it. */
interface Held {
  readonly event: Event
  readonly link: Link
  phase: 'waits' | 'is tried' | 'may begin' | 'runs'
  /** On the clock; one that is slow is not over before. */
  overAt: number
  onBegun(): boolean
  end(): void
}

/** What was handed to one worker by one gateway. */
class Link implements BusinessLink {
  state: BusinessLink['state'] = 'ready'
  readonly clients = new Set<HubClient>()
  readonly starved = new Set<HubClient>()
  hasCrashed = false
  handedBytes = 0
  toldBytes = 0
  readonly dispatch: Dispatch
  readonly worker: Worker
  /** By client, in order. */
  readonly held = new Map<number, Held[]>()

  constructor(dispatch: Dispatch, worker: Worker) {
    this.dispatch = dispatch
    this.worker = worker
  }

  write(record: WireRecord): number {
    if (record.type === 'adopt') this.held.set(record.client, [])
    if (record.type === 'event')
      this.held.get(record.client)?.push({
        event: record,
        link: this,
        phase: 'waits',
        overAt: 0,
        onBegun: () => true,
        end: () => undefined,
      })
    return 0
  }

  /** Each client's events are handled one after another. */
  get heads(): Held[] {
    return [...this.held.values()].flatMap(([head]) => head ?? [])
  }
}

/** Its client waits for ever. */
function isEndless(link: Link, client: number): boolean {
  const [first] = link.held.get(client) ?? []
  return first !== undefined && is(first.event, ENDLESS)
}

interface Worker {
  readonly trials: Trials
  links: Link[]
}

class Life {
  readonly random: Random
  readonly gateways: { dispatch: Dispatch; clients: Clients; come(): HubClient }[]
  readonly workers: Worker[] = []
  /** The numbers of events that harm nobody, and are handled to the end. */
  readonly said = new Map<HubClient, number[]>()
  readonly handled = new Map<HubClient, number[]>()
  readonly fatal: { client: HubClient; bytes: Uint8Array }[] = []
  losses = 0
  readonly #lastNumbers = new Map<HubClient, number>()

  constructor(seed: number, { gateways, workers }: { gateways: number; workers: number }) {
    this.random = new Random(seed)
    this.gateways = Array.from({ length: gateways }, () => this.#createGateway())
    for (let count = 0; count < workers; count++) this.#start()
  }

  #createGateway(): Life['gateways'][number] {
    const clients = new Clients()
    const dispatch = new Dispatch({
      clients,
      redelivers: true,
      onRelieved: () => undefined,
      onFatal: (client, { bytes }) => void this.fatal.push({ client, bytes }),
      onAbandoned: () => undefined,
    })
    const come = (): HubClient => {
      const client = clients.add(`client-${clients.size}`, { protocol: 'text' } as Connection)
      this.said.set(client, [])
      this.handled.set(client, [])
      this.#push(dispatch, client, HARMLESS)
      return client
    }
    return { dispatch, clients, come }
  }

  #push(dispatch: Dispatch, client: HubClient, bytes: Uint8Array): void {
    const number = (this.#lastNumbers.get(client) ?? 0) + 1
    this.#lastNumbers.set(client, number)
    if (bytes === HARMLESS || bytes === SLOW) this.said.get(client)?.push(number)
    dispatch.push(client, 'text', bytes)
  }

  #start(): void {
    const worker: Worker = { trials: new Trials(), links: [] }
    worker.links = this.gateways.map(({ dispatch }) => new Link(dispatch, worker))
    this.workers.push(worker)
    for (const link of worker.links) link.dispatch.serve(link)
  }

  /** Somebody says something. */
  say(bytes = HARMLESS): void {
    const { dispatch, clients } = this.random.pick(this.gateways)
    this.#push(dispatch, this.random.pick([...clients.all()]), bytes)
  }

  /** It dies, and another one comes. */
  lose(worker: Worker): void {
    this.losses++
    this.workers.splice(this.workers.indexOf(worker), 1)
    for (const link of worker.links) link.dispatch.close(link)
    this.#start()
  }

  /** Some event goes one step on. @returns false: there is nothing to do. */
  work(): boolean {
    const heads = this.workers.flatMap(({ links }) => links.flatMap((link) => link.heads))
    const ready = heads.filter(({ phase, event, overAt }) => {
      if (phase === 'runs') return !is(event, ENDLESS) && overAt <= Date.now()
      return phase !== 'is tried'
    })
    if (ready.length > 0) this.#advance(this.random.pick(ready))
    return ready.length > 0
  }

  #advance(held: Held): void {
    const { event, link } = held
    switch (held.phase) {
      case 'waits':
        if (event.losses === 0) this.#run(held)
        else this.#try(held)
        return
      case 'may begin':
        link.dispatch.begin(link, event.client, event.event)
        held.onBegun()
        this.#run(held)
        // at once: one that ends its worker after longer than it is tried for is not found
        if (is(event, POISON)) this.lose(link.worker)
        return
      case 'runs':
        if (is(event, POISON)) this.lose(link.worker)
        else this.#settle(held)
        return
      case 'is tried':
        throw new Error('its turn has not come')
    }
  }

  #try(held: Held): void {
    const { event, link } = held
    held.phase = 'is tried'
    held.end = link.worker.trials.enter(event.losses, {
      begin: (onBegun) => {
        held.phase = 'may begin'
        held.onBegun = onBegun
      },
      outlive: (onKnown) => {
        link.dispatch.outlive(link, event.client, event.event)
        onKnown()
      },
    })
  }

  #run(held: Held): void {
    held.phase = 'runs'
    if (is(held.event, SLOW)) held.overAt = Date.now() + this.random.int(15_000, 60_000)
  }

  #settle({ event, link, end }: Held): void {
    link.held.get(event.client)?.shift()
    const client = [...link.clients].find(({ number }) => number === event.client) as HubClient
    this.handled.get(client)?.push(event.event)
    link.dispatch.acknowledge(link, event.client, event.event)
    end()
  }

  /** Clients that wait, and not for one that is never handled. */
  get stuck(): number[] {
    const waiting = [...this.said.keys()].filter(({ line }) => line.size > 0)
    return waiting.filter(({ owner, number }) => !isEndless(owner as Link, number)).map(({ number }) => number)
  }

  /** Until nothing is left to do. */
  settle(): void {
    while (this.work());
  }

  /** And the clock goes on meanwhile. */
  outlast(ms: number): void {
    for (let second = 0; second < ms; second += 1_000) {
      this.settle()
      vi.advanceTimersByTime(1_000)
    }
    this.settle()
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'Date'] })
})
afterEach(() => void vi.useRealTimers())

const SEEDS = Array.from({ length: 100 }, (_, index) => index + 1)

describe.each([
  { gateways: 1, workers: 1 },
  { gateways: 1, workers: 3 },
  { gateways: 2, workers: 1 },
  { gateways: 3, workers: 2 },
])('$gateways gateways and $workers workers', (counts) => {
  function populate(life: Life): void {
    for (const gateway of life.gateways) for (let count = 0; count < 12; count++) gateway.come()
  }

  it.each(SEEDS)('one bad message at a time costs six workers, and no other message of anybody, seed %i', (seed) => {
    const life = new Life(seed, counts)
    populate(life)
    for (let bad = 1; bad <= 3; bad++) {
      life.say(POISON)
      for (let step = 0; step < 300; step++)
        if (life.random.chance(0.4)) life.say()
        else life.work()
      life.settle()
      expect(life.losses).toBe(6 * bad)
    }
    expect(life.fatal.map(({ bytes }) => bytes)).toEqual([POISON, POISON, POISON])
    expect([...life.handled]).toEqual([...life.said])
  })

  it.each(SEEDS)('nor any message that takes a minute, or for ever, seed %i', (seed) => {
    const life = new Life(seed, counts)
    populate(life)
    for (let bad = 1; bad <= 3; bad++) {
      life.say(POISON)
      for (let step = 0; step < 300; step++) {
        const what = life.random.next()
        if (what < 0.003) life.say(ENDLESS)
        else if (what < 0.04) life.say(SLOW)
        else if (what < 0.4) life.say()
        else if (what < 0.42) vi.advanceTimersByTime(life.random.int(1, 12_000))
        else life.work()
      }
      life.outlast(600_000)
    }
    expect(life.fatal.filter(({ bytes }) => bytes !== POISON).map(({ bytes }) => bytes)).toEqual([])
    expect(life.losses).toBe(6 * life.fatal.length)
    expect(life.stuck).toEqual([])
  })

  it.each(SEEDS)(
    'any number of them, beside messages that are never handled, costs six workers each at most, seed %i',
    (seed) => {
      const life = new Life(seed, counts)
      populate(life)
      let bad = 0
      for (let step = 0; step < 1_000; step++) {
        const what = life.random.next()
        if (what < 0.01) {
          bad++
          life.say(POISON)
        } else if (what < 0.015) life.say(ENDLESS)
        else if (what < 0.3) life.say()
        else if (what < 0.32) vi.advanceTimersByTime(life.random.int(1, 12_000))
        else life.work()
      }
      // those that are never handled hold up others for a while
      for (let round = 0; round < 500; round++) {
        life.settle()
        vi.advanceTimersByTime(10_000)
      }
      expect(life.losses).toBeLessThanOrEqual(6 * bad)
      expect(life.losses).toBeGreaterThan(0)
      expect(life.stuck).toEqual([])
    },
  )
})
