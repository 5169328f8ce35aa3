/** Workers that answer nothing, and processes that are stopped: E3, E4. */
import { expect, it } from 'vitest'
import type { ProcessStatus } from '../../src/ipc/status.ts'
import { app, fleetStart, webStart } from '../helpers/apps.ts'
import { type Answer, Client, get, Unanswered } from '../helpers/client.ts'
import { freeze, thaw } from '../helpers/faults.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'

/** `/block?ms=n` blocks the event loop, burning the processor, `/wait?ms=n` without, `/hold` until it is found hung. */
const BLOCKING = `
  const wrap = (handler) => (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://x')
    const ms = Number(searchParams.get('ms') ?? 0)
    if (pathname === '/block') for (const until = Date.now() + ms; Date.now() < until; );
    if (pathname === '/hold') while (!readFileSync('.shiftwork/start.js/shiftwork.log', 'utf8').includes('pid ' + process.pid + ') failed: hung'));
    if (pathname === '/wait') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
    return handler(request, response)
  }
`
const blocking = `import { readFileSync } from 'node:fs'${app('1', BLOCKING)}`
  .replace('return (request, response) => {', 'return wrap((request, response) => {')
  .replace(/\n {2}\}\n\}\n$/, '\n  })\n}\n')

async function rows(project: Project, name = 'web'): Promise<ProcessStatus[]> {
  return (await project.status()).groups.find((group) => group.name === name)?.processes ?? []
}

/** Blocks a worker for so long. @returns its pid, and the client that waits for it. */
async function block(port: number, path: string): Promise<{ pid: number; client: Client }> {
  const client = await Client.open({ port })
  const { pid } = JSON.parse((await client.request()).body) as { pid: number }
  client.send({ path })
  return { pid, client }
}

/** @returns null: the worker did not get the processor within the second that it had, and was killed. */
async function heldAnswer(client: Client): Promise<Answer | null> {
  try {
    return await client.answer()
  } catch (error) {
    if (error instanceof Unanswered && ['closed', 'reset'].includes(error.outcome)) return null
    throw error
  }
}

for (const path of ['/block', '/wait'])
  it(`E3 a worker whose event loop is blocked (${path}) is hung in status when the limit has passed, killed and replaced`, async () => {
    const project = Project.create({ 'start.js': webStart({ count: 2, hangTimeoutMs: 3_000 }), 'app.js': blocking })
    const running = await project.start()
    const port = await project.port()
    const before = await project.pids()
    const blockedAt = performance.now()
    const { pid, client } = await block(port, `${path}?ms=60000`)
    const lost = client.answer().catch((error: Unanswered) => error.outcome)
    await running.line(new RegExp(`pid ${pid}\\) failed: hung: its event loop`))
    // by which limit it went is in its reason: a master that was kept from running looks for longer
    expect(performance.now() - blockedAt).toBeGreaterThan(3_000)
    // it is killed a second later: a look that comes after that does not find it
    const shown = (await rows(project)).find((row) => row.pid === pid)
    expect(['hung', undefined]).toContain(shown?.state)
    await until('it is replaced', async () => {
      const now = await project.pids()
      return now.length === 2 && !now.includes(pid)
    })
    expect(['closed', 'reset']).toContain(await lost)
    const [other = 0] = before.filter((one) => one !== pid)
    const now = await rows(project)
    expect(now.map((row) => row.pid)).toContain(other)
    expect(now.find((row) => row.pid !== other)).toMatchObject({
      restarts: 1,
      generation: 1,
      lastExit: { signal: 'SIGKILL', reason: 'hung: its event loop has not answered for 3000 ms (hangTimeoutMs)' },
    })
    expect(project.log).toContain('hung: its event loop has not answered for 3000 ms')
  })

it('E3 one of two hangs under load: the others are answered all the time, and only what it held is lost', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2, hangTimeoutMs: 3_000 }), 'app.js': blocking })
  await project.start()
  const port = await project.port()
  const load = new Load({ target: { port }, clients: 20, pauseMs: [0, 20], isShort: true })
  await load.more(100)
  const { pid, client } = await block(port, '/block?ms=60000')
  const lost = client.answer().catch((error: Unanswered) => error.outcome)
  await until('it is replaced', async () => {
    const now = await project.pids()
    return now.length === 2 && !now.includes(pid)
  })
  await load.more(200)
  const { counts } = await load.stop()
  expect(['closed', 'reset']).toContain(await lost)
  expect(counts).toMatchObject({ refused: 0, timeout: 0, wrong: 0 })
  // what it had accepted when it was killed: each client has one connection at most
  expect(counts.reset + counts.closed).toBeLessThanOrEqual(20)
})

it('E3 a worker that comes back just after it was given up answers what it had, and leaves', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 1, hangTimeoutMs: 2_000 }), 'app.js': blocking })
  await project.start()
  const port = await project.port()
  const hold = async (): Promise<Answer | null> => {
    const { pid, client } = await block(port, '/hold')
    const answer = await heldAnswer(client)
    client.close()
    await until('it is replaced', async () => {
      const now = await project.pids()
      return now.length === 1 && now[0] !== pid
    })
    return answer
  }
  const answer = await inTime(hold, (came) => came === null)
  expect(answer?.status).toBe(200)
  const [row] = await rows(project)
  expect(row?.lastExit?.reason).toContain('hangTimeoutMs')
})

it('E3 hangTimeoutMs 0, a shorter block, and an open inspector: nobody is killed', async () => {
  const groups = {
    never: { listen: 'http://127.0.0.1:0', hangTimeoutMs: 0 },
    short: { listen: 'http://127.0.0.1:0', hangTimeoutMs: 10_000 },
    debugged: { listen: 'http://127.0.0.1:0', hangTimeoutMs: 1_500, code: 'debugged.js' },
  }
  const debugged = `import inspector from 'node:inspector'\ninspector.open(0, '127.0.0.1')\n${blocking}`
  const project = Project.create({ 'start.js': fleetStart(groups), 'app.js': blocking, 'debugged.js': debugged })
  await project.start()
  const ports = await Promise.all(Object.keys(groups).map((name) => project.port(name)))
  const answers = await Promise.all(ports.map((port) => get({ port }, '/block?ms=2500')))
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
  const status = await project.status()
  expect(status.groups.flatMap((group) => group.processes.map((row) => row.restarts))).toEqual([0, 0, 0])
  expect(project.log).not.toContain('hung')
})

it('E4 a worker that is stopped is shown, neither killed nor started twice, and serves on when it is continued', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2, hangTimeoutMs: 3_000 }), 'app.js': app('1') })
  await project.start()
  const port = await project.port()
  const pids = await project.pids()
  const [stopped = 0, other = 0] = pids
  await freeze(project, stopped)
  const since = performance.now()
  await until('it is stopped for longer than any limit', async () => {
    const now = await rows(project)
    expect(now.map((row) => [row.pid, row.state])).toEqual([
      [stopped, 'stopped'],
      [other, 'serving'],
    ])
    return performance.now() - since > 5_000
  })
  await thaw(project, stopped)
  await until('it serves', async () => (await rows(project)).every((row) => row.state === 'serving'))
  expect(await project.pids()).toEqual(pids)
  expect((await rows(project)).map((row) => row.restarts)).toEqual([0, 0])
  const answers = await Promise.all(Array.from({ length: 20 }, () => get({ port })))
  expect(answers.every(({ status }) => status === 200)).toBe(true)
})

it('E4 the master stopped for 5 s under load: no worker is killed, no request is lost, and it goes on', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2, hangTimeoutMs: 3_000 }), 'app.js': app('1') })
  const running = await project.start()
  const port = await project.port()
  const pids = await project.pids()
  const load = new Load({ target: { port }, clients: 20, pauseMs: [0, 50] })
  await load.more(50)
  await freeze(project, running.pid)
  await new Promise((resolve) => setTimeout(resolve, 5_000))
  await load.more(50)
  await thaw(project, running.pid)
  expect((await project.reload()).code).toBe(0)
  await load.more(50)
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect(project.log).not.toContain('hung')
  expect(project.log).not.toContain('killed')
  expect((await project.pids()).filter((pid) => pids.includes(pid))).toEqual([])
})
