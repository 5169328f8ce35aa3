/**
 * WebSockets while workers are replaced. The promise: until its close frame 1012 a connection's messages are
 * handled, one after another, and what was sent for them goes out before that frame; behind it none is
 * handled. So of a client that is told 1012, exactly the messages that were not answered were not handled.
 * A1, A4, A5, B5, H1.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { constants, deflateRawSync } from 'node:zlib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Callers } from '../helpers/callers.ts'
import { Client, type Target } from '../helpers/client.ts'
import { FrameClient, frame, OPCODES, type OpenOptions } from '../helpers/frames.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { hasKilled, inTime } from '../helpers/rounds.ts'

/** One group `web` whose code is in `app.js`. */
function startOf(options: Record<string, unknown>, listen = 'websocket://127.0.0.1:0'): string {
  return `
import { Worker } from 'shiftwork'
const web = new Worker(${JSON.stringify(listen)}, ${JSON.stringify({ name: 'web', bakeMs: 50, ...options })})
web.onWorkerStart = async (worker) => (await import('./app.js')).setUp(worker)
Worker.runAll()
`
}

const HEAD = `
import { appendFileSync, existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
`

/** Writes down each message that it has handled, in its order, and then answers it. Some take a while. */
function ledgerApp(version: string): string {
  return `${HEAD}
export function setUp(worker) {
  worker.onMessage = async (connection, message) => {
    if (Math.random() < 0.3) await delay(Math.random() * 30)
    appendFileSync('ledger.txt', message + '\\n')
    connection.send(message + ' ${version}')
  }
}`
}

/** What every client of \`Callers\` has sent must be in the ledger once, in its order. */
function expectEachOnce(project: Project, last: ReadonlyMap<string, number>): void {
  const handled = new Map<string, number[]>()
  for (const line of project.read('ledger.txt').trimEnd().split('\n')) {
    const [name = '', number] = line.split(' ')
    handled.set(name, [...(handled.get(name) ?? []), Number(number)])
  }
  for (const [name, number] of last)
    expect([name, handled.get(name)]).toEqual([name, Array.from({ length: number + 1 }, (_, index) => index)])
}

async function tenReloads(project: Project, target: Target, clients: number): Promise<void> {
  const callers = new Callers({ target, clients, pauseMs: [0, 60], ahead: 5 })
  await callers.more(300)
  for (let version = 2; version <= 11; version++) {
    const before = await project.pids()
    project.write('app.js', ledgerApp(String(version)))
    const { code, summary } = await project.reload()
    expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
    expect(summary.replaced.map((row) => row.connectionsCut)).toEqual(before.map(() => 0))
    expect((await project.pids()).filter((pid) => before.includes(pid))).toEqual([])
    await callers.more(50)
  }
  await callers.more(300)
  const { wrongs, farewells, answered, versions, last } = await callers.stop()
  const { '1012 closed': parted = 0, '1000 closed': left = 0, ...others } = farewells
  expect({ wrongs, others }).toEqual({ wrongs: [], others: {} })
  expect(left).toBeLessThanOrEqual(clients)
  // each client in each reload, but for those that were told in the end
  expect(parted + left).toBeGreaterThanOrEqual(clients * 10)
  expect(answered).toBeGreaterThan(1_000)
  expect(versions.at(-1)).toBe('11')
  expectEachOnce(project, last)
}

describe('ten reloads, each message handled once', () => {
  it.each([
    ['A1 two workers', 2, 60, 'websocket://127.0.0.1:0'],
    ['A5 one worker', 1, 40, 'websocket://127.0.0.1:0'],
    ['A4 over a unix socket', 2, 40, 'websocket+unix://'],
  ])('%s', async (_what, count, clients, scheme) => {
    const socket = Project.create({})
    const path = join(socket.dir, 'ws.sock')
    const isUnix = scheme.endsWith('unix://')
    const start = startOf({ count, stopTimeoutMs: 20_000 }, isUnix ? `${scheme}${path}` : scheme)
    const project = Project.create({ 'start.js': start, 'app.js': ledgerApp('1') })
    await project.start()
    await tenReloads(project, isUnix ? { path } : { port: await project.port() }, clients)
  })
})

interface Served {
  project: Project
  target: Target
  pid: number
  open: (options?: OpenOptions) => Promise<FrameClient>
}

async function serve(app: string, options: Record<string, unknown> = {}): Promise<Served> {
  const start = startOf({ count: 1, stopTimeoutMs: 60_000, ...options })
  const project = Project.create({ 'start.js': start, 'app.js': HEAD + app })
  await project.start()
  const [pid = 0] = await project.pids()
  const target = { port: await project.port() }
  const open = async (how?: OpenOptions): Promise<FrameClient> => {
    const client = await FrameClient.open(target, how)
    onTestFinished(() => client.close())
    return client
  }
  return { project, target, pid, open }
}

/** A reload that has come so far that the old worker drains. */
async function beginReload(project: Project): Promise<{ done: ReturnType<Project['reload']> }> {
  const done = project.reload()
  await until('the old worker drains', () => project.log.includes('drains (reload)'))
  return { done }
}

/** As the extension has it: without the tail that every message would have. */
function deflate(text: string): Buffer {
  return deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)
}

const PARTED = { code: 1012, reason: '', end: 'closed', unread: 0 }

describe('B5 a connection that is parted', () => {
  /** A worker that reads nothing more until its drain begins, and then has all that was sent meanwhile. */
  async function drainBehind(
    ...parts: Buffer[]
  ): Promise<{ client: FrameClient; done: ReturnType<Project['reload']> }> {
    const { project, open } = await serve(
      `
    export function setUp(worker) {
      worker.onMessage = (connection, message) => connection.send(String(message.length))
      worker.onWorkerStop = () => {
        appendFileSync('blocked.txt', 'x')
        while (!existsSync('sent.txt'));
        // what was sent is with the kernel
        for (const end = Date.now() + 100; Date.now() < end; );
      }
    }`,
      { webSocket: { compression: true } },
    )
    const client = await open({ headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } })
    const done = project.reload()
    await until('its worker is at it', () => project.written('blocked.txt') !== '')
    client.write(...parts)
    project.write('sent.txt', '')
    return { client, done }
  }

  it('has all handled that had come, also when that is still being unpacked', async () => {
    const lengths = Array.from({ length: 8 }, (_, index) => 100_000 + index)
    const parts = lengths.map((length) => frame(OPCODES.text, deflate('y'.repeat(length)), { reserved: 4 }))
    const { client, done } = await drainBehind(...parts)
    expect(await client.farewell()).toEqual(PARTED)
    const answers = client.frames.filter(({ opcode }) => opcode === OPCODES.text).map(({ payload }) => String(payload))
    expect(answers).toEqual(lengths.map(String))
    expect((await done).code).toBe(0)
  })

  it('is closed at once when that cannot be unpacked', async () => {
    const { client, done } = await drainBehind(frame(OPCODES.text, Buffer.alloc(100, 0xff), { reserved: 4 }))
    expect(await client.farewell()).toMatchObject({ code: 1007, end: 'closed' })
    expect((await done).summary.replaced).toMatchObject([{ connectionsCut: 0, killed: false }])
  })

  it('is told 1012 when what had come is handled and answered, and nothing behind it is', async () => {
    const { project, open } = await serve(`
    export function setUp(worker) {
      worker.onMessage = async (connection, message) => {
        appendFileSync('handled.txt', message + '\\n')
        if (message === '0') while (!existsSync('go')) await delay(5)
        connection.send(message)
      }
    }`)
    const [busy, idle] = [await open(), await open()]
    for (let number = 0; number < 5; number++) busy.send(String(number))
    await until('the first is at work', () => existsSync(join(project.dir, 'handled.txt')))
    const { done } = await beginReload(project)
    expect(await idle.farewell()).toEqual(PARTED)
    // the goodbye waits for the handler; what is said now comes behind the last call
    busy.send('late')
    busy.write(frame(OPCODES.ping, 'heard'))
    expect((await busy.next()).opcode).toBe(OPCODES.pong)
    project.write('go', '')
    expect(await busy.farewell()).toEqual(PARTED)
    const answers = busy.frames.filter(({ opcode }) => opcode === OPCODES.text).map(({ payload }) => String(payload))
    expect(answers).toEqual(['0', '1', '2', '3', '4'])
    expect(project.read('handled.txt')).toBe('0\n1\n2\n3\n4\n')
    expect(await done).toMatchObject({ code: 0, summary: { replaced: [{ connectionsCut: 0, killed: false }] } })
  })

  it('in the middle of a message is heard to the end of it, whole frame or fragments', async () => {
    const { project, open } = await serve(`
    export function setUp(worker) {
      worker.onMessage = (connection, message) => void connection.send(String(message.length))
    }`)
    const [idle, fragments, whole] = [await open(), await open(), await open()]
    fragments.write(frame(OPCODES.text, 'a'.repeat(1_000), { isFinal: false }), frame(OPCODES.ping))
    const long = frame(OPCODES.binary, Buffer.alloc(500_000))
    whole.write(frame(OPCODES.ping), long.subarray(0, 300_000))
    expect([(await fragments.next()).opcode, (await whole.next()).opcode]).toEqual([OPCODES.pong, OPCODES.pong])
    const { done } = await beginReload(project)
    expect(await idle.farewell()).toEqual(PARTED)
    expect([fragments.isEnding, whole.isEnding]).toEqual([false, false])
    fragments.write(frame(OPCODES.more, 'b'.repeat(1_000)), frame(OPCODES.text, 'one more'))
    whole.write(long.subarray(300_000))
    expect([await fragments.text(), await whole.text()]).toEqual(['2000', '500000'])
    expect([await fragments.farewell(), await whole.farewell()]).toEqual([PARTED, PARTED])
    expect([fragments.frames.length, whole.frames.length]).toEqual([3, 3])
    expect((await done).summary.replaced).toMatchObject([{ connectionsCut: 0 }])
  })

  it('and reads slowly gets all that was sent for it, then 1012', async () => {
    const { project, open } = await serve(
      `
    export function setUp(worker) {
      worker.onMessage = (connection) => {
        for (let number = 0; number < 400; number++) connection.send(String(number).padEnd(50_000))
      }
    }`,
      { maxSendBufferBytes: 100_000_000 },
    )
    const client = await open()
    client.client.socket.pause()
    client.send('go')
    await until(
      'some of it has come',
      () => client.client.socket.bytesRead > 0 || client.client.socket.readableLength > 0,
    )
    const { done } = await beginReload(project)
    client.client.socket.resume()
    for (let number = 0; number < 400; number++) expect((await client.text()).trimEnd()).toBe(String(number))
    expect(await client.farewell()).toEqual(PARTED)
    expect((await done).summary.replaced).toMatchObject([{ connectionsCut: 0 }])
  })

  it('that answers the goodbye late, or whose handler never settles, is cut at the deadline and named', async () => {
    const app = `
    export function setUp(worker) {
      worker.onMessage = (connection) => new Promise(() => connection.send('begun'))
    }`
    const reload = async () => {
      const { project, open, pid } = await serve(app, { stopTimeoutMs: 4_000 })
      const silent = await open({ path: '/silent?token=1', answersClose: false })
      const stuck = await open({ path: '/stuck' })
      stuck.send('go')
      expect(await stuck.text()).toBe('begun')
      return { project, pid, silent, stuck, ...(await project.reload()) }
    }
    const { project, pid, silent, stuck, code, summary } = await inTime(reload, hasKilled)
    expect(code).toBe(0)
    expect(summary.replaced).toMatchObject([{ oldPid: pid, connectionsCut: 2, killed: false }])
    expect(await silent.farewell()).toMatchObject({ code: 1012 })
    expect(await stuck.farewell()).toMatchObject({ code: null })
    const [, named = ''] = /cut 2 connections: (.*)/.exec(project.log) ?? []
    expect(named).toContain('websocket /silent from 127.0.0.1: its goodbye is not answered')
    expect(named).toContain('websocket /stuck from 127.0.0.1: its handler has not settled')
    expect(named).not.toContain('token')
  })

  it('while its handshake is not answered gets its 101, then what it said with it is handled, then 1012', async () => {
    const { project, open } = await serve(`
    export function setUp(worker) {
      worker.onWebSocketConnect = async (connection, request) => {
        appendFileSync('asked.txt', request.path)
        while (request.path === '/held' && !existsSync('go')) await delay(5)
      }
      worker.onMessage = (connection, message) => void connection.send('heard ' + message)
    }`)
    const idle = await open()
    const held = open({ path: '/held' })
    await until('it is asked', () => project.written('asked.txt').includes('/held'))
    const { done } = await beginReload(project)
    expect(await idle.farewell()).toEqual(PARTED)
    project.write('go', '')
    const client = await held
    expect(await client.farewell()).toEqual(PARTED)
    expect((await done).summary.replaced).toMatchObject([{ connectionsCut: 0 }])
  })

  it('a client that asks for one on a connection that the old worker still holds gets it, and 1012', async () => {
    const { project, target } = await serve(
      `
    export function setUp(worker) {
      worker.onRequest = (request, response) => response.end('page')
      worker.onConnect = (connection) => void connection.send('hello')
      worker.onMessage = (connection, message) => void connection.send(message)
    }`,
      { server: { keepAliveTimeout: 60_000 } },
    )
    const client = await Client.open(target)
    expect((await client.request()).body).toBe('page')
    const { done } = await beginReload(project)
    const upgraded = await FrameClient.over(client)
    expect(await upgraded.text()).toBe('hello')
    expect(await upgraded.farewell()).toEqual(PARTED)
    expect((await done).summary.replaced).toMatchObject([{ connectionsCut: 0 }])
  })

  it('and leaves by itself: what it said before is handled before the worker is gone', async () => {
    const { project, open } = await serve(`
    export function setUp(worker) {
      worker.onMessage = async (connection, message) => {
        await delay(300)
        appendFileSync('handled.txt', message)
      }
      worker.onClose = () => appendFileSync('handled.txt', 'closed')
    }`)
    const client = await open()
    client.write(frame(OPCODES.text, 'one'), frame(OPCODES.text, 'two'), frame(OPCODES.close))
    expect(await client.farewell()).toMatchObject({ code: 1005 })
    expect(await project.reload()).toMatchObject({ code: 0, summary: { replaced: [{ connectionsCut: 0 }] } })
    expect(project.read('handled.txt')).toBe('onetwoclosed')
  })

  it('goodbyes are spread: 400 clients come back to new code one after another', async () => {
    const app = (version: string) => `
    export function setUp(worker) { worker.onMessage = (connection) => void connection.send('${version}') }`
    const { project, open } = await serve(app('1'), { stopTimeoutMs: 20_000 })
    const all = await Promise.all(Array.from({ length: 400 }, () => open()))
    project.write('app.js', app('2'))
    const reloaded = project.reload()
    const told = all.map(async (client) => {
      const farewell = await client.farewell()
      const again = await open()
      again.send('who?')
      return { ...farewell, version: await again.text() }
    })
    expect(new Set((await Promise.all(told)).map((one) => JSON.stringify(one)))).toEqual(
      new Set([JSON.stringify({ ...PARTED, version: '2' })]),
    )
    expect((await reloaded).summary.replaced).toMatchObject([{ connectionsCut: 0, killed: false }])
  })
})

it('H1 a group that reloads keep: its connections live through twenty reloads', { timeout: 300_000 }, async () => {
  const start = `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', bakeMs: 0 })
web.onRequest = (request, response) => response.end()
const gateway = new Worker('websocket://127.0.0.1:0', { name: 'gateway', reloadable: false })
gateway.onMessage = (connection, message) => void connection.send(message + ' ' + process.pid)
Worker.runAll()
`
  const project = Project.create({ 'start.js': start })
  await project.start()
  const [pid] = await project.pids('gateway')
  const target = { port: await project.port('gateway') }
  const all = await Promise.all(Array.from({ length: 20 }, () => FrameClient.open(target)))
  for (let round = 0; round < 20; round++) {
    expect((await project.reload()).code).toBe(0)
    for (const client of all) client.send(String(round))
    for (const client of all) expect(await client.text()).toBe(`${round} ${pid}`)
  }
  for (const client of all) client.close()
})
