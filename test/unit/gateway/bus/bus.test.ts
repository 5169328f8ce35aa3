/** Gateways and those who command them, in one process, with a broker that does what it is told to. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { parseBusAddress } from '../../../../src/gateway/bus/address.ts'
import { Far } from '../../../../src/gateway/bus/far.ts'
import { encodeMessage } from '../../../../src/gateway/bus/message.ts'
import { Post } from '../../../../src/gateway/bus/post.ts'
import { BusReach } from '../../../../src/gateway/bus/reach.ts'
import { createGatewayId } from '../../../../src/gateway/ids.ts'
import { Commands } from '../../../../src/gateway/peer/commands.ts'
import type { Target } from '../../../../src/gateway/peer/link.ts'
import type { LocalReach } from '../../../../src/gateway/peer/reach.ts'
import type { Request } from '../../../../src/gateway/types.ts'
import type { Answer, Asked } from '../../../../src/gateway/wire/records.ts'
import { FakeBroker } from './fake-broker.ts'

const address = parseBusAddress('redis://h/test')
const DEADLINE_MS = 1_000
/** As exactly are deadlines kept. */
const TICK_MS = 50

let broker: FakeBroker
let said: string[]

beforeEach(() => {
  vi.useFakeTimers()
  broker = new FakeBroker()
  said = []
  vi.spyOn(console, 'error').mockImplementation((line: string) => void said.push(line))
})

afterEach(() => {
  // one of them stands on the fake clock
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** A gateway that takes every message. */
function gateway(
  answer: (record: Asked) => Answer = ({ request }) => ({ type: 'sent', request, delivery: 'sent' }),
): Post & { asked: Asked[] } {
  const asked: Asked[] = []
  const post = new Post({
    address,
    gateway: createGatewayId(),
    open: broker.open,
    answer: (record) => {
      asked.push(record)
      return answer(record)
    },
  })
  return Object.assign(post, { asked })
}

function peer(): Far {
  return new Far({ address, open: broker.open })
}

/** So many ms go by. */
async function pass(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
}

/** So many ms have gone by in which nothing was done here. */
function standStill(ms: number): void {
  const now = performance.now.bind(performance)
  vi.spyOn(performance, 'now').mockImplementation(() => now() + ms)
}

/** Settled, with what came of it. */
async function outcome(promise: Promise<unknown>, ms = DEADLINE_MS + TICK_MS): Promise<unknown> {
  const settled = promise.catch((error: { code: string }) => error.code)
  await pass(ms)
  return settled
}

async function send(far: Far, to: string, data: string | Uint8Array = 'hello'): Promise<unknown> {
  const sending = async (): Promise<unknown> => {
    const target = await far.find(to, DEADLINE_MS)
    return target ? target.send(`${to}.client`, data, DEADLINE_MS) : 'gone'
  }
  return outcome(sending())
}

const names = async (far: Far): Promise<string[]> =>
  (await far.all(DEADLINE_MS)).targets.map((target) => target.gateway).sort()

describe('gateways on the bus', () => {
  it('are found by those who were there before, and by those who come later', async () => {
    const before = peer()
    await pass()
    const one = gateway()
    await pass()
    const after = peer()
    await pass()
    for (const far of [before, after]) {
      expect(await names(far)).toEqual([one.name])
      expect(await send(far, one.name)).toBe('sent')
      expect(await send(far, createGatewayId())).toBe('gone')
    }
    expect(one.asked).toHaveLength(2)
  })

  it('are gone at once when they leave, or when somebody knows that they are dead', async () => {
    const [one, other, far, neighbour] = [gateway(), gateway(), peer(), peer()]
    await pass()
    expect(await names(far)).toEqual([one.name, other.name].sort())
    await one.leave()
    expect(await names(far)).toEqual([other.name])
    neighbour.bury(other.name)
    await pass()
    expect(await names(far)).toEqual([])
  })

  it('are silent when nothing is heard of them: nobody says that their clients are gone', async () => {
    const far = peer()
    const name = createGatewayId()
    broker.members.set(name, performance.now() + 3_000)
    await pass(2_000)
    expect(await names(far)).toEqual([name])
    await pass(2_000)
    expect(await names(far)).toEqual([])
    expect(await send(far, name)).toBe('ERR_BUS')
  })

  it('that have died while nobody could say so are removed when it can be said', async () => {
    const far = peer()
    await pass()
    const name = createGatewayId()
    broker.state = 'frozen'
    far.bury(name)
    await pass(10_000)
    broker.state = 'up'
    broker.members.set(name, performance.now() + 100_000)
    await pass(3_000)
    expect(broker.members.has(name)).toBe(false)
    expect(await names(far)).toEqual([])
  })

  it('do nothing that nobody waits for any more', async () => {
    const one = gateway()
    await pass(5_000)
    const channel = `shiftwork:test:to:${one.name}`
    const [mine] = broker.published.filter((entry) => entry.channel === channel)
    expect(mine).toBeUndefined()
    const far = peer()
    await pass()
    await send(far, one.name)
    expect(one.asked).toHaveLength(1)
    const [message] = broker.published.filter((entry) => entry.channel === channel)
    broker.say(channel, message?.bytes ?? Buffer.alloc(0))
    expect(one.asked).toHaveLength(1)
  })

  it('of another version are told from dead ones', async () => {
    const far = peer()
    await pass()
    const name = createGatewayId()
    broker.members.set(name, performance.now() + 100_000)
    await pass(2_000)
    const sending = (await far.find(name, DEADLINE_MS))?.send('a', 'b', DEADLINE_MS)
    const bytes = encodeMessage({ from: name, until: Infinity, records: Buffer.alloc(0) })
    bytes[0] = 99
    broker.say(`shiftwork:test:to:${far.name}`, bytes)
    await expect(sending).rejects.toMatchObject({
      code: 'ERR_BUS',
      message: expect.stringContaining('version 99') as string,
    })
  })

  it('answer the version that they do not know with their own, and nobody answers that', async () => {
    const [one, other] = [gateway(), gateway()]
    await pass()
    const bytes = encodeMessage({ from: other.name, until: Infinity, records: Buffer.alloc(0) })
    bytes[0] = 99
    const before = broker.published.length
    broker.say(`shiftwork:test:to:${one.name}`, bytes)
    await pass(1_000)
    expect(broker.published.length - before).toBe(2)
    expect(said).toEqual([])
  })

  it('that hear garbage complain now and then, and go on', async () => {
    const one = gateway(() => {
      throw new TypeError('nobody asks for this')
    })
    const far = peer()
    await pass()
    for (let round = 0; round < 100; round++) broker.say(`shiftwork:test:to:${one.name}`, Buffer.from('garbage'))
    for (let round = 0; round < 100; round++) broker.say('shiftwork:test:news', Buffer.from('garbage'))
    expect(await send(far, one.name)).toBe('ERR_NO_ANSWER')
    expect(said.filter((line) => line.includes('no sense'))).toHaveLength(2)
    await pass(60_000)
    broker.say('shiftwork:test:news', Buffer.from('garbage'))
    expect(said.filter((line) => line.includes('no sense'))).toHaveLength(4)
  })
})

describe('a broker that is away', () => {
  it('is said once, however long, and once that it is back', async () => {
    broker.state = 'away'
    const [one, far] = [gateway(), peer()]
    await pass()
    await Promise.all([one.ready(), far.ready()])
    await pass(600_000)
    expect(said.map((line) => line.replace(/:.*/, ''))).toHaveLength(2)
    expect(said.every((line) => line.includes('is away'))).toBe(true)
    expect(broker.attempts).toBeGreaterThan(1_000)
    expect(broker.attempts).toBeLessThan(3_000)
    expect(await send(far, one.name)).toBe('ERR_BUS')
    broker.state = 'up'
    await pass(2_000)
    expect(said.slice(2).every((line) => line.includes('is back'))).toBe(true)
    expect(said).toHaveLength(4)
    expect(await send(far, one.name)).toBe('sent')
  })

  it('costs what was under way its answer at once, and others are refused without being sent', async () => {
    const one = gateway()
    const far = peer()
    await pass()
    broker.state = 'frozen'
    const target = await far.find(one.name, DEADLINE_MS)
    const sending = outcome(target?.send('a', 'b', 60_000) ?? Promise.resolve(), 0)
    broker.stop()
    expect(await sending).toBe('ERR_CONNECTION_CLOSED')
    expect(await send(far, one.name)).toBe('ERR_BUS')
    expect(await far.all(DEADLINE_MS)).toEqual({
      targets: [],
      missing: [{ gateway: 'bus', reason: 'redis://h:6379/test is away: connect ECONNREFUSED' }],
    })
    expect(one.asked).toEqual([])
  })

  it('leaves it open what became of a change that was under way: nobody is told that there is no such client', async () => {
    const [one, far] = [gateway(), peer()]
    await pass()
    const reach = { find: far.find.bind(far), all: far.all.bind(far) }
    broker.state = 'frozen'
    const joining = new Commands(reach, DEADLINE_MS).join(`${one.name}.client`, 'room').catch(({ code }) => code)
    await pass(1)
    broker.stop()
    expect(await joining).toBe('ERR_CONNECTION_CLOSED')
  })

  it('that was away for a moment is believed as soon as all are back who were there', async () => {
    const [one, far] = [gateway(), peer()]
    await pass()
    const missing = createGatewayId()
    broker.members.set(missing, performance.now() + 100_000)
    await pass(2_000)
    broker.stop()
    broker.state = 'up'
    await pass(1_000)
    expect(await names(far)).toEqual([one.name])
    expect((await far.all(DEADLINE_MS)).missing).toMatchObject([{ gateway: 'bus' }])
    expect(await send(far, missing)).toBe('ERR_BUS')
    broker.members.set(missing, performance.now() + 100_000)
    await pass(2_000)
    expect((await far.all(DEADLINE_MS)).missing).toEqual([])
    expect(await send(far, createGatewayId())).toBe('gone')
  })

  it('that was away for long may not know everybody: for a while nothing is said to be whole, or gone', async () => {
    const [one, far] = [gateway(), peer()]
    await pass()
    broker.stop()
    await pass(10_000)
    broker.state = 'up'
    await pass(1_000)
    expect(await names(far)).toEqual([one.name])
    expect((await far.all(DEADLINE_MS)).missing).toMatchObject([{ gateway: 'bus' }])
    expect(await send(far, createGatewayId())).toBe('ERR_BUS')
    await pass(5_000)
    expect((await far.all(DEADLINE_MS)).missing).toEqual([])
    expect(await send(far, createGatewayId())).toBe('gone')
  })

  it('that answers nothing is found out, and what waits for it has a limit', async () => {
    const [one, far] = [gateway(), peer()]
    await pass()
    broker.state = 'frozen'
    const target = await far.find(one.name, DEADLINE_MS)
    const data = Buffer.alloc(1024 * 1024)
    const codes = Array.from({ length: 200 }, () =>
      target?.send('a', data, 60_000).catch((error: { code: string }) => error.code),
    )
    await pass(10_000)
    const told = await Promise.all(codes)
    const refused = told.filter((code) => code === 'ERR_SEND_BUFFER_FULL').length
    expect(refused).toBeGreaterThanOrEqual(136)
    expect(told.filter((code) => code === 'ERR_CONNECTION_CLOSED')).toHaveLength(200 - refused)
    // one attempt each
    expect(broker.connections).toBeLessThanOrEqual(2)
    broker.state = 'up'
    await pass(10_000)
    expect(await send(far, one.name)).toBe('sent')
    expect(broker.connections).toBe(2)
  })

  it('that never can be there is told to everybody who asks', async () => {
    const { ShiftworkError } = await import('../../../../src/index.ts')
    const open = (): Promise<never> => Promise.reject(new ShiftworkError('ERR_OPTION', 'no such package'))
    const far = new Far({ address, open })
    await expect(far.ready()).rejects.toMatchObject({ code: 'ERR_OPTION' })
    await expect(far.find(createGatewayId(), DEADLINE_MS)).rejects.toMatchObject({ code: 'ERR_OPTION' })
    await expect(far.all(DEADLINE_MS)).rejects.toMatchObject({ code: 'ERR_OPTION' })
    await pass(60_000)
    expect(said).toEqual([])
  })

  it('is left alone by who has ended, also in the middle of an attempt', async () => {
    const [one, far, late] = [gateway(), peer(), peer()]
    void late.close()
    await pass()
    await one.leave()
    await far.close()
    await pass(60_000)
    expect(broker.connections).toBe(0)
    expect(broker.attempts).toBe(3)
    expect(await send(far, createGatewayId())).toBe('ERR_BUS')
  })
})

describe('a process that stood still', () => {
  /** The gateway of another machine, which goes on meanwhile. */
  const goesOn = (name: string): void => void broker.members.set(name, performance.now() + 9_000)

  async function knowing(...gateways: string[]): Promise<Far> {
    const far = peer()
    for (const name of gateways) goesOn(name)
    await pass(2_000)
    expect(await names(far)).toEqual([...gateways].sort())
    return far
  }

  it('asks who is there before it says so, whoever seems to be silent, and goes on as before', async () => {
    const [one, other] = [createGatewayId(), createGatewayId()]
    const far = await knowing(one)
    standStill(10_000)
    for (const name of [one, other]) goesOn(name)
    const probes = broker.probes
    const found = await Promise.all([far.all(DEADLINE_MS), far.all(DEADLINE_MS), far.find(one, DEADLINE_MS)])
    for (const { targets, missing } of found.slice(0, 2) as Awaited<ReturnType<Far['all']>>[]) {
      expect(targets.map((target) => target.gateway).sort()).toEqual([one, other].sort())
      expect(missing).toEqual([])
    }
    expect(found[2]).toMatchObject({ gateway: one })
    expect(broker.probes - probes).toBe(1)
    await pass(10_000)
    expect(broker.probes - probes).toBe(1 + 5)
  })

  it('asks also when its machine has slept, and the clock with it', async () => {
    const one = createGatewayId()
    const far = await knowing()
    vi.setSystemTime(Date.now() + 10_000)
    goesOn(one)
    expect(await names(far)).toEqual([one])
  })

  it('says that it does not know, where it is not told in time: no count is wrong', async () => {
    const far = await knowing(createGatewayId())
    standStill(10_000)
    broker.state = 'frozen'
    const near = { gateway: 'near', send: async () => 'sent', request: async () => 1 } as unknown as Target
    const all = async (deadlineMs: number) => {
      const found = await far.all(deadlineMs)
      return { ...found, targets: [near, ...found.targets] }
    }
    const commands = new Commands({ find: far.find.bind(far), all }, DEADLINE_MS)
    expect(await outcome(commands.count())).toBe('ERR_BUS')
    expect(await outcome(far.find(createGatewayId(), DEADLINE_MS))).toBe('ERR_BUS')
    await pass(5_000)
    expect(await outcome(commands.count())).toBe('ERR_BUS')
  })

  it('takes nobody for silent who was there when it last asked', async () => {
    const one = createGatewayId()
    const far = await knowing()
    broker.members.set(one, performance.now() + 3_000)
    await pass(2_000)
    broker.state = 'frozen'
    standStill(3_500)
    expect(await names(far)).toEqual([one])
    expect(await far.find(one, DEADLINE_MS)).toMatchObject({ gateway: one })
    broker.state = 'up'
    await pass(2_000)
    expect(await names(far)).toEqual([])
  })

  it('and finds the connection lost, misses those who were there before it', async () => {
    const one = createGatewayId()
    const far = await knowing(one)
    standStill(8_500)
    broker.stop()
    broker.state = 'up'
    await pass(200)
    expect(await far.all(DEADLINE_MS)).toMatchObject({ targets: [], missing: [{ gateway: 'bus' }] })
    goesOn(one)
    await pass(2_000)
    expect(await far.all(DEADLINE_MS)).toMatchObject({ targets: [{ gateway: one }], missing: [] })
  })
})

it('commands share a packet, which is valid for all of them, unless one of them must be done much sooner', async () => {
  const [one, far] = [gateway(), peer()]
  await pass()
  const target = (await far.find(one.name, DEADLINE_MS)) as Target
  const packets = (): number => broker.published.filter(({ channel }) => channel.endsWith(`:to:${one.name}`)).length
  const sendAll = (...deadlines: number[]): Promise<unknown[]> =>
    Promise.all(deadlines.map((deadlineMs) => outcome(target.send(`${one.name}.client`, 'hello', deadlineMs))))
  expect(await sendAll(1_000, 999, 1_000)).toEqual(['sent', 'sent', 'sent'])
  expect(packets()).toBe(1)
  expect(await sendAll(100, 1_000, 1_000, 100)).toEqual(['sent', 'sent', 'sent', 'sent'])
  expect(packets()).toBe(1 + 3)
})

it('commands that need many packets are each in time', async () => {
  const [one, far] = [gateway(), peer()]
  await pass()
  const target = (await far.find(one.name, DEADLINE_MS)) as Target
  const sending = Array.from({ length: 60 }, () => target.send(`${one.name}.client`, 'x'.repeat(4_096), DEADLINE_MS))
  expect(await outcome(Promise.all(sending))).toEqual(Array(60).fill('sent'))
  expect(one.asked).toHaveLength(60)
})

it('a gateway of another machine is found also when nothing can be seen of this one', async () => {
  const [one, far] = [gateway(), peer()]
  await pass()
  const blind = { isBlind: true, find: () => Promise.reject(new Error('nothing can be seen')) }
  const reach = new BusReach(blind as unknown as LocalReach, far)
  expect(await outcome(Promise.resolve(reach.find(one.name, DEADLINE_MS)))).toMatchObject({ gateway: one.name })
  await expect(reach.find(createGatewayId(), DEADLINE_MS)).rejects.toThrow('nothing can be seen')
})

it('who ends gets the answers to what it has asked', async () => {
  const [one, far] = [gateway(), peer()]
  await pass()
  const target = (await far.find(one.name, DEADLINE_MS)) as Target
  const sent = outcome(target.send(`${one.name}.client`, 'hello', DEADLINE_MS))
  const closed = far.close()
  expect(await sent).toBe('sent')
  await closed
  expect(broker.connections).toBe(1)
})

it('those who are near are not kept waiting for a bus of which nothing is known yet', async () => {
  broker.state = 'frozen'
  const far = peer()
  const found = far.all(DEADLINE_MS)
  // and a moment in which what has come is read
  await pass(DEADLINE_MS / 2 + 1)
  await expect(found).resolves.toMatchObject({ targets: [], missing: [{ gateway: 'bus' }] })
})

it('a message that is too large for the bus is refused, and costs nobody else anything', async () => {
  const [one, far] = [gateway(), peer()]
  await pass()
  expect(await send(far, one.name, Buffer.alloc(8 * 1024 * 1024 + 1))).toBe('ERR_MESSAGE_TOO_LARGE')
  expect(await send(far, one.name, Buffer.alloc(8 * 1024 * 1024))).toBe('sent')
  const target = (await far.find(one.name, DEADLINE_MS)) as Target
  const session = { do: 'setSession', client: `${one.name}.client`, session: { much: 'x'.repeat(8 * 1024 * 1024) } }
  expect(await outcome(target.request(session as Request, null, DEADLINE_MS))).toBe('ERR_MESSAGE_TOO_LARGE')
  const near = { gateway: 'near', send: async () => 'sent', request: async () => ({ sent: 3, buffered: 0, full: 0 }) }
  const all = async (deadlineMs: number) => {
    const found = await far.all(deadlineMs)
    return { ...found, targets: [near as Target, ...found.targets] }
  }
  const large = Buffer.alloc(8 * 1024 * 1024 + 1)
  // who is near has got it
  expect(await new Commands({ find: far.find.bind(far), all }, DEADLINE_MS).sendToAll(large)).toEqual({
    sent: 3,
    buffered: 0,
    full: 0,
    missing: [
      { gateway: one.name, reason: expect.stringContaining('at most 8388608 are sent to another machine') as string },
    ],
  })
  const alone = new Commands({ find: far.find.bind(far), all: far.all.bind(far) }, DEADLINE_MS)
  await expect(alone.sendToAll(large)).rejects.toMatchObject({ code: 'ERR_MESSAGE_TOO_LARGE' })
})
