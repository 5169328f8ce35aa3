/**
 * Stream protocols while workers leave. What is promised: a message that came before its connection was ended is
 * handled and answered; one that crossed with the end is not handled, and its client knows, since the connection has
 * ended without an answer: cleanly, and never by a reset. So a client that asks again gets each question handled once.
 */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { Asks, type AsksOptions } from '../helpers/asks.ts'
import { makeCertificate } from '../helpers/certificate.ts'
import type { Target } from '../helpers/client.ts'
import { kill } from '../helpers/faults.ts'
import { Peer } from '../helpers/peer.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { hasKilled, inTime } from '../helpers/rounds.ts'
import { speechOf } from '../helpers/speeches.ts'
import { streamApp, streamStart, type Transport, targets } from '../helpers/streamapp.ts'

const TEXT = speechOf('text')

interface Served {
  project: Project
  target: Target
  open: () => Promise<Peer>
}

/** A project with one group, named after its transport. */
async function serve(options = '', speech = TEXT, transport: Transport = 'plain'): Promise<Served> {
  const project = Project.create({ 'start.js': streamStart(speech, options, [transport]), 'app.js': streamApp() })
  if (transport === 'tls') makeCertificate(project)
  await project.start()
  const target = (await targets(project))[transport]
  const open = async (): Promise<Peer> => {
    const peer = await Peer.open(speech, target)
    onTestFinished(() => peer.destroy())
    return peer
  }
  return { project, target, open }
}

// ---- A: reloads under load -----------------------------------------------------------------------------------------

async function reloadTenTimes(project: Project, asks: Asks, name: Transport): Promise<void> {
  await asks.more(300)
  for (let version = 2; version <= 11; version++) {
    const before = await project.pids(name)
    project.write('app.js', streamApp(String(version)))
    const { code, summary } = await project.reload()
    expect({ code, result: summary.result, error: summary.error }).toEqual({ code: 0, result: 'done', error: null })
    expect(summary.replaced.map((row) => row.connectionsCut)).toEqual(before.map(() => 0))
    expect((await project.pids(name)).filter((pid) => before.includes(pid))).toEqual([])
    await asks.more(50)
  }
  await asks.more(300)
  await asks.stop()
}

/** Each question was handled once and answered once; nothing was reset, refused, or answered wrongly. */
function expectPromiseKept(project: Project, asks: Asks): void {
  expect(asks.unanswered.filter(({ how }) => how !== 'crossed')).toEqual([])
  const answered = asks.answered.map(({ id }) => id).sort()
  expect(new Set(answered).size).toBe(answered.length)
  const handled = readFileSync(join(project.dir, 'handled.log'), 'utf8').trimEnd().split('\n').sort()
  expect(handled).toEqual(answered)
  expect(answered.length).toBeGreaterThan(1_000)
  expect(new Set(asks.answered.slice(-100).map(({ version }) => version))).toEqual(new Set(['11']))
}

const LOAD = { clients: 60, pauseMs: [0, 60] as [number, number] }

const LOADS: [string, Partial<AsksOptions>, string, string, Transport][] = [
  ['A1 clients that stay connected and pause for up to 60 ms', {}, 'count: 2', 'text', 'plain'],
  ['A1 the same with frames', {}, 'count: 2', 'frame', 'plain'],
  ['A3 a new connection for each question', { isShort: true, clients: 10 }, 'count: 2', 'text', 'plain'],
  [
    'A3 clients that end before they have read the answer',
    { isShort: 'ends', clients: 10 },
    'count: 2',
    'text',
    'plain',
  ],
  ['A4 clients inside TLS', {}, 'count: 2', 'text', 'tls'],
  ['A4 clients on a unix socket', {}, 'count: 2', 'text', 'unix'],
  ['A5 clients of a single worker', {}, 'count: 1', 'text', 'plain'],
]

for (const [what, load, options, speech, transport] of LOADS)
  it(`${what}: ten reloads, and each question is handled once, answered once, and never reset`, async () => {
    const { project, target } = await serve(options, speechOf(speech), transport)
    const asks = new Asks({ ...LOAD, ...load, speech: speechOf(speech), target })
    await reloadTenTimes(project, asks, transport)
    expectPromiseKept(project, asks)
  })

it('A10 a worker killed under load, six times: lost is what it held, none is refused, none is answered wrongly', async () => {
  const { project, target } = await serve('count: 2')
  const asks = new Asks({ ...LOAD, speech: TEXT, target })
  await asks.more(300)
  const killed: number[] = []
  for (let round = 0; round < 6; round++) {
    await until('both serve', async () => (await project.pids('plain')).length === 2)
    const [pid = 0] = await project.pids('plain')
    killed.push(pid)
    await kill(project, pid)
    await asks.more(200)
  }
  await asks.stop()
  expect(asks.count('refused') + asks.count('wrong')).toBe(0)
  for (const { servedBy } of asks.unanswered) if (servedBy !== null) expect(killed).toContain(servedBy)
})

// ---- B: what has begun ---------------------------------------------------------------------------------------------

/** A reload that has begun to part with the connections of the old worker: one at rest was ended. */
async function beginReload(
  { project, open }: Served,
  ...words: string[]
): Promise<{ reloaded: ReturnType<Project['reload']> }> {
  const witness = await open()
  await witness.ask('hello')
  const reloaded = project.reload(...words)
  expect(await witness.rest()).toEqual({ messages: [], ending: 'end' })
  witness.end()
  return { reloaded }
}

/** A connection that no parting ends before it has opened the gate: half of its message has come. @returns sends the rest. */
async function holdGate({ open }: Served): Promise<() => Promise<void>> {
  const peer = await open()
  await peer.ask('hello')
  peer.write(Buffer.from('open '))
  return async () => {
    peer.write(Buffer.from('gate\n'))
    expect(await peer.rest()).toEqual({ messages: ['opened gate'], ending: 'end' })
    peer.end()
  }
}

for (const transport of ['plain', 'tls', 'unix'] as const)
  it(`B1 (${transport}) a message that has begun is read to its end and answered, by the worker where it began`, async () => {
    const served = await serve('', TEXT, transport)
    const { project, open } = served
    const [pid] = await project.pids(transport)
    const peer = await open()
    await peer.ask('hello')
    peer.write(Buffer.from('vers'))
    const { reloaded } = await beginReload(served)
    peer.write(Buffer.from('ion\nnever\n'))
    expect(await peer.rest()).toEqual({ messages: [`1 ${pid}`], ending: 'end' })
    peer.end()
    expect((await reloaded).summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
  })

it('B1 a handler that takes its time is awaited, and what waits behind it is answered', async () => {
  const served = await serve()
  const [pid] = await served.project.pids('plain')
  const peer = await served.open()
  peer.send('first', 'wait gate', 'version')
  expect(await peer.next()).toBe('first')
  const openGate = await holdGate(served)
  const { reloaded } = await beginReload(served)
  await openGate()
  expect(await peer.rest()).toEqual({ messages: ['waited gate', `1 ${pid}`], ending: 'end' })
  peer.end()
  expect((await reloaded).summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
})

it('B1 a client that was slowed down by a handler has all answered that it had sent', async () => {
  const served = await serve('', TEXT, 'unix')
  const peer = await served.open()
  const questions = Array.from({ length: 150 }, (_, index) => `${index} ${'x'.repeat(1_000)}`)
  peer.send('first', 'wait gate', ...questions)
  expect(await peer.next()).toBe('first')
  const openGate = await holdGate(served)
  const { reloaded } = await beginReload(served)
  await openGate()
  const { messages, ending } = await peer.rest()
  expect({ answered: messages.length, last: messages.at(-1), ending }).toEqual({
    answered: 151,
    last: questions.at(-1),
    ending: 'end',
  })
  peer.end()
  expect((await reloaded).code).toBe(0)
})

it('B1 a connection that is paused is waited for, and what came meanwhile is answered', async () => {
  const served = await serve()
  const peer = await served.open()
  await peer.ask('pause gate')
  peer.send('while it paused')
  const openGate = await holdGate(served)
  const { reloaded } = await beginReload(served)
  await openGate()
  expect(await peer.rest()).toEqual({ messages: ['while it paused'], ending: 'end' })
  peer.end()
  expect((await reloaded).summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
})

it('B3 what is left at the deadline is cut, counted and named', async () => {
  const stop = async () => {
    const { project, open } = await serve('stopTimeoutMs: 1000')
    const [busy, begun, paused] = [await open(), await open(), await open()]
    await busy.ask('hello')
    busy.send('later 60000')
    await begun.ask('hello')
    begun.write(Buffer.from('half'))
    await paused.ask('break 60000')
    return { project, result: await project.shiftwork('stop') }
  }
  const { project, result } = await inTime(stop, hasKilled)
  expect(result.stdout).toMatch(/^stopped: master \d+ and 1 worker, 3 connections cut\n$/)
  expect(result.ms).toBeGreaterThanOrEqual(1_000)
  expect(project.log).toContain('cut 3 connections: ')
  for (const what of ['its handler has not settled', 'its message is not whole', 'it is paused'])
    expect(project.log).toContain(`text from 127.0.0.1: ${what}`)
})

it('B4 reload -g waits for a handler without a deadline', async () => {
  const served = await serve('stopTimeoutMs: 300')
  const peer = await served.open()
  await peer.ask('hello')
  // once the gate is open it goes on for longer than its worker would have
  peer.send('wait gate', 'later 1000')
  const openGate = await holdGate(served)
  const { reloaded } = await beginReload(served, '-g')
  await openGate()
  const { messages, ending } = await peer.rest()
  expect({ answers: messages.length, ending }).toEqual({ answers: 2, ending: 'end' })
  peer.end()
  expect((await reloaded).summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
})

for (const transport of ['plain', 'tls'] as const)
  it(`B9 (${transport}) a client that is slow to read gets every byte`, async () => {
    const served = await serve('', TEXT, transport)
    const peer = await served.open()
    await peer.ask('hello')
    peer.send(`big ${8 * 1024 * 1024}`)
    await new Promise((resolve) => peer.socket.once('data', resolve))
    peer.socket.pause()
    const { reloaded } = await beginReload(served)
    peer.socket.resume()
    const { messages, ending } = await peer.rest()
    expect({ lengths: messages.map((message) => message.length), ending }).toEqual({
      lengths: [8 * 1024 * 1024],
      ending: 'end',
    })
    peer.end()
    expect((await reloaded).summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
  })

it('B5 a thousand connections are parted with one after another, all by an end', async () => {
  const { project, open } = await serve()
  const peers: Peer[] = []
  while (peers.length < 1_000) peers.push(...(await Promise.all(Array.from({ length: 100 }, open))))
  expect(new Set(await Promise.all(peers.map((peer) => peer.ask('hello'))))).toEqual(new Set(['hello']))
  await peers[0]?.ask('watch')
  const ended = peers.map(async (peer) => {
    const { ending } = await peer.rest()
    peer.end()
    return ending
  })
  const { summary } = await project.reload()
  expect(new Set(await Promise.all(ended))).toEqual(new Set(['end']))
  expect(summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
  // ten every 5 ms, as their worker sees it
  const partedAt = project.read('parted.log').trimEnd().split('\n').map(Number)
  expect((partedAt.at(-1) ?? 0) - (partedAt[0] ?? 0)).toBeGreaterThan(300)
})

for (const transport of ['plain', 'tls'] as const)
  it(`B10 (${transport}) a client that only sends does not hold up a reload, and is told by a reset`, async () => {
    const project = Project.create({
      'start.js': streamStart(TEXT, '', [transport]),
      'app.js': 'export const serve = (worker) => { worker.onMessage = () => undefined }',
    })
    if (transport === 'tls') makeCertificate(project)
    await project.start()
    const peer = await Peer.open(TEXT, (await targets(project))[transport])
    onTestFinished(() => peer.destroy())
    const errors: Error[] = []
    peer.socket.on('error', (error) => errors.push(error))
    const sending = setInterval(() => peer.socket.writable && peer.send('a line of a log'), 10)
    onTestFinished(() => clearInterval(sending))
    peer.socket.pause()
    const { summary } = await project.reload()
    expect(summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
    // long before the deadline of 25 s
    expect(summary.replaced.every(({ drainMs }) => (drainMs ?? 0) < 20_000)).toBe(true)
    await until('it is told', () => errors.length > 0)
  })

it('B8 connections whose TLS never comes about do not hold up a stop', async () => {
  const { project, target } = await serve('', TEXT, 'tls')
  const { port } = target as { port: number }
  const sockets = await Promise.all([1, 2, 3].map(() => bare(port)))
  // the first bytes of a handshake that goes no further
  sockets[1]?.write(Buffer.of(0x16, 3, 1))
  await until('they are accepted', async () => (await project.status()).groups[0]?.processes[0]?.connections === 3)
  const result = await project.shiftwork('stop')
  expect(result.stdout).toMatch(/^stopped: master \d+ and 1 worker\n$/)
  // long before the deadline of 25 s
  expect(result.ms).toBeLessThan(20_000)
})

function bare(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket)).once('error', reject)
    onTestFinished(() => void socket.destroy())
  })
}

it('E2 after an uncaught exception a worker answers what others have asked, and ends their connections', async () => {
  const { open } = await serve()
  const [peer, fatal] = [await open(), await open()]
  await peer.ask('hello')
  peer.send('later 300')
  fatal.send('crash')
  const { messages, ending } = await peer.rest()
  expect({ answers: messages.length, ending }).toEqual({ answers: 1, ending: 'end' })
})

// ---- H: kept groups ------------------------------------------------------------------------------------------------

it('H1 a kept group holds its pid and every connection, with its context, through twenty reloads', {
  timeout: 300_000,
}, async () => {
  const start = streamStart(TEXT, 'reloadable: false', ['plain'])
  const project = Project.create({
    'start.js': start.replace('Worker.runAll()', "new Worker({ name: 'jobs', bakeMs: 0 })\nWorker.runAll()"),
    'app.js': streamApp(),
  })
  await project.start()
  const target = (await targets(project)).plain
  const [pid] = await project.pids('plain')
  const peers = await Promise.all(Array.from({ length: 10 }, () => Peer.open(TEXT, target)))
  onTestFinished(() => {
    for (const peer of peers) peer.destroy()
  })
  let jobs = await project.pids('jobs')
  for (let reload = 1; reload <= 20; reload++) {
    const { code, summary } = await project.reload()
    expect({ code, kept: summary.kept }).toEqual({ code: 0, kept: ['plain'] })
    const now = await project.pids('jobs')
    expect(now.filter((job) => jobs.includes(job))).toEqual([])
    jobs = now
    for (const peer of peers) expect(await peer.askJson('who')).toMatchObject({ pid, asked: reload })
  }
  expect(await project.pids('plain')).toEqual([pid])
})
