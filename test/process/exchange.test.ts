/** Single exchanges across a reload: streams, uploads, pipelines, odd clients. Groups A6–A9, A13, A14, B1, B9. */
import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Client, get } from '../helpers/client.ts'
import { isListening } from '../helpers/listening.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

interface Reply {
  pid: number
  version: string
  bytes?: number
}

function parse(body: string): Reply {
  return JSON.parse(body) as Reply
}

/** One worker with these lines before the fixture's own handler. */
async function single(
  appText: string,
  options: Record<string, unknown> = {},
): Promise<{ project: Project; port: number; pid: number }> {
  const project = Project.create({ 'start.js': webStart({ count: 1, ...options }), 'app.js': appText })
  await project.start()
  const [pid = 0] = await project.pids()
  return { project, port: await project.port(), pid }
}

/** Starts a reload and resolves when the old worker drains; `done` is the command's end. */
async function beginReload(project: Project): Promise<{ done: Promise<{ code: number | null }> }> {
  const drains = project.log.split('drains (reload)').length
  const done = project.reload()
  await until('the old worker drains', () => project.log.split('drains (reload)').length > drains)
  return { done }
}

const STREAM = `
export function createApp(worker) {
  return (request, response) => {
    if (request.url !== '/stream') return response.end(JSON.stringify({ pid: process.pid, version: VERSION }))
    response.write('begin ' + process.pid + '\\n')
    worker.finish = () => response.end('end ' + process.pid + '\\n')
    process.on('SIGWINCH', worker.finish)
  }
}`

it('A6 a streamed answer ends on the old worker, whole, while new code answers others', async () => {
  const { project, port, pid } = await single(STREAM.replace('VERSION', '"1"'))
  const stream = await Client.open({ port })
  stream.send({ path: '/stream' })
  await new Promise((resolve) => stream.socket.once('data', resolve))
  project.write('app.js', STREAM.replace('VERSION', '"2"'))
  const { done } = await beginReload(project)
  const other = parse((await get({ port })).body)
  expect(other.version).toBe('2')
  expect(other.pid).not.toBe(pid)
  process.kill(pid, 'SIGWINCH')
  expect((await stream.answer()).body).toBe(`begin ${pid}\nend ${pid}\n`)
  stream.close()
  expect((await done).code).toBe(0)
})

const UPLOAD = `
import { createHash } from 'node:crypto'
export function createApp() {
  return (request, response) => {
    const hash = createHash('sha256')
    let bytes = 0
    request.on('data', (chunk) => { hash.update(chunk); bytes += chunk.length })
    request.on('end', () => response.end(JSON.stringify({ pid: process.pid, version: VERSION, bytes, hash: hash.digest('hex') })))
  }
}`

it('A7 an upload of 50 MB that is still arriving is received whole by the old worker and answered', async () => {
  const { project, port, pid } = await single(UPLOAD.replace('VERSION', '"1"'))
  const body = Buffer.alloc(50 * 1024 * 1024, 'upload ')
  const client = await Client.open({ port })
  client.socket.write(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`)
  client.socket.write(body.subarray(0, 10_000_000))
  project.write('app.js', UPLOAD.replace('VERSION', '"2"'))
  const { done } = await beginReload(project)
  expect(parse((await get({ port })).body).version).toBe('2')
  for (let at = 10_000_000; at < body.length; at += 10_000_000) {
    if (!client.socket.write(body.subarray(at, at + 10_000_000)))
      await new Promise((resolve) => client.socket.once('drain', resolve))
  }
  const answer = await client.answer('POST')
  expect(JSON.parse(answer.body)).toEqual({
    pid,
    version: '1',
    bytes: body.length,
    hash: createHash('sha256').update(body).digest('hex'),
  })
  expect(answer.headers.get('connection')).toBe('close')
  client.close()
  expect((await done).code).toBe(0)
})

/** Sends this a byte at a time. */
async function trickle(client: Client, text: string): Promise<void> {
  for (const byte of text) {
    client.socket.write(byte)
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
}

it('A7 requests whose heads arrive byte by byte through the reload are answered by the old worker', async () => {
  const { project, port, pid } = await single(app('1'))
  const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open({ port })))
  const head = 'POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\n'
  const [begun, rest] = [head.slice(0, -20), `${head.slice(-20)}${'x'.repeat(20)}`]
  const sent = clients.map((client) => trickle(client, begun))
  await until('they are connected', async () => (await project.status()).groups[0]?.processes[0]?.connections === 20)
  project.write('app.js', app('2'))
  const { done } = await beginReload(project)
  expect((await project.pids()).includes(pid)).toBe(false)
  await Promise.all(sent)
  const ended = clients.map((client) => trickle(client, rest))
  const answers = await Promise.all(clients.map((client) => client.answer('POST')))
  for (const { body, headers } of answers) {
    expect(parse(body)).toMatchObject({ pid, version: '1', bytes: 20 })
    expect(headers.get('connection')).toBe('close')
  }
  await Promise.all(ended)
  for (const client of clients) client.close()
  expect((await done).code).toBe(0)
})

it('A8 a request on a connection at rest is answered in the moment the drain begins, and B1 its answer says close', async () => {
  const { project, port, pid } = await single(app('1'), { server: { keepAliveTimeout: 20_000 } })
  const clients = await Promise.all(Array.from({ length: 50 }, () => Client.open({ port })))
  for (const client of clients) expect((await client.request()).headers.get('connection')).toBe('keep-alive')
  const { done } = await beginReload(project)
  // all at once, and again and again while the worker changes over
  const answers = await Promise.all(clients.map((client) => client.request()))
  for (const answer of answers) {
    expect(answer.status).toBe(200)
    expect(parse(answer.body).pid).toBe(pid)
    expect(answer.headers.get('connection')).toBe('close')
  }
  for (const client of clients) client.close()
  expect((await done).code).toBe(0)
})

it('A8 a connection that was opened before the drain and carries its first request after it is answered', async () => {
  const { project, port, pid } = await single(app('1'))
  const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open({ port })))
  // the worker has accepted them all once it answers this one, opened later
  await until(
    'all are accepted',
    async () => ((await project.status()).groups[0]?.processes[0]?.connections ?? 0) >= 20,
  )
  const { done } = await beginReload(project)
  const answers = await Promise.all(clients.map((client) => client.request()))
  expect(new Set(answers.map((answer) => parse(answer.body).pid))).toEqual(new Set([pid]))
  for (const client of clients) client.close()
  expect((await done).code).toBe(0)
})

it('A9 a burst that waits in the backlog is answered after the reload', async () => {
  const blocking = app(
    '1',
    `process.on('SIGWINCH', () => { for (const end = Date.now() + 1500; Date.now() < end; ); })`,
  )
  const { project, port, pid } = await single(blocking)
  project.write('app.js', app('2'))
  const { done } = await beginReload(project)
  await done
  const [fresh = 0] = await project.pids()
  expect(fresh).not.toBe(pid)
  // the only worker spins: what comes now waits in the kernel while a reload goes on
  project.write(
    'app.js',
    app('3', `process.on('SIGWINCH', () => { for (const end = Date.now() + 1500; Date.now() < end; ); })`),
  )
  expect((await project.reload()).code).toBe(0)
  const [spinning = 0] = await project.pids()
  process.kill(spinning, 'SIGWINCH')
  const burst = Array.from({ length: 300 }, () => get({ port }))
  const second = project.reload()
  const answers = await Promise.all(burst)
  expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200))
  expect((await second).code).toBe(0)
})

const HOLD = `
export function createApp() {
  const held = []
  // the eldest is answered last: the others wait for their turn on the connection
  process.on('SIGWINCH', () => { for (const answer of held.splice(0).reverse()) answer() })
  return (request, response) => held.push(() => response.end(JSON.stringify({ pid: process.pid, url: request.url })))
}`

it('A13 pipelined requests are answered once and in order, the last with close', async () => {
  const { project, port, pid } = await single(HOLD)
  const client = await Client.open({ port })
  client.pipeline(['/1', '/2', '/3'].map((path) => ({ path })))
  await until('they are parsed', async () => ((await project.status()).groups[0]?.processes[0]?.requests ?? 0) >= 3)
  const { done } = await beginReload(project)
  process.kill(pid, 'SIGWINCH')
  const answers = [await client.answer(), await client.answer(), await client.answer()]
  expect(answers.map((answer) => JSON.parse(answer.body) as unknown)).toEqual(
    ['/1', '/2', '/3'].map((url) => ({ pid, url })),
  )
  expect(answers.map((answer) => answer.headers.get('connection'))).toEqual(['keep-alive', 'keep-alive', 'close'])
  client.close()
  expect((await done).code).toBe(0)
})

it('A13 clients that send the next request before the answer get every answer up to the one that says close', async () => {
  const { project, port } = await single(app('1'))
  const outcomes: string[] = []
  let isOver = false
  const run = async (): Promise<void> => {
    while (!isOver) {
      const client = await Client.open({ port })
      client.send({ path: '/1' })
      for (let sent = 1; ; sent++) {
        if (sent < 10_000) client.send({ path: `/${sent + 1}` })
        const answer = await client.answer().catch((error: unknown) => String(error))
        if (typeof answer === 'string') {
          outcomes.push(answer)
          break
        }
        if (answer.headers.get('connection') === 'close' || isOver) break
      }
      client.close()
    }
  }
  const runs = Array.from({ length: 20 }, run)
  for (let index = 0; index < 5; index++) expect((await project.reload()).code).toBe(0)
  isOver = true
  await Promise.all(runs)
  expect(outcomes).toEqual([])
})

it('A14 HTTP/1.0, HEAD, 204, 304, chunked answers and Expect: 100-continue come through a drain', async () => {
  const odd = `
export function createApp() {
  return (request, response) => {
    const begin = () => {
      if (request.url === '/204') { response.statusCode = 204; return response.end() }
      if (request.url === '/304') { response.statusCode = 304; return response.end() }
      if (request.url === '/chunked') { response.write('a'); return setTimeout(() => response.end('b'), 20) }
      let bytes = 0
      request.on('data', (chunk) => { bytes += chunk.length }).on('end', () => response.end('got ' + bytes))
    }
    setTimeout(begin, request.url === '/expect' ? 0 : 300)
  }
}`
  const { project, port } = await single(odd)
  const open = async (text: string): Promise<Client> => {
    const client = await Client.open({ port })
    client.socket.write(text)
    return client
  }
  const head = (line: string): string => `${line} HTTP/1.1\r\nHost: test\r\n\r\n`
  const clients = await Promise.all([
    open('GET /old HTTP/1.0\r\n\r\n'),
    open('GET /close HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'),
    open(head('HEAD /head')),
    open(head('GET /204')),
    open(head('GET /304')),
    open(head('GET /chunked')),
    open('POST /expect HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n'),
  ])
  const [old, close, headOnly, empty, unchanged, chunked, expecting] = clients
  await until('they are parsed', async () => ((await project.status()).groups[0]?.processes[0]?.requests ?? 0) >= 7)
  const { done } = await beginReload(project)
  expect((await old?.answer())?.body).toBe('got 0')
  expect((await close?.answer())?.body).toBe('got 0')
  expect(await headOnly?.answer('HEAD')).toMatchObject({ status: 200, body: '' })
  expect((await empty?.answer())?.status).toBe(204)
  expect((await unchanged?.answer())?.status).toBe(304)
  expect((await chunked?.answer())?.body).toBe('ab')
  expecting?.socket.write('hello')
  expect((await expecting?.answer())?.body).toBe('got 5')
  for (const client of clients) client.close()
  expect((await done).code).toBe(0)
})

it('B9 a client that is slow to read its answer gets every byte', async () => {
  const big = `
export function createApp() {
  return (_request, response) => response.end(Buffer.alloc(8 * 1024 * 1024, "b"))
}`
  const { project, port } = await single(big)
  const client = await Client.open({ port })
  client.readSlowly({ stepBytes: 64 * 1024, pauseMs: 2 })
  client.send()
  await until('it is begun', async () => (await project.status()).groups[0]?.processes[0]?.requests === 1)
  const { done } = await beginReload(project)
  expect((await client.answer()).body).toBe('b'.repeat(8 * 1024 * 1024))
  client.close()
  expect((await done).code).toBe(0)
})

it('the port stays open through all of a reload', async () => {
  const { project, port } = await single(app('1'))
  let isOver = false
  const missing: number[] = []
  const watch = (async () => {
    for (let looks = 0; !isOver; looks++) {
      if (!isListening(port)) missing.push(looks)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  for (let index = 0; index < 3; index++) expect((await project.reload()).code).toBe(0)
  isOver = true
  await watch
  expect(missing).toEqual([])
})
