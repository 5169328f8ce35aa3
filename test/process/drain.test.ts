/** How a worker leaves: deadlines, hooks, cut connections, the order seen from outside. Group B. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { untilHeard } from '../helpers/cli.ts'
import { Client, get, Unanswered } from '../helpers/client.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'
import { hasKilled, inTime } from '../helpers/rounds.ts'

async function single(
  options: Record<string, unknown> = {},
  appText = app('1'),
): Promise<{ project: Project; port: number; pid: number; running: Running }> {
  const project = Project.create({ 'start.js': webStart({ count: 1, ...options }), 'app.js': appText })
  const running = await project.start()
  const [pid = 0] = await project.pids()
  return { project, port: await project.port(), pid, running }
}

/** A request that the worker has begun and will not answer for a minute. */
async function stuck(project: Project, port: number): Promise<Client> {
  const before = (await project.status()).groups[0]?.processes[0]?.requests ?? 0
  const client = await Client.open({ port })
  client.send({ path: '/slow?ms=60000' })
  await until('it is begun', async () => ((await project.status()).groups[0]?.processes[0]?.requests ?? 0) > before)
  return client
}

/** When the peer closes, on this process's clock. */
function closedAt(client: Client): Promise<number> {
  return new Promise((resolve) => client.socket.once('close', () => resolve(performance.now())))
}

it('B2 a silent client is closed after the linger and before the deadline', async () => {
  const { project, port } = await single({ stopTimeoutMs: 8_000, server: { keepAliveTimeout: 1_500 } })
  const client = await Client.open({ port })
  await until('it is accepted', async () => (await project.status()).groups[0]?.processes[0]?.connections === 1)
  const closed = closedAt(client)
  const begunAt = performance.now()
  const { code, summary } = await project.reload()
  const lastedMs = (await closed) - begunAt
  expect(code).toBe(0)
  expect(lastedMs).toBeGreaterThanOrEqual(1_500)
  // the deadline would have cut it
  expect(summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
})

it('B2 a client that stays idle after its request is left to the keep-alive timeout', async () => {
  const { project, port } = await single({ stopTimeoutMs: 8_000, server: { keepAliveTimeout: 1_500 } })
  const client = await Client.open({ port })
  const closed = closedAt(client)
  const begunAt = performance.now()
  await client.request()
  expect((await project.reload()).summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
  const lastedMs = (await closed) - begunAt
  // timers count in whole milliseconds
  expect(lastedMs).toBeGreaterThan(1_490)
})

it('B3 a stuck request does not hold up a stop: it is cut, counted and named', async () => {
  const stop = async () => {
    const { project, port, running } = await single({ stopTimeoutMs: 1_000, server: { keepAliveTimeout: 500 } })
    const client = await stuck(project, port)
    const begunAt = performance.now()
    const result = await project.shiftwork('stop')
    return { project, running, client, result, lastedMs: performance.now() - begunAt }
  }
  const { project, running, client, result, lastedMs } = await inTime(stop, hasKilled)
  expect(result).toMatchObject({ code: 0, stderr: '' })
  expect(result.stdout).toMatch(/^stopped: master \d+ and 1 worker, 1 connection cut\n$/)
  expect(lastedMs).toBeGreaterThanOrEqual(1_000)
  expect(lastedMs).toBeLessThan(15_000)
  await expect(client.answer()).rejects.toBeInstanceOf(Unanswered)
  expect(project.log).toMatch(/web\/0 \(pid \d+\) cut 1 connection: GET \/slow\?ms=60000 from 127\.0\.0\.1/)
  expect((await running.ended).code).toBe(0)
})

it('B3 in a reload, too: the new worker serves meanwhile, the summary counts what was cut', async () => {
  const reload = async () => {
    const { project, port } = await single({ stopTimeoutMs: 1_000, server: { keepAliveTimeout: 500 } })
    const client = await stuck(project, port)
    return { project, client, ...(await project.reload()) }
  }
  const { client, code, summary } = await inTime(reload, hasKilled)
  expect(code).toBe(0)
  expect(summary.replaced.map((row) => row.connectionsCut)).toEqual([1])
  expect(summary.replaced[0]?.drainMs).toBeGreaterThanOrEqual(1_000)
  client.close()
})

it('B3 --timeout replaces the deadline', async () => {
  const { project, port } = await single({ stopTimeoutMs: 30_000 })
  const client = await stuck(project, port)
  const result = await project.shiftwork('stop', '--timeout', '0.5')
  expect(result.code).toBe(0)
  expect(result.ms).toBeLessThan(15_000)
  client.close()
})

it('B4 -g waits for it', async () => {
  const { project, port } = await single({ stopTimeoutMs: 300, server: { keepAliveTimeout: 100 } })
  const client = await Client.open({ port })
  client.send({ path: '/slow?ms=3000' })
  await until('it is begun', async () => (await project.status()).groups[0]?.processes[0]?.requests === 1)
  const stopped = project.shiftwork('stop', '-g')
  expect((await client.answer()).status).toBe(200)
  expect(await stopped).toMatchObject({ code: 0, stdout: expect.not.stringContaining('cut') as string })
})

it('B4 reload -g waits for it, too', async () => {
  const { project, port, pid } = await single({ stopTimeoutMs: 300, server: { keepAliveTimeout: 100 } })
  const client = await Client.open({ port })
  client.send({ path: '/slow?ms=3000' })
  await until('it is begun', async () => (await project.status()).groups[0]?.processes[0]?.requests === 1)
  const reloaded = project.reload('-g')
  expect(JSON.parse((await client.answer()).body)).toMatchObject({ pid })
  client.close()
  expect((await reloaded).summary).toMatchObject({ result: 'done', replaced: [{ oldPid: pid, connectionsCut: 0 }] })
})

/** A master with a request that would hold it up, which has heard a signal twice within less than half a second. */
async function signalledTwice(signal: NodeJS.Signals): Promise<{ running: Running; client: Client }> {
  for (;;) {
    const { project, port, running } = await single({ stopTimeoutMs: 20_000 })
    const client = await stuck(project, port)
    const begunAt = performance.now()
    running.kill(signal)
    await running.line(/stopping/)
    running.kill(signal)
    // a master that answers now has handled it
    await project.status()
    if (performance.now() - begunAt < 400) return { running, client }
    client.close()
  }
}

it('B6 a second SIGTERM or Ctrl-C half a second later ends everything now', async () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    // one that comes at once is the same key press, forwarded twice by a loader's parent process
    const { running, client } = await signalledTwice(signal)
    await new Promise((resolve) => setTimeout(resolve, 600))
    expect(isAlive(running.pid)).toBe(true)
    const begunAt = performance.now()
    running.kill(signal)
    await running.ended
    expect(performance.now() - begunAt).toBeLessThan(10_000)
    client.close()
  }
})

const HOOKED = (stop: string): string => `
import { appendFileSync } from 'node:fs'
export function createApp(worker) {
  worker.onWorkerStop = async (worker, reason) => {
    appendFileSync('hooks.txt', 'begin ' + reason + '\\n')
    ${stop}
    appendFileSync('hooks.txt', 'end ' + reason + '\\n')
  }
  return (_request, response) => response.end('ok')
}`

it('B7 onWorkerStop is awaited, runs once, and knows the reason', async () => {
  const { project, port } = await single({}, HOOKED('await new Promise((resolve) => setTimeout(resolve, 300))'))
  const client = await Client.open({ port })
  await client.request()
  expect((await project.reload()).code).toBe(0)
  expect(project.read('hooks.txt')).toBe('begin reload\nend reload\n')
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(project.read('hooks.txt')).toBe('begin reload\nend reload\nbegin stop\nend stop\n')
})

it('B7 an onWorkerStop that never settles ends at the deadline, and the log says so', async () => {
  const options = { stopTimeoutMs: 700, server: { keepAliveTimeout: 100 } }
  const stop = async () => {
    const { project } = await single(options, HOOKED('await new Promise(() => setInterval(() => {}, 1000))'))
    return { project, result: await project.shiftwork('stop') }
  }
  const { project, result } = await inTime(stop, hasKilled)
  expect(result.code).toBe(0)
  expect(result.ms).toBeLessThan(15_000)
  expect(project.read('hooks.txt')).toBe('begin stop\n')
  expect(project.log).toContain('left before its last work was done')
})

it('B8 an idle worker leaves at once', async () => {
  const { project } = await single({ stopTimeoutMs: 90_000, server: { keepAliveTimeout: 60_000 } })
  const { summary } = await project.reload()
  // an idle connection would have had a minute
  expect(summary.replaced[0]?.drainMs).toBeLessThan(20_000)
})

/** What becomes of one request. `silent`: its connection was closed before it had asked anything for a second. */
async function outcomeOf(port: number): Promise<string> {
  const begunAt = performance.now()
  try {
    await get({ port })
    return 'answered'
  } catch (error) {
    if (!(error instanceof Unanswered)) return String(error)
    return error.outcome === 'closed' && performance.now() - begunAt >= 1_000 ? 'silent' : error.outcome
  }
}

it('B10 on stop a client sees answers, then refusals, and nothing after them', async () => {
  const { project, port } = await single({ count: 2 })
  let isOver = false
  const poll = async (seen: string[]): Promise<void> => {
    while (!isOver) seen.push(await outcomeOf(port))
  }
  const clients: string[][] = [[], [], []]
  const polls = clients.map(poll)
  await until('answers', () => clients.every((seen) => seen.length > 30))
  expect((await project.shiftwork('stop')).code).toBe(0)
  await until('all are refused', () => clients.every((seen) => seen.at(-1) === 'refused'))
  isOver = true
  await Promise.all(polls)
  for (const seen of clients) {
    // others may be refused while one waits for its answer: the order is that of each client
    const order = seen.filter((outcome, index) => outcome !== seen[index - 1])
    // a connection that no worker had accepted when the port closed may be reset
    expect([
      ['answered', 'refused'],
      ['answered', 'reset', 'refused'],
      ['answered', 'silent', 'refused'],
    ]).toContainEqual(order)
    expect(seen.filter((outcome) => outcome === 'reset' || outcome === 'silent').length).toBeLessThanOrEqual(1)
  }
})

it('B11 the counter of open connections follows them, and ends at 0', async () => {
  const { project, port, pid } = await single({ server: { keepAliveTimeout: 60_000 } })
  /** Not a number as long as a worker does not tell its own. */
  const connections = async (): Promise<number> => {
    const rows = (await project.status()).groups[0]?.processes ?? []
    const counts = rows.map((row) => row.connections ?? Number.NaN)
    expect(counts.filter((count) => count < 0)).toEqual([])
    return counts.reduce((sum, count) => sum + count, 0)
  }
  const clients = await Promise.all(Array.from({ length: 10 }, () => Client.open({ port })))
  for (const client of clients) await client.request()
  await until('all are counted', async () => (await connections()) === 10)
  for (const client of clients.splice(0, 5)) client.close()
  await until('five are left', async () => (await connections()) === 5)
  clients[0]?.socket.resetAndDestroy()
  for (const client of clients) client.close()
  await until('none is left', async () => (await connections()) === 0)
  expect((await project.reload()).summary.replaced).toMatchObject([{ oldPid: pid, connectionsCut: 0 }])
  await until('the new one has none', async () => (await connections()) === 0)
})

it('stopDelayMs: the workers serve on for so long after a stop was asked', async () => {
  const { project, port } = await single({ stopDelayMs: 4_000 })
  const stopped = project.shiftwork('stop')
  await until('it was asked', () => project.log.includes('stopping'))
  expect((await get({ port })).status).toBe(200)
  const result = await stopped
  expect(result.code).toBe(0)
  expect(result.ms).toBeGreaterThanOrEqual(4_000)
})

it('B1 a handler that fails while its worker drains: the 500 says that it is the last answer, and the connection ends', async () => {
  const { project, port } = await single(
    { stopTimeoutMs: 60_000 },
    `export function createApp(worker) {
  const draining = new Promise((resolve) => { worker.onWorkerStop = resolve })
  return async (request, response) => {
    if (request.url === '/held') { await draining; throw new Error('too late') }
    response.end('fine')
  }
}`,
  )
  const client = await Client.open({ port })
  // a busy machine takes long to start a worker
  const held = client.request({ path: '/held', timeoutMs: 120_000 })
  const reloaded = project.reload()
  const { status, headers } = await held
  expect([status, headers.get('connection')]).toEqual([500, 'close'])
  await closedAt(client)
  expect((await reloaded).summary.replaced.map((row) => row.connectionsCut)).toEqual([0])
})

it('B2 handlers that fail because their clients have gone leave nothing behind, and a drain has nothing to wait for', async () => {
  const { project, port, pid } = await single(
    { stopTimeoutMs: 600_000 },
    `export function createApp() {
  return async (request, response) => {
    for await (const _chunk of request);
    response.end('fine')
  }
}`,
  )
  for (let count = 0; count < 10; count++) {
    const client = await Client.open({ port })
    client.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1')
    const begun = async (): Promise<boolean> =>
      ((await project.status()).groups[0]?.processes[0]?.requests ?? 0) > count
    await until('it is begun', begun)
    client.socket.resetAndDestroy()
  }
  await until('all are gone', async () => (await project.status()).groups[0]?.processes[0]?.connections === 0)
  const { summary } = await project.reload()
  expect(summary.replaced).toMatchObject([{ oldPid: pid, connectionsCut: 0 }])
  expect(isAlive(pid)).toBe(false)
})

it('B8 an old worker that ends in the middle of its drain is told by the reload, by stop and in the log', async () => {
  const start = `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 1, bakeMs: 50 })
web.onRequest = (request, response) => setTimeout(() => response.end(), 30_000)
// what many write: the connection of the one who waits is lost by it
web.onWorkerStop = () => process.exit(0)
Worker.runAll()
`
  const project = Project.create({ 'start.js': start })
  const running = await project.start()
  const port = await project.port()
  const lost = async (): Promise<string> => {
    const client = await Client.open({ port })
    // a busy machine takes long to start a worker: who gives up meanwhile has not lost anything
    return client.request({ timeoutMs: 120_000 }).then(
      () => 'answered',
      (error: unknown) => (error instanceof Unanswered ? 'lost' : String(error)),
    )
  }
  const begun = async (): Promise<void> => {
    await until('it is begun', async () => (await project.status()).groups[0]?.processes[0]?.requests === 1)
  }
  const first = lost()
  await begun()
  const { code, summary } = await project.reload()
  const [row] = summary.replaced
  expect({ code, leftEarly: row?.leftEarly, killed: row?.killed }).toEqual({ code: 0, leftEarly: true, killed: false })
  expect(await first).toBe('lost')
  expect(project.log).toContain(
    `(pid ${row?.oldPid ?? 0}) left with code 0 before its drain was over, with 1 connection open: what was under way there is lost`,
  )
  const second = lost()
  await begun()
  expect((await project.shiftwork('stop')).stdout).toMatch(/, 1 worker left before the drain was over\n$/)
  expect(await second).toBe('lost')
  expect((await running.ended).code).toBe(0)
})

it('B6 what onWorkerStop threw, or had not done at the deadline, is told by reload, restart and stop', async () => {
  const start = `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 50, stopTimeoutMs: 500 })
web.onRequest = (request, response) => response.end()
web.onWorkerStop = async (worker) => {
  if (worker.id === 0) throw new Error('no database')
  await new Promise(() => undefined)
}
Worker.runAll()
`
  const threeTimes = async () => {
    const project = Project.create({ 'start.js': start })
    const running = await project.start()
    const endOf = async (...words: [string, ...string[]]) => ({
      pids: await project.pids(),
      ...(await project.shiftwork(...words)),
    })
    const reloaded = await endOf('reload')
    const restarted = await endOf('restart', '-d')
    const stopped = await endOf('stop', '--json')
    return { project, running, reloaded, restarted, stopped }
  }
  const { project, running, reloaded, restarted, stopped } = await inTime(threeTimes, hasKilled)
  const threw = ([pid]: number[]): string => `web/0 (pid ${pid}) threw in its onWorkerStop: no database\n`
  const left = ([, pid]: number[]): string =>
    `web/1 (pid ${pid}) left before its last work was done (onWorkerStop, or what a Gateway or BusinessWorker had begun)\n`
  for (const { code, stdout, pids } of [reloaded, restarted]) {
    expect(stdout).toContain(`warning ${left(pids)}warning ${threw(pids)}`)
    expect(code).toBe(0)
  }
  expect(project.log).toContain(left(reloaded.pids))
  expect(project.log).toContain(threw(reloaded.pids))
  expect((await running.ended).code).toBe(0)
  const { stopFaults } = JSON.parse(stopped.stdout) as { stopFaults: unknown[] }
  expect(stopFaults).toHaveLength(2)
  expect(stopFaults).toContainEqual({ worker: 'web/0', pid: stopped.pids[0], error: 'no database' })
  expect(stopFaults).toContainEqual({ worker: 'web/1', pid: stopped.pids[1], error: null })
})

it('B3 status while a stop waits: who drains, no place that waits for a process, and where the group listened', async () => {
  const { project, port, pid } = await single({ stopTimeoutMs: 60_000 })
  const client = await stuck(project, port)
  const stopping = project.shiftwork('stop')
  await until('it drains', async () => (await project.status()).groups[0]?.processes[0]?.state === 'draining')
  const [web] = (await project.status()).groups
  expect(web).toMatchObject({ state: 'stopping', listen: [], closed: [`http://127.0.0.1:${port}`] })
  expect(web?.processes.map((row) => [row.pid, row.state])).toEqual([[pid, 'draining']])
  const shown = await untilHeard(() => project.shiftwork('status'))
  expect(shown.stdout).toMatch(new RegExp(`^web  http://127.0.0.1:${port} closed  1 worker  stopping$`, 'm'))
  expect(shown.stdout).not.toMatch(/backoff|no listener/)
  client.socket.destroy()
  expect((await stopping).code).toBe(0)
})

it('B8 one that has closed everything by itself, in a signal handler as other tools want it, is said to have lost nothing', async () => {
  const start = `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 1 })
web.onRequest = (request, response) => response.end('x')
// goes on when the handler has had its turn
web.onWorkerStop = () => new Promise((resolve) => setTimeout(resolve, 20_000))
process.on('SIGINT', () => web.server.close(() => process.exit(0)))
Worker.runAll()
`
  const project = Project.create({ 'start.js': start })
  const running = await project.start()
  expect((await get({ port: await project.port() })).status).toBe(200)
  const [pid = 0] = await project.pids()
  running.kill('SIGTERM')
  await until('it drains', () => project.log.includes(`(pid ${pid}) drains (stop)`))
  process.kill(pid, 'SIGINT')
  await running.ended
  expect(project.log).toContain(`(pid ${pid}) left with code 0 before its drain was over, with no connection open\n`)
})

it('B2 a stop does not wait for those who are idle at a worker that drains since a reload', async () => {
  const { project, port, pid } = await single({ stopTimeoutMs: 60_000, server: { keepAliveTimeout: 50_000 } })
  const client = await Client.open({ port })
  await client.request()
  const reloading = project.reload('-g', '--wait', 'serving')
  expect((await reloading).code).toBe(0)
  expect(isAlive(pid)).toBe(true)
  const closed = closedAt(client)
  const stopped = await project.shiftwork('stop', '--json')
  await closed
  expect(JSON.parse(stopped.stdout)).toMatchObject({ connectionsCut: 0, killed: 0, leftEarly: 0 })
  expect(stopped.ms).toBeLessThan(20_000)
})
