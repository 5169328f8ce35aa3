/** `Worker.broadcast` and `worker.broadcast`: who gets what, in which order, also while workers come, go and hang. */
import { expect, it, onTestFinished } from 'vitest'
import type { BroadcastResult } from '../../src/ipc/broadcast.ts'
import type { ConnectionList } from '../../src/ipc/connections.ts'
import { oneJson, untilHeard } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { freeze, thaw } from '../helpers/faults.ts'
import { HELD, heldBytesOf } from '../helpers/held.ts'
import { LineClient } from '../helpers/lines.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Result } from '../helpers/project.ts'

/**
 * `room` is reloaded and `gate` kept; both greet, and on `hold` keep a handler busy. `source`, kept, does what it
 * is told: `say group text`, `count groups…` (from 1, until `enough` and 1 000 are reached), `flood group from to bytes`.
 */
const START = `
import { Worker } from 'shiftwork'
${HELD}
for (const [name, reloadable] of [['room', true], ['gate', false]]) {
  // more than may wait for a process that is stopped: its connection takes it all when it goes on
  const limits = { hangTimeoutMs: 0, maxSendBufferBytes: 8 * 1024 * 1024 }
  const worker = new Worker('text://127.0.0.1:0', { name, count: 2, bakeMs: 0, reloadable, ...limits })
  worker.onConnect = (connection) => connection.send('welcome to ' + process.pid)
  worker.onMessage = async (connection, line) => {
    if (line === 'here') connection.send('sent to ' + worker.broadcast('only here'))
    if (line !== 'hold') return
    connection.send('holding')
    await new Promise(() => undefined)
  }
}
const frames = new Worker('frame://127.0.0.1:0', { name: 'frames' })
frames.onMessage = () => undefined
const slow = new Worker('text://127.0.0.1:0', { name: 'slow' })
slow.onConnect = async (connection) => {
  connection.send('not yet')
  await new Promise(() => undefined)
}
const web = new Worker('http://127.0.0.1:0', { name: 'web', reloadable: false })
web.onRequest = (request, response) => {
  const ids = [...web.connections].map(({ id }) => id)
  response.end(JSON.stringify({ size: web.connections.size, ids, took: web.broadcast('nobody') }))
}
new Worker({ name: 'jobs' }).onWorkerStart = () => void setInterval(() => undefined, 60_000)

const source = new Worker('text://127.0.0.1:0', { name: 'source', reloadable: false })
let isEnough = false
source.onMessage = (connection, line) => {
  const [word, ...rest] = line.split(' ')
  const answer = (broadcast) =>
    // what is thrown at once rejects, too
    new Promise((resolve) => resolve(broadcast())).then(
      (told) => connection.send(JSON.stringify(told)),
      ({ code, message }) => connection.send(JSON.stringify({ code, message })),
    )
  if (word === 'forget') {
    Worker.broadcast(rest[0], 'nobody waits for this')
    connection.send('1')
  }
  if (word === 'enough') isEnough = true
  if (word === 'say') answer(() => Worker.broadcast(rest[0], rest[1]))
  if (word === 'bytes') answer(() => Worker.broadcast(rest[0], Buffer.from(rest[1], 'hex')))
  if (word === 'long') answer(() => Worker.broadcast(rest[0], 'x'.repeat(Number(rest[1]))))
  if (word === 'number') answer(() => Worker.broadcast(rest[0], 12))
  if (word === 'count') answer(() => count(rest))
  if (word === 'flood') answer(() => flood(rest[0], ...rest.slice(1).map(Number)))
}

async function count(groups) {
  const sum = { last: 0, behind: 0 }
  while (!isEnough || sum.last < 1000) {
    sum.last++
    const results = await Promise.all(groups.map((group) => Worker.broadcast(group, String(sum.last))))
    for (const { behind } of results) sum.behind += behind
  }
  return sum
}

async function flood(group, from, to, bytes) {
  const all = []
  for (let number = from; number <= to; number++) all.push(Worker.broadcast(group, String(number).padEnd(bytes)))
  const settled = await Promise.allSettled(all)
  const sum = { processes: 0, behind: 0, late: 0, refused: [] }
  for (const { value, reason } of settled)
    if (reason) sum.refused.push(reason.code)
    else for (const name of ['processes', 'behind', 'late']) sum[name] += value[name]
  return sum
}

Worker.onMasterReload = () => Worker.broadcast('gate', 'the master reloads').then((result) => console.log('told ' + JSON.stringify(result)))
Worker.runAll()
`

interface Flood {
  processes: number
  behind: number
  late: number
  refused: string[]
}

/** A thousand broadcasts go one after another, and a reload beside them: how long that takes is the machine's business. */
const TELL_TIMEOUT_MS = 150_000

interface Stage {
  project: Project
  open(group: string): Promise<LineClient>
  /** Has the source do something. */
  tell<T = BroadcastResult>(line: string): Promise<T>
}

async function stage(): Promise<Stage> {
  const project = Project.create({ 'start.js': START })
  await project.start()
  const { groups } = await project.status()
  const ports = new Map(groups.map(({ name, listen }) => [name, Number(/:(\d+)$/.exec(listen[0] ?? '')?.[1])]))
  const open = async (group: string): Promise<LineClient> => {
    const client = await LineClient.open({ host: '127.0.0.1', port: ports.get(group) ?? 0 })
    onTestFinished(() => client.close())
    return client
  }
  const tell = async <T>(line: string): Promise<T> => {
    const client = await open('source')
    client.send(line)
    const answer = await client.line(() => true, TELL_TIMEOUT_MS)
    client.close()
    return JSON.parse(answer ?? 'null') as T
  }
  return { project, open, tell }
}

/** Has it told again while a process is too busy to take it within 2 s: those who hear it may hear it twice. */
async function inTime(of: Stage, line: string): Promise<BroadcastResult> {
  let told = await of.tell(line)
  for (const giveUpAt = Date.now() + 30_000; told.late > 0 && Date.now() < giveUpAt; ) told = await of.tell(line)
  return told
}

interface Guest {
  client: LineClient
  pid: number
}

/** Accepted. @returns null when it was closed before it was greeted. */
async function welcomed({ open }: Stage, group: string): Promise<Guest | null> {
  const client = await open(group)
  const greeting = await client.line((line) => line.startsWith('welcome'))
  return greeting === null ? null : { client, pid: Number(greeting.split(' ')[2]) }
}

async function guests(of: Stage, group: string, count: number): Promise<Guest[]> {
  const all = await Promise.all(Array.from({ length: count }, () => welcomed(of, group)))
  return all.filter((guest) => guest !== null)
}

/** One guest of each of its two processes, and no other: each would be sent all of a flood. */
async function oneEach(of: Stage, group: string): Promise<{ awake: Guest; asleep: Guest }> {
  const byPid = new Map<number, Guest>()
  while (byPid.size < 2) {
    const [guest] = await guests(of, group, 1)
    if (!guest) continue
    if (byPid.has(guest.pid)) guest.client.close()
    else byPid.set(guest.pid, guest)
  }
  const alone = async (): Promise<boolean> => (await of.tell(`say ${group} alone?`)).connections === 2
  await until('the others have left', alone)
  const [awake, asleep] = [...byPid.values()] as [Guest, Guest]
  return { awake, asleep }
}

function numbersOf({ lines }: LineClient): number[] {
  return lines.filter((line) => /^\d+$/.test(line.trim())).map(Number)
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1)
}

/** Comes again whenever it is sent away, until it is told to end. @returns what each of its connections heard. */
function comeAgain(of: Stage, group: string): { end(): Promise<LineClient[]> } {
  const connections: LineClient[] = []
  let isOn = true
  const loop = async (): Promise<void> => {
    while (isOn) {
      const guest = await welcomed(of, group)
      if (!guest) continue
      connections.push(guest.client)
      // it may have been told to end while it came
      if (!isOn) guest.client.close()
      await guest.client.closed()
    }
  }
  const done = loop()
  return {
    end: async () => {
      isOn = false
      connections.at(-1)?.close()
      await done
      return connections
    },
  }
}

it('gives 1 000 numbers and more, in the middle of a reload, once and in order to every connection', async () => {
  const of = await stage()
  const kept = await guests(of, 'gate', 10)
  const holding = await guests(of, 'room', 10)
  for (const { client } of holding) client.send('hold')
  for (const { client } of holding) await client.line((line) => line === 'holding')
  const coming = Array.from({ length: 10 }, () => comeAgain(of, 'room'))
  const counted = of.tell<{ last: number; behind: number }>('count room gate')
  await kept[0]?.client.line((line) => line === '100')
  // the old workers stay: their handlers never end
  const reload = await of.project.shiftwork('reload', '-g', '--wait', 'serving')
  expect({ code: reload.code, stderr: reload.stderr }).toEqual({ code: 0, stderr: '' })
  const fresh = await guests(of, 'room', 4)
  const source = await of.open('source')
  source.send('enough')
  const { last, behind } = await counted
  expect(last).toBeGreaterThanOrEqual(1_000)
  expect(behind).toBe(0)
  const oldPids = new Set(holding.map(({ pid }) => pid))
  expect(fresh.some(({ pid }) => !oldPids.has(pid))).toBe(true)
  for (const { client } of [...kept, ...holding]) {
    expect(await client.line((line) => line === String(last))).not.toBeNull()
    expect(numbersOf(client)).toEqual(upTo(last))
  }
  const heard = (await Promise.all(coming.map((one) => one.end()))).flat()
  expect(heard.length).toBeGreaterThanOrEqual(10)
  for (const client of [...heard, ...fresh.map(({ client }) => client)]) {
    const numbers = numbersOf(client)
    const [first = 0] = numbers
    expect(numbers).toEqual(numbers.map((_, index) => first + index))
  }
  await of.project.shiftwork('stop', '--timeout', '0')
})

it('misses no connection that was welcomed, however young its worker is', async () => {
  const of = await stage()
  const before = new Set(await of.project.pids('room'))
  let isOver = false
  const reloads = (async () => {
    for (let count = 0; count < 3; count++) expect((await of.project.reload('room')).code).toBe(0)
    isOver = true
  })()
  const heardIn = new Set<number>()
  for (let token = 0; !isOver; token++) {
    const guest = await welcomed(of, 'room')
    if (!guest) continue
    await of.tell(`say room token-${token}`)
    // or it was told to go, which is all that may come between
    const line = await guest.client.line((line) => line === `token-${token}`)
    if (line === null) expect(guest.client.isClosed).toBe(true)
    else heardIn.add(guest.pid)
    guest.client.close()
  }
  await reloads
  expect([...heardIn].some((pid) => !before.has(pid))).toBe(true)
})

/** What the master has in memory when its garbage is collected. */
async function masterBytes({ project }: Stage): Promise<number> {
  return heldBytesOf(project, (await project.status()).master.pid)
}

it('does not wait for a stopped process, nor gather what it does not take', async () => {
  const of = await stage()
  const { awake, asleep } = await oneEach(of, 'gate')
  /** Eight at a time, as fast as these take them. @returns what became of each eight. */
  const flood = async (from: number, to: number, takers: readonly Guest[]): Promise<Flood[]> => {
    const floods: Promise<Flood>[] = []
    for (let first = from; first < to; first += 8) {
      floods.push(of.tell<Flood>(`flood gate ${first} ${first + 7} ${128 * 1024}`))
      await Promise.all(takers.map(({ client }) => client.line((line) => Number(line) === first + 7)))
    }
    return Promise.all(floods)
  }
  const warm = await flood(1, 80, [awake, asleep])
  expect(warm.filter(({ behind }) => behind > 0)).toEqual([])
  // and nothing is on its way to either of them
  await until('both have taken all', async () => (await of.tell('say gate ready?')).processes === 2)
  const before = await masterBytes(of)
  await freeze(of.project, asleep.pid)
  const told = await flood(81, 1_040, [awake])
  // 120 MiB were sent, of which 4, and what the kernel holds, wait for it
  const after = await masterBytes(of)
  expect(after - before).toBeLessThan(20 * 1024 * 1024)
  const sum = (name: 'processes' | 'behind' | 'late'): number => told.reduce((total, row) => total + row[name], 0)
  expect(told.flatMap(({ refused }) => refused)).toEqual([])
  expect(sum('behind')).toBeGreaterThan(900)
  // on a busy machine the other one may be late, too
  expect(sum('processes') + sum('behind') + sum('late')).toBe(2 * 960)
  const taken = 1_040 - sum('behind')
  expect(numbersOf(awake.client)).toEqual(upTo(1_040))
  await thaw(of.project, asleep.pid)
  await asleep.client.line((line) => Number(line) === taken)
  expect(numbersOf(asleep.client)).toEqual(upTo(taken))
  expect(await inTime(of, 'say gate awake')).toEqual({ processes: 2, connections: 2, behind: 0, late: 0 })
  for (const { client } of [awake, asleep]) expect(await client.line((line) => line === 'awake')).toBe('awake')
})

it('carries bytes as they are, and tells who can take nothing', async () => {
  const of = await stage()
  const frame = await of.open('frames')
  const chunks: Buffer[] = []
  frame.socket.removeAllListeners('data').setEncoding('latin1')
  frame.socket.on('data', (text: string) => chunks.push(Buffer.from(text, 'latin1')))
  let told = await of.tell('bytes frames 00ff0a80')
  // it may not have been accepted before
  while (told.connections === 0 && told.late === 0) told = await of.tell('bytes frames 00ff0a80')
  // a process that is too busy to say so within 2 s has the bytes all the same
  const taken = { processes: 1, connections: 1, behind: 0, late: 0 }
  expect(told).toEqual(told.late === 0 ? taken : { ...taken, processes: 0, connections: 0, late: 1 })
  // none at all is a frame, too
  await of.tell('bytes frames ')
  await until('both came', () => Buffer.concat(chunks).length === 12)
  expect(Buffer.concat(chunks).toString('hex')).toBe('0000000800ff0a8000000004')
  const line = await welcomed(of, 'gate')
  expect((await inTime(of, 'bytes gate c3a4')).connections).toBe(1)
  expect(await line?.client.line((text) => text === 'ä')).toBe('ä')
  for (const group of ['web', 'jobs'])
    expect(await inTime(of, `say ${group} hello`)).toEqual({ processes: 1, connections: 0, behind: 0, late: 0 })
  expect(await of.tell('say nowhere hello')).toMatchObject({ code: 'ERR_OPTION' })
  // and to a worker that asks and does not wait nothing happens
  await of.tell('forget nowhere')
  expect(await of.tell('number gate')).toMatchObject({ code: 'ERR_OPTION' })
  expect(await inTime(of, `long gate ${256 * 1024}`)).toMatchObject({ connections: 1 })
  expect(await of.tell(`long gate ${256 * 1024 + 1}`)).toMatchObject({ code: 'ERR_MESSAGE_TOO_LARGE' })
  const early = await of.open('slow')
  expect(await early.line(() => true)).toBe('not yet')
  expect(await of.tell('say slow hello')).toMatchObject({ connections: 0 })
  // more than the channel takes at once
  const all = await of.tell<Flood>(`flood gate 1 100 ${256 * 1024}`)
  expect(new Set(all.refused)).toEqual(new Set(['ERR_SEND_BUFFER_FULL']))
  expect(await inTime(of, 'say gate afterwards')).toMatchObject({ processes: 2, behind: 0 })
})

it('is there in the hooks of the master', async () => {
  const of = await stage()
  const guest = await welcomed(of, 'gate')
  expect((await of.project.reload('room')).code).toBe(0)
  expect(await guest?.client.line((line) => line === 'the master reloads')).toBe('the master reloads')
})

it('worker.broadcast reaches the connections of one process, and worker.connections are those, over HTTP too', async () => {
  const of = await stage()
  const all = await guests(of, 'gate', 12)
  const [first] = all
  first?.client.send('here')
  const siblings = all.filter(({ pid }) => pid === first?.pid)
  expect(await first?.client.line((line) => line.startsWith('sent to'))).toBe(`sent to ${siblings.length}`)
  for (const { client } of siblings) expect(await client.line((line) => line === 'only here')).toBe('only here')
  await of.tell('say gate everywhere')
  for (const { client } of all) expect(await client.line((line) => line === 'everywhere')).toBe('everywhere')
  for (const { client, pid } of all) expect(client.lines.includes('only here')).toBe(pid === first?.pid)
  const port = await of.project.port('web')
  const answer = JSON.parse((await get({ port })).body) as { size: number; ids: string[]; took: number }
  expect(answer).toEqual({ size: 1, ids: [expect.any(String)], took: 0 })
  const look = (): Promise<Result> => of.project.shiftwork('connections', 'web', '--json')
  const ids = oneJson<ConnectionList>(await untilHeard(look)).connections
  expect(ids.map(({ id }) => id).filter((id) => !answer.ids.includes(id))).toEqual([])
})
