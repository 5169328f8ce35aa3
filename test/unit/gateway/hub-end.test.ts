/** A gateway that leaves while there is no business worker: whom it waits for, and what is said of that which is lost. */
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { Hub } from '../../../src/gateway/hub/hub.ts'
import { checkGateway } from '../../../src/gateway/options.ts'
import { PeerLink } from '../../../src/gateway/peer/link.ts'
import type { WireRecord } from '../../../src/gateway/wire/records.ts'
import type { Connection, StopReason } from '../../../src/index.ts'
import { enter } from '../../../src/inside/present.ts'
import { Timers } from '../../../src/inside/timers.ts'
import { Upstreams } from '../../../src/inside/upstreams.ts'
import { Branch } from '../../../src/protocols/branch.ts'
import { Connections } from '../../../src/protocols/connections.ts'
import { temporaryDirectory } from '../tempdir.ts'

const MESSAGES = 100
/** How long goodbyes wait for answers. */
const PATIENCE_MS = 2_000

let said: string[]

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  said = []
  vi.spyOn(console, 'error').mockImplementation((line: string) => void said.push(line))
  const connections = { size: 0 } as never
  const worker = { name: 'gateway', id: 0, generation: 1, isLeader: false, connections, broadcast: () => 0 }
  enter({
    worker,
    upstreams: new Upstreams(worker),
    timers: new Timers(worker),
    branch: () => new Branch(new Connections()),
    keepListening: () => undefined,
    discount: () => undefined,
  })
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** A business worker that finishes nothing until it is told to. */
class Business {
  readonly #link: PeerLink
  readonly taken: Extract<WireRecord, { type: 'event' }>[] = []
  #isHandling = false

  private constructor(link: PeerLink) {
    this.#link = link
  }

  static async serve({ hub, path }: Stage): Promise<Business> {
    const before = Number(hub.figures()['workers'])
    const onRecord = (_: PeerLink, record: WireRecord): void => business.#take(record)
    const link = await PeerLink.open(
      path,
      { role: 'business', name: 'business' },
      { onRecord, onClosed: () => undefined },
    )
    const business = new Business(link)
    onTestFinished(() => link.destroy())
    link.write({ type: 'serve' })
    while (hub.figures()['workers'] === before) await turn()
    return business
  }

  #take(record: WireRecord): void {
    if (record.type !== 'event') return
    this.taken.push(record)
    if (this.#isHandling) this.#link.write({ type: 'ack', client: record.client, event: record.event })
  }

  handleAll(): void {
    this.#isHandling = true
    const [last] = this.taken.slice(-1)
    if (last) this.#link.write({ type: 'ack', client: last.client, event: last.event })
  }

  leave(how: { isFollowed?: true } = {}): void {
    this.#link.write({ type: 'leave', ...how })
  }

  die(): void {
    this.#link.destroy()
  }
}

interface Stage {
  readonly hub: Hub
  readonly path: string
}

/** A gateway with a client that says goodbye when it is told to. */
async function open(): Promise<Stage & { client: Connection }> {
  const linkDir = temporaryDirectory()
  const hub = new Hub(checkGateway({ listen: 'text://127.0.0.1:0' }))
  await hub.open(linkDir)
  const client = {
    state: 'open',
    protocol: 'text',
    pause: () => undefined,
    resume: () => undefined,
    part: () => queueMicrotask(() => hub.closed(client)),
  } as unknown as Connection
  return { hub, path: join(linkDir, `${hub.id}.sock`), client }
}

/** And its client has said more than a business worker is given at once. */
async function load(): Promise<Stage & { business: Business }> {
  const { hub, path, client } = await open()
  const business = await Business.serve({ hub, path })
  hub.connected(client)
  for (let message = 0; message < MESSAGES; message++) hub.said(client, `message ${message}`)
  while (business.taken.length < 64) await turn()
  return { hub, path, business }
}

async function kill({ hub, business }: Stage & { business: Business }): Promise<void> {
  business.die()
  while (hub.figures()['workers'] !== 0) await turn()
}

/** A drain that says whether it is over. */
function drain(hub: Hub, reason: StopReason): { isOver: boolean } {
  const draining = { isOver: false }
  void hub.drain(reason).then(() => {
    draining.isOver = true
  })
  return draining
}

async function pass(ms: number): Promise<void> {
  vi.advanceTimersByTime(ms)
  for (let turns = 0; turns < 20; turns++) await turn()
}

/** All that it had, and all that waited, is handled by another one. */
async function expectHandledByNext(stage: Stage, draining: { isOver: boolean }, from = 1): Promise<void> {
  expect(draining.isOver).toBe(false)
  const next = await Business.serve(stage)
  next.handleAll()
  while (!draining.isOver) await turn()
  const numbers = next.taken.map(({ event }) => event)
  // that the client has come, what it has said, that it has gone
  expect(numbers).toEqual(Array.from({ length: 1 + MESSAGES + 1 - (from - 1) }, (_, index) => from + index))
  expect(said.filter((line) => line.includes('lost'))).toEqual([])
}

it('the only one was killed before it leaves, and the next one is late: it is waited for', async () => {
  const stage = await load()
  await kill(stage)
  await pass(20_000)
  const draining = drain(stage.hub, 'reload')
  await pass(20_000)
  await expectHandledByNext(stage, draining)
})

it('the only one is killed while it leaves, and the next one is late: it is waited for', async () => {
  const stage = await load()
  const draining = drain(stage.hub, 'reload')
  await pass(PATIENCE_MS)
  await kill(stage)
  await pass(20_000)
  await expectHandledByNext(stage, draining)
})

it('the only one has crashed: it finishes what it has, and the next one gets the rest', async () => {
  const stage = await load()
  const draining = drain(stage.hub, 'reload')
  await pass(PATIENCE_MS)
  stage.business.leave({ isFollowed: true })
  stage.business.handleAll()
  while (stage.hub.figures()['handedOver'] !== 0) await turn()
  stage.business.die()
  await pass(20_000)
  await expectHandledByNext(stage, draining, 65)
})

it('nobody has come in the end: what is lost is counted, and said', async () => {
  const stage = await load()
  const { hub } = stage
  const draining = drain(hub, 'stop')
  await pass(PATIENCE_MS)
  await kill(stage)
  await pass(4_000)
  expect(draining.isOver).toBe(false)
  await pass(2_000)
  expect(draining.isOver).toBe(true)
  expect(hub.figures()).toMatchObject({ dropped: MESSAGES, handedOver: 0 })
  expect(said).toEqual(['shiftwork: 100 messages of 1 clients are lost: no business worker took them'])
})

it('one that has left because it was not wanted any more is followed by nobody', async () => {
  const { hub, business } = await load()
  const draining = drain(hub, 'reload')
  await pass(PATIENCE_MS)
  business.leave()
  business.handleAll()
  while (!draining.isOver) await turn()
  expect(said).toEqual(['shiftwork: 37 messages of 1 clients are lost: no business worker took them'])
})

it('the process ends at its deadline: what no worker has by then is said to be lost', async () => {
  const { hub } = await load()
  const before = process.listeners('exit')
  drain(hub, 'reload')
  await pass(PATIENCE_MS)
  const [onExit, ...others] = process.listeners('exit').filter((listener) => !before.includes(listener))
  expect(others).toEqual([])
  onExit?.call(process, 0)
  // the other ones may be handled: a worker has them
  expect(said).toEqual(['shiftwork: 37 messages of 1 clients are lost: no business worker took them'])
  expect(hub.figures()).toMatchObject({ dropped: 37, handedOver: 64 })
})
