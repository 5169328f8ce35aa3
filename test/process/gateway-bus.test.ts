/** Gateways of several machines over a real Redis: commands across, and what is told when it is away. */
import { describe, expect, it } from 'vitest'
import type { Deliveries } from '../../src/gateway/types.ts'
import { Fleet, type FleetClient, type Outcome } from '../helpers/busfleets.ts'
import { freeze, kill, thaw } from '../helpers/faults.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Result } from '../helpers/project.ts'
import { RedisServer } from '../helpers/redis.ts'

/** What `bus` says when it is away. */
const AWAY = { code: 'ERR_BUS', message: expect.stringContaining('is away') as string }

interface Pair {
  redis: RedisServer
  here: Fleet
  there: Fleet
  anna: FleetClient
  bert: FleetClient
}

/** Two fleets that share nothing but a Redis, and a client of each. */
async function pair(env: Record<string, string> = {}): Promise<Pair> {
  const redis = await RedisServer.start()
  const start = (): Promise<Fleet> => Fleet.start({ BUS: redis.url, ...env })
  const [here, there] = await Promise.all([start(), start()])
  const [anna, bert] = await Promise.all([here.client(), there.client()])
  await haveMet(anna, bert)
  return { redis, here, there, anna, bert }
}

/** Waits until each of the two sees all clients: each asks a worker of its own, which has its own way to Redis. */
async function haveMet(anna: FleetClient, bert: FleetClient, clients = 2): Promise<void> {
  await until('each sees all', async () => (await anna.reach()) === clients && (await bert.reach()) === clients)
}

/** Whether its gateway and its business worker are on the bus, in `status`. */
async function hasFigures(fleet: Fleet, expected: string): Promise<boolean> {
  const { groups } = await fleet.project.status()
  return groups.map(({ processes }) => processes[0]?.figures?.['bus']).join(' ') === expected
}

describe('two fleets and one Redis', () => {
  it('commands reach clients of the other machine as they reach those of this one', async () => {
    const { anna, bert } = await pair()

    expect(await anna.do('sendTo', bert.id, 'hello')).toBe('sent')
    await bert.line('hello')
    expect(await anna.do('bindUid', bert.id, 'bert')).toBe(true)
    expect(await anna.do('sendToUid', 'bert', 'by uid')).toEqual({ sent: 1, buffered: 0, full: 0, missing: [] })
    await bert.line('by uid')
    for (const { id } of [anna, bert]) expect(await bert.do('join', id, 'room')).toBe(true)
    expect(await bert.do('sendToGroup', 'room', 'to all of the room')).toMatchObject({ sent: 2, missing: [] })
    await Promise.all([anna, bert].map((client) => client.line('to all of the room')))
    expect(await bert.do('sendToAll', 'but not me', { exclude: bert.id })).toMatchObject({ sent: 1, missing: [] })
    await anna.line('but not me')
    expect(bert.lines).not.toContain('but not me')

    expect(await anna.do('count', { group: 'room' })).toBe(2)
    expect(await anna.do('isUidOnline', 'bert')).toBe(true)
    expect(await anna.do('uids')).toEqual({ items: ['bert'], next: null })
    expect(await anna.do('groups')).toEqual({ items: ['room'], next: null })
    const ids = [anna.id, bert.id].sort()
    expect(await anna.do('clients')).toEqual({ items: ids, next: null })
    const first = (await anna.do('clients', {}, { limit: 1 })) as { items: string[]; next: string }
    expect(await anna.do('clients', {}, { limit: 1, after: first.next })).toMatchObject({ items: ids.slice(1) })

    expect(await anna.do('setSession', bert.id, { cart: [1, 'ü'] })).toBe(true)
    expect(await bert.do('session', bert.id)).toEqual({ cart: [1, 'ü'] })
    expect(await anna.do('info', bert.id)).toMatchObject({ uid: 'bert', groups: ['room'], session: { cart: [1, 'ü'] } })
    expect(await anna.attempt('setSession', bert.id, { much: 'x'.repeat(20_000) })).toMatchObject({
      error: { code: 'ERR_MESSAGE_TOO_LARGE', hint: expect.stringContaining('maxSessionBytes') as string },
    })
    expect(await anna.do('dissolve', 'room')).toBe(2)
    expect(await anna.do('close', bert.id, { data: 'good bye' })).toBe(true)
    await bert.line('good bye')
    await bert.closed()
    expect(await anna.do('sendTo', bert.id, 'too late')).toBe('gone')
    expect(await anna.do('isOnline', bert.id)).toBe(false)
    expect(await anna.do('sendTo', 'AAAAAAAAAAAA.nobody', 'who?')).toBe('gone')
    expect(await anna.do('sendTo', 'nonsense', 'who?')).toBe('gone')
  })

  it('many commands at once come each to its own answer', async () => {
    const { anna, bert } = await pair()
    const sent = Array.from({ length: 500 }, (_, index) => anna.do('sendTo', bert.id, `line ${index}`))
    expect(new Set(await Promise.all(sent))).toEqual(new Set(['sent']))
    await bert.line('line 499')
    expect(bert.lines.filter((line) => line.startsWith('line '))).toEqual(
      Array.from({ length: 500 }, (_, index) => `line ${index}`),
    )
    const large = 'ü'.repeat(500_000)
    expect(await anna.do('sendTo', bert.id, large)).toMatch(/^(sent|buffered)$/)
    await bert.line(large)
    const tooLarge = await anna.attempt('sendTo', bert.id, 'x'.repeat(900_000))
    expect(tooLarge.error).toBeUndefined()
  })

  it('while Redis is away clients here go on, and nobody is told what is not so; it heals by itself', async () => {
    const { redis, here, there, anna, bert } = await pair()
    await redis.stop()
    await until('here it is known', async () => (await anna.attempt('count')).error?.code === 'ERR_BUS')
    await until('there, too', async () => (await bert.attempt('count')).error?.code === 'ERR_BUS')

    expect(await anna.do('sendTo', anna.id, 'to myself')).toBe('sent')
    expect(await anna.do('join', anna.id, 'room')).toBe(true)
    const far = await anna.attempt('sendTo', bert.id, 'lost')
    expect(far).toMatchObject({ error: AWAY })
    // and not after its deadline of 20 s
    expect(far.ms).toBeLessThan(10_000)
    expect(await anna.attempt('join', bert.id, 'room')).toMatchObject({ error: AWAY })
    const everybody = (await anna.do('sendToAll', 'whoever hears me')) as { sent: number; missing: unknown[] }
    expect(everybody).toMatchObject({
      sent: 1,
      missing: [{ gateway: 'bus', reason: expect.stringContaining('is away') as string }],
    })
    for (const list of ['clients', 'uids', 'groups']) expect(await anna.attempt(list)).toMatchObject({ error: AWAY })
    const newcomer = await here.client()
    expect(await newcomer.do('sendTo', anna.id, 'from the newcomer')).toBe('sent')
    expect(bert.lines).not.toContain('lost')

    // nothing was kept for later, and everybody is found again
    await redis.start()
    await haveMet(anna, bert, 3)
    expect(await anna.do('sendTo', bert.id, 'there again')).toBe('sent')
    await bert.line('there again')
    expect(bert.lines).not.toContain('lost')
    expect(bert.lines).not.toContain('whoever hears me')
    for (const fleet of [here, there]) {
      // a gateway and a business worker, once each
      await until('both have said so', () => fleet.said.match(/the bus redis:\S+ is back/g)?.length === 2)
      expect(fleet.said.match(/the bus redis:\S+ is away/g)).toHaveLength(2)
      expect(
        (await fleet.project.status()).groups.flatMap(({ processes }) => processes.map((row) => row.restarts)),
      ).toEqual([0, 0])
    }
  })

  it('a fleet starts while Redis is away, and finds the others when it comes', async () => {
    const redis = await RedisServer.prepare()
    const here = await Fleet.start({ BUS: redis.url })
    const anna = await here.client()
    expect(await anna.do('sendTo', anna.id, 'hello')).toBe('sent')
    expect(await anna.attempt('count')).toMatchObject({ error: AWAY })
    await until('status says so', () => hasFigures(here, '0 0'))
    await redis.start()
    const there = await Fleet.start({ BUS: redis.url })
    const bert = await there.client()
    await haveMet(anna, bert)
    await until('status says so', () => hasFigures(here, '1 1'))
  })

  it('a Redis that answers nothing costs commands their deadline, and then nothing', async () => {
    const { redis, anna, bert } = await pair()
    await redis.freeze()
    const attempt = (text: string): Promise<Outcome> => anna.attempt('sendTo', bert.id, text, { deadlineMs: 500 })
    const first = await attempt('in time?')
    expect(first.error?.code).toMatch(/^(ERR_NO_ANSWER|ERR_CONNECTION_CLOSED|ERR_BUS)$/)
    // and not when Redis counts as away
    expect(first.ms).toBeLessThan(4_000)
    expect(await anna.do('sendTo', anna.id, 'to myself')).toBe('sent')
    await until('it counts as away', async () => (await attempt('x')).error?.code === 'ERR_BUS')
    redis.thaw()
    await haveMet(anna, bert)
    expect(await bert.do('sendTo', anna.id, 'there again')).toBe('sent')
  })

  it('garbage on a channel is said once, and harms nobody', async () => {
    const { redis, there, anna, bert } = await pair()
    await redis.with(async (client) => {
      const channels = [
        `shiftwork:default:to:${bert.gateway}`,
        `shiftwork:default:to:${anna.gateway}`,
        'shiftwork:default:news',
      ]
      const request = (value: unknown): Buffer => {
        const text = Buffer.from(JSON.stringify(value))
        const time = Buffer.alloc(8)
        time.writeDoubleBE(Date.now() + 60_000)
        const head = Buffer.alloc(14)
        head[0] = 7
        head.writeUInt32BE(text.length, 10)
        return Buffer.concat([Buffer.from([1, 12]), Buffer.from('AAAAAAAAAAAA'), time, head, text, Buffer.alloc(4)])
      }
      const garbage = [
        '',
        'garbage',
        '\x01\x0cAAAAAAAAAAAA',
        '\x01\x0cAAAAAAAAAAAAgarbage and more of it, and still more',
        '\x09\x0cAAAAAAAAAAAA what another version says',
        '{}',
        'null',
        '{"came":"../../etc"}',
        '{"gone":7}',
        ...[
          null,
          7,
          {},
          { do: 'send' },
          { do: 'clients' },
          { do: 'join' },
          { do: 'dissolve' },
          { do: 'setSession', client: bert.id },
        ],
      ]
      for (const channel of channels)
        for (const said of garbage)
          await client.publish(
            channel,
            typeof said === 'string' ? (Buffer.from(said, 'latin1') as never) : (request(said) as never),
          )
    })
    expect(await anna.do('sendTo', bert.id, 'hello')).toBe('sent')
    expect(await bert.do('count')).toBe(2)
    // the gateway and the business worker, once each
    const complaints = (): number => there.said.match(/makes no sense/g)?.length ?? 0
    await until('it is said', () => complaints() === 2)
    expect(
      (await there.project.status()).groups.flatMap(({ processes }) => processes.map((row) => row.restarts)),
    ).toEqual([0, 0])
  })

  it('one that was said to be gone, and is not, comes back by itself', async () => {
    const { redis, anna, bert } = await pair()
    const news: string[] = []
    await redis.with(async (listener) => {
      await listener.subscribe('shiftwork:default:news', (said) => news.push(said))
      await redis.with(async (client) => {
        await client.publish('shiftwork:default:news', JSON.stringify({ gone: bert.gateway }))
        await client.zRem('shiftwork:default:gateways', bert.gateway)
      })
      await until('it says that it is there', () => news.includes(JSON.stringify({ came: bert.gateway })))
    })
    await until('it is back', async () => (await anna.reach()) === 2)
  })

  it('two namespaces do not meet', async () => {
    const redis = await RedisServer.start()
    const [here, there] = await Promise.all([
      Fleet.start({ BUS: `${redis.url}/one` }),
      Fleet.start({ BUS: `${redis.url}/two` }),
    ])
    const [anna, bert] = await Promise.all([here.client(), there.client()])
    expect([await anna.do('count'), await bert.do('count')]).toEqual([1, 1])
    expect(await anna.do('sendToAll', 'to mine')).toMatchObject({ sent: 1, missing: [] })
    expect(await anna.do('sendTo', bert.id, 'to nobody')).toBe('gone')
  })

  it('a gateway that is killed is gone at once for the other machine, and its former clients with it', async () => {
    const { there, anna, bert } = await pair()
    const [pid = 0] = await there.project.pids('gateway')
    await kill(there.project, pid)
    await expect.poll(() => anna.reach(), { timeout: 30_000 }).toBe(1)
    // gone, and not silent, as it is when nothing was heard of it for 10 s: that would be an error
    expect(await anna.do('sendTo', bert.id, 'too late')).toBe('gone')
    expect(await anna.do('sendToAll', 'who is left')).toMatchObject({ sent: 1, missing: [] })
    const carl = await there.client()
    await until('its successor is found', async () => (await anna.reach()) === 2)
    expect(await anna.do('sendTo', carl.id, 'welcome')).toBe('sent')
  })

  it('a fleet that stops is gone at once', async () => {
    const { there, anna, bert } = await pair()
    expect((await there.project.shiftwork('stop')).code).toBe(0)
    await expect.poll(() => anna.reach(), { timeout: 30_000 }).toBe(1)
    // an error if it were only silent
    expect(await anna.do('sendTo', bert.id, 'too late')).toBe('gone')
  })

  it('a gateway that is frozen is missing, with a reason', async () => {
    const { here, there, anna, bert } = await pair({ DEADLINE_MS: '3000' })
    const carl = await here.client()
    const [pid = 0] = await there.project.pids('gateway')
    await freeze(there.project, pid)
    // both at once: after 10 s it is silent, and asked no more
    const telling = anna.do('sendToAll', 'hello') as Promise<Deliveries>
    const [told, { error }] = await Promise.all([telling, carl.attempt('count')])
    expect(told).toMatchObject({ sent: 2, missing: [{ gateway: bert.gateway }] })
    expect(told.missing[0]?.reason).toMatch(/has not answered in time|was not heard of/)
    expect(error?.message).toContain(bert.gateway)
    await thaw(there.project, pid)
    await until('it is there again', async () => (await anna.reach()) === 3)
  })

  it('connections that Redis cuts are opened again, and neither they nor reloads leave one behind', async () => {
    const { redis, here, anna, bert } = await pair()
    const connections = (): Promise<number> =>
      redis.with(async (client) => (await client.clientList()).filter(({ name }) => name === 'shiftwork').length)
    // two of each gateway and of each business worker
    expect(await connections()).toBe(8)
    for (const type of ['PUBSUB', 'NORMAL']) {
      await redis.with((client) => client.sendCommand(['CLIENT', 'KILL', 'TYPE', type]))
      await haveMet(anna, bert)
      expect(await anna.do('sendTo', bert.id, `after ${type}`)).toBe('sent')
      await until('no connection too many', async () => (await connections()) === 8)
    }
    expect((await here.project.reload()).code).toBe(0)
    await until('those of the old worker are closed', async () => (await connections()) === 8)
    expect(await anna.do('sendTo', bert.id, 'after the reload')).toBe('sent')
  })

  it('a Redis that answers nothing holds up neither a reload nor a stop', async () => {
    // far more than a stop takes on a machine that is busy
    const { redis, here, anna } = await pair({ DEADLINE_MS: '90000' })
    await redis.freeze()
    const { code, summary } = await here.project.reload()
    expect(code).toBe(0)
    expect(summary.replaced.map(({ connectionsCut }) => connectionsCut)).toEqual([0])
    await until(
      'its successor handles clients',
      async () => (await anna.attempt('sendTo', anna.id, 'to myself')).result === 'sent',
    )
    anna.close()
    const stopped = await here.project.shiftwork('stop', '--timeout', '90')
    expect(stopped.code).toBe(0)
    expect(stopped.ms).toBeLessThan(45_000)
    redis.thaw()
  })

  it('a gateway that was killed while Redis was away is gone when it is back', async () => {
    const { redis, here, there, anna, bert } = await pair()
    await redis.stop()
    await until('it is known', async () => (await anna.attempt('count')).error?.code === 'ERR_BUS')
    const [pid = 0] = await there.project.pids('gateway')
    await kill(there.project, pid)
    await redis.start()
    await until('it is back', async () => (await anna.reach()) === 1)
    expect(await anna.do('sendTo', bert.id, 'too late')).toBe('gone')
    expect(await (await here.client()).do('count')).toBe(2)
  })

  it('a password is in no log and in no answer, and a wrong one is told', async () => {
    const redis = await RedisServer.start({ password: 'pass%word' })
    const urlWith = (password: string): string => redis.url.replace('//', `//:${password}@`)
    const [here, there] = await Promise.all([
      Fleet.start({ BUS: urlWith('pass%25word') }),
      Fleet.start({ BUS: urlWith('wrongword') }),
    ])
    const [anna, bert] = await Promise.all([here.client(), there.client()])
    expect(await anna.do('count')).toBe(1)
    const refused = await bert.attempt('count')
    expect(refused).toMatchObject({ error: { ...AWAY, message: expect.stringContaining('WRONGPASS') as string } })
    expect(await bert.do('sendTo', bert.id, 'to myself')).toBe('sent')
    expect(here.said + there.said + JSON.stringify(refused)).not.toMatch(/pass%|wrongword/)
  })
})

describe('a program of its own', () => {
  const PROGRAM = `
import { GatewayClient } from 'shiftwork/gateway'
const deadlineMs = Number(process.env.DEADLINE_MS ?? 60_000)
const gateways = new GatewayClient({ linkDir: './none', bus: process.env.BUS, deadlineMs })
for (const [command, ...args] of JSON.parse(process.env.COMMANDS ?? '[]'))
  console.log(JSON.stringify(await gateways[command](...args).catch(({ code }) => code)))
if (process.env.LAST) {
  gateways.sendToAll(process.env.LAST).catch(() => {})
  await new Promise(setImmediate)
  gateways.disconnect()
}
`

  const run = async (env: Record<string, string>): Promise<Result> => {
    const project = Project.create({ 'program.js': PROGRAM })
    return project.exec(process.execPath, ['program.js'], { env })
  }

  it('reaches the gateways over the bus alone, and ends by itself', async () => {
    const redis = await RedisServer.start()
    const fleet = await Fleet.start({ BUS: redis.url })
    const anna = await fleet.client()
    const commands = JSON.stringify([['count'], ['sendTo', anna.id, 'hello'], ['sendTo', 'AAAAAAAAAAAA.b', 'hello']])
    const result = await run({ BUS: redis.url, COMMANDS: commands, LAST: 'and good bye' })
    expect(result).toMatchObject({ code: 0, stdout: '1\n"sent"\n"gone"\n', stderr: '' })
    // and not after its deadline of 60 s
    expect(result.ms).toBeLessThan(30_000)
    await anna.line('hello')
    await anna.line('and good bye')
    expect(await run({ BUS: redis.url })).toMatchObject({ code: 0, stderr: '' })
  })

  it('is told when the bus is away, and is not kept alive by it', async () => {
    const redis = await RedisServer.prepare()
    const commands = JSON.stringify([['count'], ['sendTo', 'AAAAAAAAAAAA.b', 'hello'], ['sendToAll', 'hello']])
    const refused = await run({ BUS: redis.url, COMMANDS: commands })
    expect(refused.stdout).toMatch(/^"ERR_BUS"\n"ERR_BUS"\n\{"sent":0,.*"missing":\[\{"gateway":"bus"/)
    expect(refused).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^.* is away: .*ECONNREFUSED.*\n$/) as string,
    })
    await redis.start()
    await redis.freeze()
    const frozen = await run({ BUS: redis.url, COMMANDS: commands, DEADLINE_MS: '2000' })
    expect(frozen.stdout).toMatch(/^"ERR_BUS"\n"ERR_BUS"\n\{"sent":0/)
    expect(frozen.ms).toBeLessThan(30_000)
  })

  it('is told at once of a bus that cannot be', async () => {
    const result = await run({ BUS: 'http://:secret@127.0.0.1' })
    expect(result.code).toBe(1)
    expect(result.stderr).toContain('is no address of a Redis')
    expect(result.stderr).not.toContain('secret')
  })
})
