/** The health check: what rejects a start and a reload, that a worker asks nobody but itself, and what follows while it serves. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { ProcessStatus } from '../../src/ipc/status.ts'
import { webStart } from '../helpers/apps.ts'
import { get, type Target } from '../helpers/client.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'

const CHECK = { check: '/health', timeoutMs: 10_000, retries: 1, retryDelayMs: 50 }

/** Answers with its pid and version; `/health` by these lines. Each question for it stands in the file `asked`. */
function app(version: string, health = `response.end('fine')`): string {
  return `
import { appendFileSync, existsSync } from 'node:fs'
export function createApp(worker) {
  return (request, response) => {
    if (request.url !== '/health') return response.end(JSON.stringify({ pid: process.pid, version: '${version}' }))
    appendFileSync('asked', process.pid + ' ' + request.headers['user-agent'] + '\\n')
    ${health}
  }
}
`
}

/** A proxy that answers everything with 200, and keeps what it was asked. */
async function recordingProxy(): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = []
  const server = createServer((socket) => {
    asked.push('a connection')
    socket.on('error', () => undefined)
    socket.once('data', (chunk) => {
      asked.push(chunk.toString('latin1'))
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

/** Every variable by which a proxy can be named; `NO_PROXY` is empty, so that this machine is no exception. */
function proxyVariables(url: string): Record<string, string> {
  const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy']
  const variables = Object.fromEntries(names.map((name) => [name, url]))
  return { ...variables, NO_PROXY: '', no_proxy: '', NODE_USE_ENV_PROXY: '1' }
}

/** The rows of the first group, as soon as every worker tells its numbers. */
async function counted(project: Project): Promise<Pick<ProcessStatus, 'connections' | 'requests'>[]> {
  let rows: ProcessStatus[] = []
  await until('every worker tells its numbers', async () => {
    rows = (await project.status()).groups[0]?.processes ?? []
    return rows.every((row) => row.requests !== null)
  })
  return rows.map(({ connections, requests }) => ({ connections, requests }))
}

const BAD = [
  {
    what: 'answers 500',
    health: `response.writeHead(500).end('no database')`,
    shows: /health check GET \/health answered 500, 2 times/,
    check: CHECK,
  },
  {
    what: 'does not answer',
    health: '// for ever',
    shows: /health check GET \/health did not answer within 1000 ms, 2 times/,
    check: { ...CHECK, timeoutMs: 1_000 },
  },
]

for (const { what, health, shows, check } of BAD)
  it(`C8 a health check that ${what}, where a proxy would: the old pids serve on, exit 5, the fix reloads`, async () => {
    const proxy = await recordingProxy()
    const project = Project.create({ 'start.js': webStart({ healthCheck: check }), 'app.js': app('1') })
    await project.start('js', [], proxyVariables(proxy.url))
    const before = await project.pids()
    expect(before).toHaveLength(2)
    const load = new Load({ target: { port: await project.port() }, clients: 5, pauseMs: [5, 15] })
    await load.more(100)

    project.write('app.js', app('2', health))
    const rejected = await project.shiftwork('reload')
    expect(rejected.stdout).toMatch(shows)
    expect(rejected.stdout).toMatch(/reload rejected in .*: nothing was touched, the old code serves\n$/)
    expect(rejected).toMatchObject({ code: 5, stderr: '' })
    expect(await project.pids()).toEqual(before)
    await load.more(100)

    project.write('app.js', app('3'))
    expect((await project.reload()).code).toBe(0)
    await load.more(200)
    const result = await load.stop()
    expect(result.errors).toEqual([])
    expect(result.failed).toBe(0)
    expect(new Set(result.lastVersions)).toEqual(new Set(['3']))
    const after = await project.pids()
    expect(after).toHaveLength(2)
    expect([...result.byPid.keys()].filter((pid) => !before.includes(pid) && !after.includes(pid))).toEqual([])
    expect(proxy.asked).toEqual([])
  })

it('C8 a first start whose health check fails: exit 1 and the reason, nothing left', async () => {
  const project = Project.create({
    'start.js': webStart({ healthCheck: CHECK }),
    'app.js': app('1', `response.writeHead(503).end()`),
  })
  for (const words of [['start'], ['start', '-d']]) {
    const failed = await project.through('js', ...words)
    expect(failed.code).toBe(1)
    expect(failed.stderr).toMatch(/health check GET \/health answered 503, 2 times/)
    expect(failed.stderr).toContain('The worker asks its own server; 200 to 399 is healthy.')
    expect(failed.stderr).toContain('Nothing is left running')
    expect(project.processes).toEqual([])
  }
})

/** How many listening TCP sockets a process has open. */
function listeningSockets(pid: number): number {
  const rows = readFileSync(`/proc/${pid}/net/tcp`, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const inodes = new Set(rows.filter((fields) => fields[3] === '0A').map((fields) => `socket:[${fields[9] ?? ''}]`))
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => inodes.has(linkOf(`/proc/${pid}/fd/${fd}`))).length
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // closed meanwhile
    return ''
  }
}

it('a worker is asked by itself, before it serves: not counted, no hook, and no listener is left', async () => {
  const hooks = `
const hooked = (what) => () => appendFileSync('hooked', what + '\\n')
web.onConnect = hooked('connect')
web.onClose = hooked('close')
`
  const start = webStart({ count: 3, healthCheck: CHECK })
  const project = Project.create({
    'start.js': `import { appendFileSync } from 'node:fs'\n${start.replace('Worker.runAll()', `${hooks}Worker.runAll()`)}`,
    'app.js': app('1', `response.writeHead(302, { Location: '/' }).end('x'.repeat(5_000_000))`),
  })
  await project.start()
  const pids = await project.pids()
  const asked = project.read('asked').trim().split('\n').sort()
  expect(asked).toEqual(pids.map((pid) => `${pid} shiftwork-health`).sort())
  expect(await counted(project)).toEqual(pids.map(() => ({ connections: 0, requests: 0 })))
  // the doors are closed: whoever listens for these processes does so on the shared port
  const listening = pids.map((pid) => listeningSockets(pid))
  expect(listening).toEqual(pids.map(() => 1))
  await get({ port: await project.port() })
  await until('the hooks of a real client', () => project.written('hooked') === 'connect\nclose\n')
})

it('the third try is the good one: it starts, and what was wrong before is printed', async () => {
  const thirdIsGood = `
    worker.asked = (worker.asked ?? 0) + 1
    response.writeHead(worker.asked < 3 ? 503 : 200).end()`
  const project = Project.create({
    'start.js': webStart({ count: 1, healthCheck: { ...CHECK, retries: 2 } }),
    'app.js': app('1', thirdIsGood),
  })
  const running = await project.start()
  expect(project.read('asked').trim().split('\n')).toHaveLength(3)
  // the worker's words come by a stream of their own
  await running.line(/(?:[\s\S]*?it is tried again){2}/)
  expect(
    (running.stdout + running.stderr).match(/health check GET \/health answered 503, it is tried again/g),
  ).toHaveLength(2)
})

/** A start file whose group has a check by a function, which stands in `check.js`. */
function functionStart(options: Record<string, unknown> = {}): string {
  return `
import { Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs', bakeMs: 50, ...${JSON.stringify(options)},
  healthCheck: { check: (worker) => worker.check(worker), timeoutMs: 1_000, retries: 0 } })
jobs.onWorkerStart = async (worker) => {
  worker.check = (await import('./check.js')).check
}
Worker.runAll()
`
}

it('a check by a function, in a group without a listener: each way to fail rejects a reload, in its time', async () => {
  const project = Project.create({
    'start.js': functionStart(),
    'check.js': `export const check = (worker) => worker.id === 0`,
  })
  await project.start()
  const before = await project.pids('jobs')
  const expectRejected = async (check: string, shows: RegExp): Promise<void> => {
    project.write('check.js', `export const check = ${check}`)
    // on a busy machine a process may not come in its time as far as its check
    const rejected = await inTime(
      () => project.shiftwork('reload'),
      ({ stdout }) => !shows.test(stdout),
    )
    expect(rejected.stdout).toMatch(shows)
    expect(rejected.code).toBe(5)
    expect(await project.pids('jobs')).toEqual(before)
  }
  await expectRejected('async () => false', /health check returned false\n/)
  await expectRejected(
    `() => { throw new Error('queue is away') }`,
    /health check threw: queue is away[\s\S]*check\.js:1/,
  )
  await expectRejected('() => new Promise(() => {})', /health check did not answer within 1000 ms/)
  // time for a process to start, and then to be silent
  project.write('start.js', functionStart({ startTimeoutMs: 6_000 }))
  await expectRejected(
    `() => { console.log('looking'); for (;;); }`,
    /not ready 6000 ms after its start \(startTimeoutMs\)[\s\S]*looking/,
  )
  project.write('start.js', functionStart())
  project.write('check.js', `export const check = () => undefined`)
  expect((await project.reload()).code).toBe(0)
})

function makeCertificate(project: Project): void {
  const args = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
  const files = ['-keyout', join(project.dir, 'key.pem'), '-out', join(project.dir, 'cert.pem')]
  execFileSync('openssl', [...args.split(' '), ...files], { stdio: 'pipe' })
}

it('over https and on a unix socket: asked with the real server, and not counted', async () => {
  const options = { name: 'web', count: 2, bakeMs: 50, healthCheck: CHECK }
  const start = (listen: string, tls: string): string => `
import { appendFileSync, readFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const web = new Worker(${listen}, { ...${JSON.stringify(options)}, ${tls} })
web.onConnect = () => appendFileSync('hooked', 'connect')
web.onWorkerStart = async (worker) => {
  const { createApp } = await import('./app.js')
  worker.onRequest = createApp(worker)
}
Worker.runAll()
`
  const tls = `tls: { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }`
  const isRight = `response.writeHead(Boolean(request.socket.encrypted) === worker.listen.startsWith('https') ? 200 : 500).end()`
  const secure = Project.create({ 'start.js': start(`'https://127.0.0.1:0'`, tls), 'app.js': app('1', isRight) })
  makeCertificate(secure)
  const local = Project.create({ 'app.js': app('1', isRight) })
  const path = join(local.dir, 'web.sock')
  local.write('start.js', start(`'http+unix://${path}'`, ''))
  for (const project of [secure, local]) {
    project.write('hooked', '')
    await project.start()
    expect(project.read('asked').trim().split('\n')).toHaveLength(2)
    expect(await counted(project)).toEqual([1, 2].map(() => ({ connections: 0, requests: 0 })))
    const target: Target = project === local ? { path } : { port: await project.port(), tls: true }
    expect(project.read('hooked')).toBe('')
    expect((await get(target)).status).toBe(200)
    const before = await project.pids()
    project.write('app.js', app('2', `response.writeHead(500).end()`))
    const rejected = await project.reload()
    expect(rejected).toMatchObject({
      code: 5,
      summary: { error: { message: 'health check GET /health answered 500, 2 times' } },
    })
    expect(await project.pids()).toEqual(before)
  }
})

const WATCHED = { check: '/health', timeoutMs: 10_000, retries: 1, retryDelayMs: 20, everyMs: 100 }
/** One worker is ill while the file that is named by its pid exists. */
const MAY_BE_ILL = `response.writeHead(existsSync('ill-' + process.pid) ? 500 : 200).end()`

it('a serving worker that turns unhealthy is replaced without a lost request, the others stay', async () => {
  const project = Project.create({
    'start.js': webStart({ count: 3, healthCheck: WATCHED }),
    'app.js': app('1', MAY_BE_ILL),
  })
  await project.start()
  const [first = 0, second = 0, third = 0] = await project.pids()
  const load = new Load({ target: { port: await project.port() }, clients: 5, pauseMs: [5, 15] })
  await load.more(100)
  project.write(`ill-${second}`, '')
  const line = `web/1 (pid ${second}) is unhealthy, it will be replaced: GET /health answered 500, 2 times`
  await until('it is seen', () => project.log.includes(line))
  // well again: it is replaced all the same
  rmSync(join(project.dir, `ill-${second}`))
  await until('it has left', () => project.log.includes(`web/1 (pid ${second}) left with code 0`), 20_000)
  await load.more(100)
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect(result.failed).toBe(0)
  const after = await project.pids()
  expect([after[0], after[2]]).toEqual([first, third])
  expect(after[1]).not.toBe(second)
  expect(project.log.split('is unhealthy')).toHaveLength(2)
  const [served, drained] = [`web/1 (pid ${after[1]}) serves`, `web/1 (pid ${second}) drains (recycle)`]
  expect(project.log.indexOf(served)).toBeGreaterThan(project.log.indexOf(line))
  expect(project.log.indexOf(drained)).toBeGreaterThan(project.log.indexOf(served))
})

it('after a rejected reload an unhealthy worker is replaced all the same, as soon as a successor is healthy', async () => {
  const project = Project.create({
    'start.js': webStart({ count: 2, healthCheck: WATCHED }),
    'app.js': app('1', MAY_BE_ILL),
  })
  await project.start()
  const [first = 0, second = 0] = await project.pids()
  project.write('app.js', app('2', `response.writeHead(500).end()`))
  expect((await project.reload()).code).toBe(5)
  const load = new Load({ target: { port: await project.port() }, clients: 5, pauseMs: [5, 15] })
  project.write(`ill-${second}`, '')
  await until('it is seen', () => project.log.includes(`web/1 (pid ${second}) is unhealthy`))
  // its successors run what is there, and are not healthy: the old one stays
  const failed = /error web\/1 \(pid \d+\) failed: health check GET \/health answered 500, 2 times/g
  await until('two have failed', () => (project.log.match(failed) ?? []).length >= 2, 20_000)
  expect(await project.pids()).toEqual([first, second])
  project.write('app.js', app('3'))
  await until('it has left', () => project.log.includes(`web/1 (pid ${second}) left with code 0`), 30_000)
  await load.more(50)
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect(result.failed).toBe(0)
  expect((await project.pids())[0]).toBe(first)
})

it('a worker that drains is not checked any more, and one stopped in the middle of a check leaves at once', async () => {
  const slow = `existsSync('slow') ? appendFileSync('waiting', '.') : response.end()`
  const project = Project.create({
    'start.js': webStart({ count: 1, healthCheck: { ...WATCHED, timeoutMs: 60_000 } }),
    'app.js': app('1', slow),
  })
  const running = await project.start()
  project.write('waiting', '')
  project.write('slow', '')
  await until('a check is under way', () => project.written('waiting') !== '')
  const stopped = await project.shiftwork('stop')
  expect(stopped).toMatchObject({ code: 0, stderr: '' })
  expect((await running.ended).code).toBe(0)
  expect(project.log).not.toMatch(/unhealthy|cut|killed/)
  expect(project.read('waiting')).toBe('.')
})
