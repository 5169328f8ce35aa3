/** A business worker that leaves: what it owes to its gateways before it is gone, and whose clients it still has. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, it, onTestFinished, vi } from 'vitest'
import type { Client, ClientHooks } from '../../../src/gateway/business/client.ts'
import { Desk } from '../../../src/gateway/business/desk.ts'
import { Places } from '../../../src/gateway/peer/places.ts'
import { temporaryDirectory } from '../tempdir.ts'
import { FakeGateway } from './fake-gateway.ts'

const NO_HOOKS: ClientHooks = {
  onConnect: null,
  onWebSocketConnect: null,
  onMessage: null,
  onClose: null,
  onError: null,
}

async function serve(hooks: Partial<ClientHooks>): Promise<{ desk: Desk; gateway: FakeGateway }> {
  const linkDir = temporaryDirectory()
  const gateway = await FakeGateway.open(linkDir)
  gateway.stateDir = '/fleet'
  const places = new Places({ linkDir })
  const desk = new Desk({ name: 'business', places, hooks: { ...NO_HOOKS, ...hooks }, deadlineMs: 1_000 })
  onTestFinished(() => desk.close())
  await desk.ready()
  desk.serve()
  await gateway.until('serve')
  return { desk, gateway }
}

/** A drain that says whether it is over. */
function drain(desk: Desk): { isOver: boolean; promise: Promise<void> } {
  const draining = {
    isOver: false,
    promise: desk.drain().then(() => {
      draining.isOver = true
    }),
  }
  return draining
}

it('it is not gone before its gateway has taken its last acknowledgement', async () => {
  let handled = (): void => undefined
  const handling = new Promise<void>((resolve) => {
    handled = resolve
  })
  const { desk, gateway } = await serve({ onConnect: () => handling })
  gateway.give(1)
  const draining = drain(desk)
  await gateway.until('leave')
  gateway.say({ type: 'leave' })
  handled()
  await gateway.until('ping')
  expect(gateway.said.slice(-2)).toEqual([{ type: 'ack', client: 1, event: 1 }, { type: 'ping' }])
  for (let turns = 0; turns < 20; turns++) await turn()
  expect(draining.isOver).toBe(false)
  gateway.say({ type: 'pong' })
  await draining.promise
})

it('a gateway that dies meanwhile is not waited for', async () => {
  const { desk, gateway } = await serve({ onConnect: () => undefined })
  gateway.give(1)
  await gateway.until('ack')
  const draining = drain(desk)
  await gateway.until('leave')
  gateway.say({ type: 'leave' })
  await gateway.until('ping')
  gateway.die()
  await draining.promise
})

it('when the master is lost it handles all that the gateways of its fleet have, however long that takes, and leaves behind them', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const handled: string[] = []
  const { desk, gateway } = await serve({ onMessage: (client: Client) => void handled.push(client.id) })
  gateway.give(1)
  let isOver = false
  const outlasting = desk.outlast('/fleet', 3_600_000).then(() => {
    isOver = true
  })
  for (let round = 1; round <= 10; round++) {
    vi.advanceTimersByTime(10_000)
    gateway.tell(1, 1 + round, 'text')
    while (handled.length < round) await turn()
  }
  expect(isOver).toBe(false)
  expect(gateway.said.map(({ type }) => type)).not.toContain('leave')
  gateway.die()
  await outlasting
})

it('gateways of another fleet stay when its master is lost: it waits for none of them', async () => {
  const { desk } = await serve({})
  await desk.outlast('/another fleet', 20_000)
})

it.each([true, false])('its gateways are told whether another one comes in its place (%s)', async (isFollowed) => {
  const { desk, gateway } = await serve({})
  void desk.drain({ isFollowed })
  await gateway.until('leave')
  expect(gateway.said.at(-1)).toEqual(isFollowed ? { type: 'leave', isFollowed } : { type: 'leave' })
})

it('a client that is handed on while it leaves is not its own any more: when the gateway dies, it tells its end to nobody', async () => {
  const gone: string[] = []
  const handled: (() => void)[] = []
  const hooks: Partial<ClientHooks> = {
    onConnect: (client: Client) =>
      client.id === 'fake.1' ? undefined : new Promise<void>((resolve) => handled.push(resolve)),
    onClose: (client: Client) => void gone.push(client.id),
  }
  const { desk, gateway } = await serve(hooks)
  for (const client of [1, 2, 3]) gateway.give(client)
  await gateway.until('ack')
  const draining = drain(desk)
  await gateway.until('leave')
  gateway.say({ type: 'leave' })
  // the second one was busy at that moment, and is handed on later; the third one stays busy
  for (let turns = 0; turns < 20; turns++) await turn()
  handled[0]?.()
  for (let turns = 0; turns < 20; turns++) await turn()
  expect(desk.figures()).toMatchObject({ clients: 1 })
  gateway.die()
  while (desk.figures()['gateways'] !== 0) await turn()
  handled[1]?.()
  await draining.promise
  expect(gone).toEqual(['fake.3'])
})

/** Hands it a message with which so many workers were lost. */
function suspect(gateway: FakeGateway, client: number, losses: number): void {
  const bytes = new Uint8Array()
  gateway.say({ type: 'event', client, event: 2, kind: 'text', isRedelivered: losses > 0, losses, bytes })
}

/** Its answers are read, and what they lead to is said. */
async function quiet(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await turn()
}

it('an event with which others were lost is not begun before its gateway knows that, and one that has cost two is alone', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const begun: [string, number][] = []
  const settle: (() => void)[] = []
  const hooks: Partial<ClientHooks> = {
    onMessage: (client: Client, _, { attempts }) => {
      begun.push([client.id, attempts])
      return new Promise<void>((resolve) => settle.push(resolve))
    },
  }
  const { gateway } = await serve(hooks)
  const announced = (): unknown[] => gateway.said.filter(({ type }) => type === 'begin')
  for (const [client, losses] of [
    [1, 1],
    [2, 2],
    [3, 0],
  ] as const) {
    gateway.give(client)
    suspect(gateway, client, losses)
  }
  await gateway.until('ping')
  await quiet()
  expect(announced()).toEqual([{ type: 'begin', client: 1, event: 2 }])
  expect(begun).toEqual([['fake.3', 1]])
  gateway.say({ type: 'pong' })
  while (begun.length < 2) await turn()
  await quiet()
  expect(announced()).toHaveLength(1)
  settle[1]?.()
  while (announced().length < 2) await turn()
  gateway.say({ type: 'pong' })
  while (begun.length < 3) await turn()
  expect(begun).toEqual([
    ['fake.3', 1],
    ['fake.1', 2],
    ['fake.2', 3],
  ])
})

it('what was to be tried when the link was lost is left to others, and holds up nobody', async () => {
  const begun: string[] = []
  const { gateway, desk } = await serve({ onMessage: (client: Client) => void begun.push(client.id) })
  gateway.give(1)
  suspect(gateway, 1, 2)
  await gateway.until('begin')
  gateway.cut()
  const hasCome = (): boolean => gateway.said.filter(({ type }) => type === 'serve').length === 2
  while (!hasCome()) await turn()
  gateway.give(2)
  suspect(gateway, 2, 2)
  while (gateway.said.filter(({ type }) => type === 'ping').length < 2) await turn()
  gateway.say({ type: 'pong' })
  while (begun.length < 1) await turn()
  expect({ begun, clients: desk.figures()['clients'] }).toEqual({ begun: ['fake.2'], clients: 1 })
})

/** A worker with two messages that were lost with two others, of which it has begun the first one, and never ends it. */
async function tryOne(): Promise<{ desk: Desk; gateway: FakeGateway; begun: string[]; answer(): Promise<void> }> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const begun: string[] = []
  const hooks: Partial<ClientHooks> = {
    onMessage: (client: Client) => new Promise(() => void begun.push(client.id)),
  }
  const { desk, gateway } = await serve(hooks)
  for (const client of [1, 2]) {
    gateway.give(client)
    suspect(gateway, client, 2)
  }
  let answered = 0
  const pings = (): number => gateway.said.filter(({ type }) => type === 'ping').length
  const answer = async (): Promise<void> => {
    while (pings() === answered) await turn()
    answered++
    gateway.say({ type: 'pong' })
    await quiet()
  }
  return { desk, gateway, begun, answer }
}

it('one that is tried alone for long holds up others no more, once its gateway knows that no worker is lost by it', async () => {
  const { gateway, begun, answer } = await tryOne()
  const told = (): unknown[] => gateway.said.filter(({ type }) => type === 'begin' || type === 'outlived')
  vi.advanceTimersByTime(10_000)
  await answer()
  vi.advanceTimersByTime(2_999)
  await quiet()
  expect(told()).toEqual([{ type: 'begin', client: 1, event: 2 }])
  vi.advanceTimersByTime(1)
  await quiet()
  expect(told().slice(1)).toEqual([{ type: 'outlived', client: 1, event: 2 }])
  await answer()
  expect(told().slice(2)).toEqual([{ type: 'begin', client: 2, event: 2 }])
  await answer()
  expect(begun).toEqual(['fake.1', 'fake.2'])
})

it('a worker that is about to end begins none of them any more, and does not clear the one that it has begun', async () => {
  const { desk, gateway, begun, answer } = await tryOne()
  await answer()
  void desk.drain({ isFollowed: true })
  vi.advanceTimersByTime(10_000)
  await quiet()
  expect(gateway.said.slice(-1)).toEqual([{ type: 'leave', isFollowed: true }])
  expect(begun).toEqual(['fake.1'])
})

it('nor one that it has announced: its gateway is told that it is not begun', async () => {
  const { desk, gateway, begun, answer } = await tryOne()
  await gateway.until('begin')
  void desk.drain({ isFollowed: true })
  await answer()
  expect(gateway.said.slice(-3, -1)).toEqual([
    { type: 'leave', isFollowed: true },
    { type: 'outlived', client: 1, event: 2 },
  ])
  expect(begun).toEqual([])
})

it('a worker that was frozen for long handles nothing before its gateway has said that it still has its clients', async () => {
  const handled: string[] = []
  let settle = (): void => undefined
  const hooks: Partial<ClientHooks> = {
    onConnect: (client: Client) =>
      client.id === 'fake.1' &&
      new Promise<void>((resolve) => {
        settle = resolve
      }),
    onMessage: (client: Client) => void handled.push(client.id),
  }
  const { gateway } = await serve(hooks)
  gateway.give(1)
  gateway.give(2)
  gateway.tell(1, 2, 'text')
  await gateway.until('ack')
  const now = performance.now.bind(performance)
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 25_000)
  onTestFinished(() => clock.mockRestore())
  // what it has taken before, and what it reads only now
  settle()
  gateway.tell(2, 2, 'text')
  await gateway.until('ping')
  for (let turns = 0; turns < 20; turns++) await turn()
  expect(handled).toEqual([])
  gateway.say({ type: 'pong' })
  while (handled.length < 2) await turn()
  expect(handled.sort()).toEqual(['fake.1', 'fake.2'])
  expect(gateway.said.filter(({ type }) => type === 'ping')).toHaveLength(1)
})
