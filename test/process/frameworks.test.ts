/**
 * Business code as people write it: frameworks under `onRequest`, libraries that take the server
 * over, a proxy's headers, a server of the user's own. Each under load through reloads.
 */
import { symlinkSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { quietPorts } from '../helpers/cli.ts'
import { Client, get } from '../helpers/client.ts'
import { Load, type LoadOptions, type LoadResult, type Reply } from '../helpers/load.ts'
import { Project, REPOSITORY } from '../helpers/project.ts'

/**
 * Each application answers `/` at once, `/slow` later and `/held` when its worker has begun to
 * drain; `draining` is a promise of that moment.
 */
const START = `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 50 })
web.onWorkerStart = async (worker) => {
  const { startApp } = await import('./app.js')
  const draining = new Promise((resolve) => { worker.onWorkerStop = resolve })
  const { version } = await import('./version.js')
  const reply = () => ({ pid: process.pid, version })
  const slow = () => new Promise((resolve) => setTimeout(() => resolve(reply()), 300))
  await startApp(worker, { reply, slow, held: () => draining.then(reply) })
}
Worker.runAll()
`

const versionFile = (version: number): string => `export const version = '${version}'\n`

function projectOf(app: string, start = START): Project {
  const project = Project.create({ 'start.js': start, 'app.js': app, 'version.js': versionFile(1) })
  for (const used of ['express', 'fastify', 'koa', 'hono', '@hono'])
    symlinkSync(join(REPOSITORY, 'node_modules', used), join(project.dir, 'node_modules', used))
  return project
}

const KEEP_ALIVE = { clients: 50, pauseMs: [0, 50], slowShare: 0.02 } satisfies Partial<LoadOptions>

/** Three reloads of new code under this load, then what the load came to. */
async function threeReloads(project: Project, load: Load): Promise<LoadResult> {
  await load.more(200)
  for (let version = 2; version <= 4; version++) {
    project.write('version.js', versionFile(version))
    const { code, summary } = await project.reload()
    expect({ code, result: summary.result, error: summary.error }).toEqual({ code: 0, result: 'done', error: null })
    expect(summary.replaced.map((row) => row.connectionsCut)).toEqual(summary.replaced.map(() => 0))
    await load.more(50)
  }
  await load.more(300)
  return load.stop()
}

function expectNothingLost(result: LoadResult): void {
  expect(result.errors).toEqual([])
  expect(result.counts).toEqual({
    answered: result.counts.answered,
    wrong: 0,
    refused: 0,
    reset: 0,
    closed: 0,
    timeout: 0,
  })
  expect(result.counts.answered).toBeGreaterThan(500)
  expect(new Set(result.lastVersions)).toEqual(new Set(['4']))
}

/** A connection at work when its worker drains: the answer it waits for is its last one, and says so. */
async function expectLastAnswerCloses(project: Project): Promise<void> {
  const port = await project.port()
  const clients = await Promise.all([1, 2, 3, 4, 5, 6].map(() => Client.open({ port })))
  const before = await Promise.all(clients.map((client) => client.request()))
  // an answer that does not close may say keep-alive or, in HTTP/1.1, nothing
  for (const answer of before) expect(answer.headers.get('connection') ?? 'keep-alive').toBe('keep-alive')
  // a busy machine takes long to start a worker
  const held = clients.map((client) => client.request({ path: '/held', timeoutMs: 120_000 }))
  const old = await project.pids()
  const [reloaded, answers] = await Promise.all([project.reload(), Promise.all(held)])
  expect(reloaded.code).toBe(0)
  for (const answer of answers) {
    expect(answer.status).toBe(200)
    expect(old).toContain((JSON.parse(answer.body) as Reply).pid)
    expect(answer.headers.get('connection')).toBe('close')
    expect(answer.headers.has('keep-alive')).toBe(false)
  }
  for (const client of clients) client.close()
}

const FRAMEWORKS = {
  Express: `
import express from 'express'
export function startApp(worker, { reply, slow, held }) {
  const app = express()
  app.get('/', (request, response) => { response.json(reply()) })
  app.get('/slow', async (request, response) => { response.json(await slow()) })
  app.get('/held', async (request, response) => { response.json(await held()) })
  worker.onRequest = app
}`,
  'Fastify through app.routing': `
import Fastify from 'fastify'
export async function startApp(worker, { reply, slow, held }) {
  const app = Fastify()
  app.get('/', () => reply())
  app.get('/slow', () => slow())
  app.get('/held', () => held())
  await app.ready()
  worker.onRequest = (request, response) => app.routing(request, response)
}`,
  'Fastify on the server of the worker, closed after the last client has left': `
import { once } from 'node:events'
import Fastify from 'fastify'
export async function startApp(worker, { reply, slow, held }) {
  const app = Fastify({
    serverFactory: (handler) => {
      worker.onRequest = handler
      return worker.server
    },
  })
  app.get('/', () => reply())
  app.get('/slow', () => slow())
  app.get('/held', () => held())
  await app.ready()
  const { onWorkerStop } = worker
  worker.onWorkerStop = async () => {
    onWorkerStop()
    await once(worker.server, 'close')
    await app.close()
    console.log('application closed in ' + process.pid)
  }
}`,
  Koa: `
import Koa from 'koa'
export function startApp(worker, { reply, slow, held }) {
  const app = new Koa()
  const routes = { '/': reply, '/slow': slow, '/held': held }
  app.use(async (context) => { context.body = await routes[context.path]() })
  worker.onRequest = app.callback()
}`,
  Hono: `
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
export function startApp(worker, { reply, slow, held }) {
  const app = new Hono()
  app.get('/', (context) => context.json(reply()))
  app.get('/slow', async (context) => context.json(await slow()))
  app.get('/held', async (context) => context.json(await held()))
  worker.onRequest = getRequestListener(app.fetch)
}`,
}

for (const [name, app] of Object.entries(FRAMEWORKS)) {
  it(`U2 ${name}: keep-alive clients lose nothing in three reloads`, async () => {
    const project = projectOf(app)
    const running = await project.start()
    const load = new Load({ target: { port: await project.port() }, ...KEEP_ALIVE })
    expectNothingLost(await threeReloads(project, load))
    expect(running.stderr).toBe('')
    if (!app.includes('application closed')) return
    await project.shiftwork('stop')
    const { stdout } = await running.ended
    // two workers, four generations
    expect(stdout.match(/^application closed in \d+$/gm)).toHaveLength(8)
  })

  it(`B1 ${name}: the last answer on a connection that drains carries Connection: close`, async () => {
    const project = projectOf(app)
    await project.start()
    await expectLastAnswerCloses(project)
  })
}

// ---- a library that takes the server over --------------------------------------------------------------------------

/** As engine.io attaches itself: takes every listener of the server away, and asks them for what is not its own. */
const TAKES_OVER = `
function attach(server, answers) {
  const others = server.listeners('request').slice()
  server.removeAllListeners('request')
  server.on('request', (request, response) => {
    if (answers(request, response)) return
    for (const other of others) other.call(server, request, response)
  })
}
`

const HAND_WRITTEN = `
const handle = (routes) => async (request, response) => {
  const route = routes[request.url]
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify(await route()))
}
`

const ATTACHED_BESIDE = `${TAKES_OVER}${HAND_WRITTEN}
export function startApp(worker, { reply, slow, held }) {
  attach(worker.server, (request, response) => {
    if (request.url !== '/held' && request.url !== '/slow') return false
    handle({ '/slow': slow, '/held': held })(request, response)
    return true
  })
  worker.onRequest = handle({ '/': reply })
}`

const ATTACHED_ALONE = `${TAKES_OVER}${HAND_WRITTEN}
export function startApp(worker, { reply, slow, held }) {
  attach(worker.server, (request, response) => {
    handle({ '/': reply, '/slow': slow, '/held': held })(request, response)
    return true
  })
}`

for (const [name, app] of [
  ['that hands the rest to onRequest', ATTACHED_BESIDE],
  ['that answers everything, without an onRequest', ATTACHED_ALONE],
] as const) {
  it(`U2 a library with its own request listener on worker.server, ${name}: nothing lost in three reloads`, async () => {
    const project = projectOf(app)
    await project.start()
    const load = new Load({ target: { port: await project.port() }, ...KEEP_ALIVE })
    expectNothingLost(await threeReloads(project, load))
  })

  it(`B1 a library with its own request listener on worker.server, ${name}: its last answers close`, async () => {
    const project = projectOf(app)
    await project.start()
    await expectLastAnswerCloses(project)
  })
}

it('U2 a worker whose server a library has taken over is still replaced after maxRequests', async () => {
  const start = START.replace('bakeMs: 50', 'bakeMs: 50, maxRequests: 20')
  const project = projectOf(ATTACHED_ALONE, start)
  const running = await project.start()
  const old = await project.pids()
  const target = { port: await project.port() }
  // connections that stay may all be with one of them
  const loads = [false, true].map((isShort) => new Load({ target, clients: 2, pauseMs: [0, 5], isShort }))
  for (const pid of old) await running.line(new RegExp(`pid ${pid}\\) left`))
  for (const { errors } of await Promise.all(loads.map((load) => load.stop()))) expect(errors).toEqual([])
})

it('C2 a group that answers nothing fails its start and says what to set, with maxRequests too', async () => {
  const start = START.replace('bakeMs: 50', 'bakeMs: 50, maxRequests: 20')
  const project = projectOf('export function startApp() {}', start)
  const result = await project.shiftwork('start')
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/Worker "web" answers nothing/)
  expect(result.stderr).toMatch(/worker\.onRequest/)
})

it.each([
  [
    'Koa itself',
    `import Koa from 'koa'
export function startApp(worker) { worker.onRequest = new Koa() }`,
    /onRequest is an object, and must be a function/,
    /app\.callback\(\)/,
  ],
  [
    'a Hono itself',
    `import { Hono } from 'hono'
export function startApp(worker) { worker.onRequest = new Hono() }`,
    /onRequest is an object, and must be a function/,
    /getRequestListener\(app\.fetch\)/,
  ],
  [
    'a module',
    `export async function startApp(worker) { worker.onRequest = await import('./version.js') }`,
    /onRequest is a whole module/,
    /one of the functions/,
  ],
  [
    'a Fastify that listens by itself, on the server of the worker',
    `import Fastify from 'fastify'
export async function startApp(worker) {
  const app = Fastify({ serverFactory: (handler) => { worker.onRequest = handler; return worker.server } })
  await app.listen({ port: 0 })
}`,
    /listens already/,
    /Leave out app\.listen\(\)/,
  ],
])('C2 %s in place of a handler fails the start, and says what to set', async (_, app, message, hint) => {
  const result = await projectOf(app).shiftwork('start')
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(message)
  expect(result.stderr).toMatch(hint)
})

// ---- a proxy -------------------------------------------------------------------------------------------------------

/** Hands on what its upstream said, hop-by-hop headers and all. */
const proxy = (headers: string): string => `
import { Agent, request as ask } from 'node:http'
const agent = new Agent({ keepAlive: true })
export function startApp(worker, { reply, held }) {
  worker.onRequest = async (request, response) => {
    const path = '/?' + new URLSearchParams(request.url === '/held' ? await held() : reply())
    ask({ host: '127.0.0.1', port: process.env.UPSTREAM_PORT, agent, path }, (answer) => {
      response.writeHead(answer.statusCode, ${headers})
      answer.pipe(response)
    }).end()
  }
}`

const HEADERS = {
  'an object': 'answer.headers',
  'a list of names and values': 'answer.rawHeaders',
  'a list of pairs': 'Object.entries(answer.headers)',
  'a status message and an object': "'Fine', answer.headers",
}

/** Says who asked, and that it keeps the connection open. */
async function openUpstream(): Promise<number> {
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '/', 'http://upstream').searchParams
    const body = JSON.stringify({ pid: Number(query.get('pid')), version: query.get('version') })
    const length = String(Buffer.byteLength(body))
    const cookies = ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2']
    response.writeHead(200, [
      'Content-Length',
      length,
      'Connection',
      'keep-alive',
      'Keep-Alive',
      'timeout=5',
      ...cookies,
    ])
    response.end(body)
  })
  // the agent lets an idle connection go first, after the five seconds that it is told
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

for (const [name, headers] of Object.entries(HEADERS)) {
  it(`U2 a proxy that hands on "Connection: keep-alive" as ${name} loses nothing in three reloads`, async () => {
    const project = projectOf(proxy(headers))
    await project.start('js', [], { UPSTREAM_PORT: String(await openUpstream()) })
    const load = new Load({ target: { port: await project.port() }, ...KEEP_ALIVE, slowShare: 0 })
    expectNothingLost(await threeReloads(project, load))
  })

  it(`B1 a proxy that hands on "Connection: keep-alive" as ${name}: the drained answer says close all the same`, async () => {
    const project = projectOf(proxy(headers))
    await project.start('js', [], { UPSTREAM_PORT: String(await openUpstream()) })
    await expectLastAnswerCloses(project)
  })
}

// ---- a server of the user's own ------------------------------------------------------------------------------------

const OWN_SERVER = `
import { createServer } from 'node:http'
export async function startApp(worker, { reply, slow }) {
  const server = createServer(async (request, response) => {
    const body = JSON.stringify(request.url === '/slow' ? await slow() : reply())
    response.setHeader('Content-Type', 'application/json')
    response.end(body)
  })
  await new Promise((resolve) => server.listen(Number(process.env.OWN_PORT), '127.0.0.1', resolve))
  worker.onRequest = (request, response) => { response.end() }
}`

for (const [what, more] of [
  ['keep-alive clients', {}],
  ['clients with slow requests', { slowShare: 0.02 }],
  // a worker without open requests leaves at once: what node:cluster has on the way to it must not die with it
  ['new connections', { isShort: true }],
] as const)
  it(`U3 a server that user code opens by itself is shared and drained: ${what} lose nothing in three reloads`, async () => {
    const project = projectOf(OWN_SERVER)
    const [port = 0] = await quietPorts(1)
    await project.start('js', [], { OWN_PORT: String(port) })
    expect((await get({ port })).status).toBe(200)
    const load = new Load({ target: { port, host: '127.0.0.1' }, ...KEEP_ALIVE, slowShare: 0, ...more })
    expectNothingLost(await threeReloads(project, load))
  })
