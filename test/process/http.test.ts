/** `http://`, `https://` and `http+unix://`: what handlers may do, what they may do wrong, what the options change. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app } from '../helpers/apps.ts'
import { type Answer, Client, get, type Target, Unanswered } from '../helpers/client.ts'
import { Load, type LoadResult } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'

/** A start file whose one group `web` is set up by these lines; `worker` is the group, or its process. */
function startWith(setUp: string, options: Record<string, unknown> = {}, listen = 'http://127.0.0.1:0'): string {
  const all = JSON.stringify({ name: 'web', bakeMs: 50, ...options })
  return `
import { Worker } from 'shiftwork'
const worker = new Worker(${JSON.stringify(listen)}, ${all})
${setUp}
Worker.runAll()
`
}

async function runWith(setUp: string, options: Record<string, unknown> = {}) {
  const project = Project.create({ 'start.js': startWith(setUp, options) })
  const running = await project.start()
  return { project, running, target: { port: await project.port() } satisfies Target }
}

const head = (answer: Answer, ...names: string[]): (string | undefined)[] =>
  names.map((name) => answer.headers.get(name))

// ---- https and unix sockets ----------------------------------------------------------------------------------------

/** A self-signed certificate in the project: `key.pem` and `cert.pem`. */
function makeCertificate(project: Project): void {
  const args = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
  const files = ['-keyout', join(project.dir, 'key.pem'), '-out', join(project.dir, 'cert.pem')]
  execFileSync('openssl', [...args.split(' '), ...files], { stdio: 'pipe' })
}

const HTTPS_START = `
import { readFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const read = (name) => readFileSync(new URL(name, import.meta.url))
const tls = { key: read('key.pem'), cert: read('cert.pem') }
const web = new Worker('https://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 50, tls })
web.onWorkerStart = async (worker) => {
  const { createApp } = await import('./app.js')
  worker.onRequest = createApp(worker)
}
Worker.runAll()
`

function expectNothingLost(result: LoadResult): void {
  expect(result.errors).toEqual([])
  const none = { wrong: 0, refused: 0, reset: 0, closed: 0, timeout: 0 }
  expect(result.counts).toEqual({ answered: result.counts.answered, ...none })
  expect(result.counts.answered).toBeGreaterThan(200)
}

for (const [what, more] of [
  ['keep-alive clients', { clients: 30, slowShare: 0.02 }],
  ['new connections', { clients: 8, isShort: true }],
] as const)
  it(`U5 https: ${what} lose nothing in three reloads`, async () => {
    const project = Project.create({ 'start.js': HTTPS_START, 'app.js': app('1') })
    makeCertificate(project)
    await project.start()
    const target = { port: await project.port(), tls: true } as const
    const load = new Load({ target, pauseMs: [0, 20], ...more })
    await load.more(100)
    for (let version = 2; version <= 4; version++) {
      project.write('app.js', app(String(version)))
      const { code, summary } = await project.reload()
      expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
      expect(summary.replaced.map((row) => row.connectionsCut)).toEqual([0, 0])
      await load.more(20)
    }
    await load.more(150)
    const result = await load.stop()
    expectNothingLost(result)
    expect(new Set(result.lastVersions.slice(-50))).toEqual(new Set(['4']))
  })

it('B1 https: the last answer on a connection that drains carries Connection: close', async () => {
  const held = `const draining = new Promise((resolve) => { worker.onWorkerStop = resolve })
  return async (request, response) => {
    if (request.url === '/held') await draining
    response.end(String(process.pid))
  }`
  const project = Project.create({
    'start.js': HTTPS_START,
    'app.js': `export function createApp(worker) {\n  ${held}\n}\n`,
  })
  makeCertificate(project)
  await project.start()
  const client = await Client.open({ port: await project.port(), tls: true })
  const first = await client.request()
  expect(head(first, 'connection')).toEqual(['keep-alive'])
  // a busy machine takes long to start two workers
  const last = client.request({ path: '/held', timeoutMs: 120_000 })
  expect((await project.reload()).code).toBe(0)
  expect((await last).body).toBe(first.body)
  expect(head(await last, 'connection')).toEqual(['close'])
  client.close()
})

it('U5 a plain request to an https port disturbs nobody', async () => {
  const project = Project.create({ 'start.js': HTTPS_START, 'app.js': app('1') })
  makeCertificate(project)
  await project.start()
  const port = await project.port()
  const before = await project.pids()
  await expect(get({ port })).rejects.toThrow()
  expect((await get({ port, tls: true })).status).toBe(200)
  expect(await project.pids()).toEqual(before)
})

it('U5 http+unix: requests are answered, a client has no address, and the socket goes with the stop', async () => {
  const project = Project.create({})
  const path = join(project.root, 'web.sock')
  const setUp = `worker.onMessage = (connection) => connection.send({ address: connection.remoteAddress ?? null })`
  project.write('start.js', startWith(setUp, {}, `http+unix://${path}`))
  await project.start()
  expect(JSON.parse((await get({ path })).body)).toEqual({ address: null })
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(existsSync(path)).toBe(false)
})

// ---- onMessage -----------------------------------------------------------------------------------------------------

const SENDS = `
const sends = {
  '/text': () => 'grüezi',
  '/buffer': () => Buffer.from([0, 1, 2, 255]),
  '/bytes': () => new Uint8Array([65, 66]),
  '/object': () => ({ a: [1, 'é'] }),
  '/number': () => 42,
  '/false': () => false,
  '/null': () => null,
  '/empty': () => '',
  '/response': () => {
    const headers = new Headers({ 'X-Own': 'yes', 'Content-Type': 'text/plain' })
    headers.append('Set-Cookie', 'a=1; Path=/')
    headers.append('Set-Cookie', 'b=2')
    return new Response('made', { status: 201, statusText: 'Made Here', headers })
  },
  '/json': () => Response.json({ json: true }),
  '/redirect': () => new Response(null, { status: 302, headers: { Location: '/text' } }),
  '/nothing': () => new Response(null, { status: 204 }),
  '/stream': () => {
    let count = 0
    return new Response(new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 5))
        controller.enqueue(Buffer.from('part ' + ++count + '\\n'))
        if (count === 5) controller.close()
      },
    }))
  },
  '/big': () => new Response('x'.repeat(5_000_000)),
}
worker.onMessage = (connection, request) => { connection.send(sends[request.path]()) }
`

it('U5 connection.send takes text, bytes, any other value as JSON, and each has its type and length', async () => {
  const { target } = await runWith(SENDS)
  const client = await Client.open(target)
  const ask = async (path: string): Promise<unknown[]> => {
    const answer = await client.request({ path })
    return [answer.status, answer.body, ...head(answer, 'content-type', 'content-length')]
  }
  const json = 'application/json; charset=utf-8'
  const html = 'text/html; charset=utf-8'
  expect(await ask('/text')).toEqual([200, 'grüezi', html, '7'])
  expect(await ask('/buffer')).toEqual([200, '\0\x01\x02\ufffd', 'application/octet-stream', '4'])
  expect(await ask('/bytes')).toEqual([200, 'AB', 'application/octet-stream', '2'])
  expect(await ask('/object')).toEqual([200, '{"a":[1,"é"]}', json, '14'])
  expect(await ask('/number')).toEqual([200, '42', json, '2'])
  expect(await ask('/false')).toEqual([200, 'false', json, '5'])
  expect(await ask('/null')).toEqual([200, 'null', json, '4'])
  expect(await ask('/empty')).toEqual([200, '', html, '0'])
  client.close()
})

it('U5 connection.send takes a Response: status, headers, each cookie, no body, a stream, a large body', async () => {
  const { target } = await runWith(SENDS)
  const client = await Client.open(target)
  const made = await client.request({ path: '/response' })
  expect([made.status, made.body, ...head(made, 'x-own', 'content-type')]).toEqual([201, 'made', 'yes', 'text/plain'])
  const json = await client.request({ path: '/json' })
  expect([json.status, json.body, ...head(json, 'content-type')]).toEqual([200, '{"json":true}', 'application/json'])
  const moved = await client.request({ path: '/redirect' })
  expect([moved.status, moved.body, ...head(moved, 'location')]).toEqual([302, '', '/text'])
  expect((await client.request({ path: '/nothing' })).status).toBe(204)
  expect((await client.request({ path: '/stream' })).body).toBe('part 1\npart 2\npart 3\npart 4\npart 5\n')
  expect((await client.request({ path: '/big' })).body.length).toBe(5_000_000)
  // all of them on one connection: it was kept, and kept in step
  expect((await client.request({ path: '/text' })).body).toBe('grüezi')
  client.close()

  const web = await fetch(`http://127.0.0.1:${target.port}/response`)
  expect([web.statusText, web.headers.getSetCookie()]).toEqual(['Made Here', ['a=1; Path=/', 'b=2']])
})

it('U5 a HEAD request is answered with the length and without the body', async () => {
  const { target } = await runWith(SENDS)
  const client = await Client.open(target)
  const answer = await client.request({ method: 'HEAD', path: '/text' })
  expect([answer.status, answer.body, ...head(answer, 'content-length')]).toEqual([200, '', '7'])
  expect((await client.request({ path: '/text' })).body).toBe('grüezi')
  client.close()
})

it('U5 a Response whose stream fails half-way ends that connection and nothing else', async () => {
  const { project, target } = await runWith(`
worker.onMessage = (connection, request) => {
  if (request.path === '/fine') return connection.send('fine')
  let count = 0
  connection.send(new Response(new ReadableStream({
    pull(controller) {
      if (++count > 2) throw new Error('the source is gone')
      controller.enqueue(Buffer.from('part'))
    },
  })))
}`)
  const before = await project.pids()
  await expect(get(target)).rejects.toThrow(/closed|reset/)
  expect((await get(target, '/fine')).body).toBe('fine')
  expect(await project.pids()).toEqual(before)
})

const ECHO = `
worker.onMessage = (connection, request) => {
  const { method, url, path, headers } = request
  const body = headers['content-type'] === 'application/json' ? request.json() : request.text()
  connection.send({ method, url, path, name: request.query.get('name'), bytes: request.body.length, body })
}
`

it('U5 onMessage gets the method, the address, the query and the whole body as text or JSON', async () => {
  const { target } = await runWith(ECHO)
  const client = await Client.open(target)
  const ask = async (path: string, options: Parameters<Client['request']>[0]): Promise<unknown> =>
    JSON.parse((await client.request({ path, ...options })).body)
  expect(await ask('/a?name=J%C3%BCrg', {})).toEqual({
    ...{ method: 'GET', url: '/a?name=J%C3%BCrg', path: '/a', name: 'Jürg', bytes: 0, body: '' },
  })
  expect(await ask('/b', { method: 'POST', body: 'grüezi' })).toMatchObject({
    method: 'POST',
    bytes: 7,
    body: 'grüezi',
  })
  const headers = { 'Content-Type': 'application/json' }
  expect(await ask('/c', { method: 'PUT', headers, body: '{"a":[1,2]}' })).toMatchObject({ body: { a: [1, 2] } })
  const long = 'x'.repeat(2_000_000)
  expect(await ask('/d', { method: 'POST', body: long })).toMatchObject({ bytes: 2_000_000, body: long })
  client.close()
})

it('U5 a body that is no JSON costs its sender a 400 and nobody else anything, the log included', async () => {
  const { project, running, target } = await runWith(ECHO)
  const before = await project.pids()
  const headers = { 'Content-Type': 'application/json' }
  expect((await get(target, '/', { method: 'POST', headers, body: '{"a":' })).status).toBe(400)
  expect((await get(target)).status).toBe(200)
  expect(running.stderr).toBe('')
  expect(await project.pids()).toEqual(before)
})

it('U5 a body over maxMessageBytes is answered 413, also when it has no length or is sent to its end; one that fits is taken', async () => {
  const { project, target } = await runWith(ECHO, { maxMessageBytes: 1_000 })
  const before = await project.pids()
  const post = (body: string): Promise<Answer> => get(target, '/', { method: 'POST', body })
  expect((await post('x'.repeat(1_000))).status).toBe(200)
  const refused = await post('x'.repeat(1_001))
  expect([refused.status, ...head(refused, 'connection')]).toEqual([413, 'close'])

  const chunked = await Client.open(target)
  chunked.socket.write('POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n')
  for (let chunk = 0; chunk < 3; chunk++) chunked.socket.write(`1f4\r\n${'x'.repeat(500)}\r\n`)
  expect((await chunked.answer()).status).toBe(413)
  chunked.close()

  // a sender that does not look up before it has sent everything gets its answer, not a reset
  for (let round = 0; round < 5; round++) expect((await post('x'.repeat(8_000_000))).status).toBe(413)
  expect((await get(target)).status).toBe(200)
  expect(await project.pids()).toEqual(before)
})

it('U5 a sender that goes away in the middle of its body is no error of the handler', async () => {
  const { project, running, target } = await runWith(`
worker.onClose = () => console.log('hook close')
worker.onError = (connection, error) => console.log('hook error', error)
${ECHO}`)
  const before = await project.pids()
  const client = await Client.open(target)
  client.socket.write('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nonly this')
  client.close()
  await running.line(/^hook close$/m)
  expect((await get(target)).status).toBe(200)
  expect(await project.pids()).toEqual(before)
  expect(running.stderr).toBe('')
  expect(running.stdout).not.toContain('hook error')
})

it('A13 pipelined messages of one connection are handled one after another: each gets its own answer', async () => {
  const { target } = await runWith(`
worker.onMessage = async (connection, request) => {
  if (request.path === '/slow') await new Promise((resolve) => setTimeout(resolve, 200))
  connection.send(request.path)
}`)
  const client = await Client.open(target)
  const paths = ['/slow', '/fast', '/fast', '/slow', '/last']
  for (const path of paths) client.send({ path })
  const answers: string[] = []
  for (const _path of paths) answers.push((await client.answer()).body)
  expect(answers).toEqual(paths)
  client.close()
})

it('U5 connection.close sends what it is given, says so, and ends the connection', async () => {
  const { target } = await runWith(`worker.onMessage = (connection) => connection.close('goodbye')`)
  const client = await Client.open(target)
  const answer = await client.request()
  expect([answer.status, answer.body, ...head(answer, 'connection')]).toEqual([200, 'goodbye', 'close'])
  await expect(client.answer()).rejects.toMatchObject({ outcome: 'closed' })
})

// ---- connections ---------------------------------------------------------------------------------------------------

it('H8 onConnect, onMessage and onClose get one and the same connection, in this order, onClose once', async () => {
  const { running, target } = await runWith(`
const names = new Map()
let count = 0
worker.onConnect = (connection) => {
  names.set(connection, 'c' + ++count)
  console.log('hook connect', names.get(connection), connection.remoteAddress, typeof connection.remotePort)
}
worker.onMessage = (connection) => {
  console.log('hook message', names.get(connection))
  connection.send('fine')
}
worker.onClose = (connection) => console.log('hook close', names.get(connection))
`)
  const client = await Client.open(target)
  await client.request()
  await client.request()
  client.close()
  await running.line(/^hook close c1$/m)
  await get(target)
  await running.line(/^hook close c2$/m)
  expect(running.stdout.match(/^hook .*$/gm)).toEqual([
    expect.stringMatching(/^hook connect c1 (::ffff:)?127\.0\.0\.1 number$/),
    'hook message c1',
    'hook message c1',
    'hook close c1',
    expect.stringMatching(/^hook connect c2 /),
    'hook message c2',
    'hook close c2',
  ])
})

it('U5 onConnect and onClose that throw are logged; requests are answered', async () => {
  const { project, running, target } = await runWith(`
worker.onConnect = () => { throw new Error('no connect') }
worker.onClose = () => { throw new Error('no close') }
worker.onRequest = (request, response) => response.end('fine')
`)
  const before = await project.pids()
  expect((await get(target)).body).toBe('fine')
  await running.line(/Error: no connect/)
  await running.line(/Error: no close/)
  expect((await get(target)).body).toBe('fine')
  expect(await project.pids()).toEqual(before)
})

// ---- handlers that fail --------------------------------------------------------------------------------------------

/** More than the kernel takes of an answer that nobody reads. */
const LARGE_BYTES = 10_000_000

const FAILS = `
worker.onError = (connection, error) => {
  console.log('hook error', connection.remotePort > 0, error instanceof Error ? error.message : error)
}
const answers = {
  '/throws': () => { throw new Error('thrown here') },
  '/rejects': async () => { throw new Error('rejected here') },
  '/text': async () => { throw 'just text' },
  '/half': async (request, response) => {
    response.write('half of it')
    throw new Error('thrown half-way')
  },
  '/after': async (request, response) => {
    response.end('answered')
    throw new Error('thrown afterwards')
  },
  '/large': async (request, response) => {
    response.end('x'.repeat(${LARGE_BYTES}))
    throw new Error('thrown behind a large one')
  },
  '/held': (request, response) => { release = () => response.end('held') },
  '/release': (request, response) => {
    release()
    response.end('released')
  },
  '/': (request, response) => response.end('fine'),
}
let release
worker.onRequest = (request, response) => answers[request.url](request, response)
`

it('U5 an onRequest that throws or rejects: its client gets 500, it is logged with its stack, onError is told, the worker stays', async () => {
  const { project, running, target } = await runWith(FAILS)
  const before = await project.pids()
  for (const [path, message] of [
    ['/throws', 'thrown here'],
    ['/rejects', 'rejected here'],
    ['/text', 'just text'],
  ] as const) {
    const answer = await get(target, path)
    expect([answer.status, answer.body]).toEqual([500, ''])
    await running.line(new RegExp(`^hook error true ${message}$`, 'm'))
    await running.line(new RegExp(`web/0 \\(pid \\d+\\): the handler of GET ${path} threw: .*${message}`))
  }
  expect(running.stderr).toMatch(/Error: thrown here\n\s+at .*start\.js:\d+/)
  expect((await get(target)).body).toBe('fine')
  expect(await project.pids()).toEqual(before)
})

it('U5 an onRequest that throws after it has begun to answer: the client sees a broken answer, never a whole one', async () => {
  const { project, running, target } = await runWith(FAILS)
  const before = await project.pids()
  await expect(get(target, '/half')).rejects.toThrow(/closed|reset/)
  await running.line(/^hook error true thrown half-way$/m)
  const answered = await get(target, '/after')
  expect([answered.status, answered.body]).toEqual([200, 'answered'])
  await running.line(/thrown afterwards/)
  expect((await get(target)).body).toBe('fine')
  expect(await project.pids()).toEqual(before)
})

it('U5 an onRequest that throws when its answer is whole: all of it is delivered, to a client that reads it later, too', async () => {
  const { running, target } = await runWith(FAILS)
  const client = await Client.open(target)
  client.socket.pause()
  client.send({ path: '/large' })
  await running.line(/^hook error true thrown behind a large one$/m)
  client.socket.resume()
  expect((await client.answer()).body.length).toBe(LARGE_BYTES)
  expect((await client.request()).body).toBe('fine')
  client.close()
})

it('U5 an onRequest that throws when its answer is whole and waits behind another: both are delivered, in order', async () => {
  const { running, target } = await runWith(FAILS)
  const client = await Client.open(target)
  client.pipeline([{ path: '/held' }, { path: '/after' }])
  await running.line(/^hook error true thrown afterwards$/m)
  expect((await get(target, '/release')).body).toBe('released')
  expect([(await client.answer()).body, (await client.answer()).body]).toEqual(['held', 'answered'])
  expect((await client.request()).body).toBe('fine')
  client.close()
})

it('U5 an onError that throws, too, is logged and changes nothing', async () => {
  const { project, running, target } = await runWith(`
worker.onError = () => { throw new Error('no better here') }
worker.onRequest = () => { throw new Error('thrown here') }
`)
  const before = await project.pids()
  expect((await get(target)).status).toBe(500)
  await running.line(/onError threw: Error: no better here/)
  expect((await get(target)).status).toBe(500)
  expect(await project.pids()).toEqual(before)
})

it('U5 an onMessage that throws or rejects: its client gets 500, the worker stays', async () => {
  const { project, running, target } = await runWith(`
worker.onError = (connection, error) => console.log('hook error', error.message)
worker.onMessage = (connection, request) => {
  if (request.path === '/throws') throw new Error('thrown here')
  if (request.path === '/rejects') return Promise.reject(new Error('rejected here'))
  if (request.path === '/undefined') return connection.send(undefined)
  connection.send('fine')
}`)
  const before = await project.pids()
  for (const path of ['/throws', '/rejects', '/undefined']) expect((await get(target, path)).status).toBe(500)
  await running.line(/^hook error thrown here$/m)
  await running.line(/^hook error rejected here$/m)
  expect((await get(target)).body).toBe('fine')
  expect(await project.pids()).toEqual(before)
})

/** A worker reads on behind its answer for as long as each look, one a second, finds that something has come. */
const MAX_SILENT_MS = 800

/** What a POST is answered that goes on for as long as a reload, and for how long nothing of it was sent at most. */
async function uploadInReload(
  project: Project,
  target: Target,
): Promise<{ answer: Answer | Unanswered; silentMs: number; cut: number[] }> {
  const client = await Client.open(target)
  // it reads nothing before it has sent all
  client.socket.pause()
  client.socket.write('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 15000000\r\n\r\n')
  const reloaded = project.reload()
  let sentAt = performance.now()
  let silentMs = 0
  for (let chunk = 0; chunk < 150; chunk++) {
    silentMs = Math.max(silentMs, performance.now() - sentAt)
    sentAt = performance.now()
    client.socket.write(Buffer.alloc(100_000))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  client.socket.resume()
  const answer = await client.answer('POST').catch((error: unknown) => {
    if (error instanceof Unanswered) return error
    throw error
  })
  return { answer, silentMs, cut: (await reloaded).summary.replaced.map((row) => row.connectionsCut) }
}

it('B2 an upload that is answered before it is read, by a worker that drains, is read to its end, and its client gets the answer', async () => {
  const { project, target } = await runWith(`
const draining = new Promise((resolve) => { worker.onWorkerStop = resolve })
worker.onRequest = async (request, response) => {
  await draining
  response.writeHead(401).end('no')
}`)
  const { answer, cut } = await inTime(
    () => uploadInReload(project, target),
    (round) => round.answer instanceof Unanswered && round.silentMs > MAX_SILENT_MS,
  )
  if (answer instanceof Unanswered) throw answer
  expect([answer.status, answer.body, ...head(answer, 'connection')]).toEqual([401, 'no', 'close'])
  expect(cut).toEqual([0])
})

it('B2 a request that comes while a handler blocks its worker for longer than connections are kept is answered', async () => {
  const { project, target } = await runWith(
    `
import { existsSync, writeFileSync } from 'node:fs'
const block = () => {
  writeFileSync('blocked.txt', 'x')
  const longEnoughAt = performance.now() + 2_500
  while (performance.now() < longEnoughAt || !existsSync('sent.txt'))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
}
worker.onRequest = (request, response) => {
  // from then on its connection is idle
  if (request.url === '/blocks') response.on('finish', () => setImmediate(block))
  response.end('fine')
}`,
    { server: { keepAliveTimeout: 500 } },
  )
  const kept = await Client.open(target)
  expect((await kept.request({ path: '/blocks' })).body).toBe('fine')
  await until('its worker is blocked', () => project.written('blocked.txt') !== '')
  kept.send()
  project.write('sent.txt', '')
  expect((await kept.answer()).body).toBe('fine')
  expect(await project.pids()).toHaveLength(1)
  kept.close()
})

it('U5 garbage instead of HTTP is answered 400 and disturbs nobody', async () => {
  const { project, target } = await runWith(SENDS)
  const before = await project.pids()
  const client = await Client.open(target)
  client.socket.write('\x16\x03\x01 this is no HTTP\r\n\r\n')
  expect((await client.answer()).status).toBe(400)
  expect((await get(target, '/text')).body).toBe('grüezi')
  expect(await project.pids()).toEqual(before)
})

// ---- upgrades ------------------------------------------------------------------------------------------------------

it('U5 a worker that only takes upgrades starts, upgrades, and answers plain requests 404', async () => {
  const { target } = await runWith(`
worker.onWorkerStart = () => {
  worker.server.on('upgrade', (request, socket) => {
    socket.end('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\nwelcome')
  })
}`)
  expect((await get(target)).status).toBe(404)
  const client = await Client.open(target)
  const received = new Promise<string>((resolve) => {
    let text = ''
    client.socket.on('data', (chunk) => {
      text += chunk.toString()
      if (text.endsWith('welcome')) resolve(text)
    })
  })
  client.send({ headers: { Connection: 'Upgrade', Upgrade: 'echo' } })
  expect(await received).toMatch(/^HTTP\/1\.1 101 /)
  client.close()
})

// ---- options -------------------------------------------------------------------------------------------------------

it('U5 the options of server are in force: keepAliveTimeout, maxHeaderSize, maxRequestsPerSocket', async () => {
  const server = { keepAliveTimeout: 2_000, maxHeaderSize: 2_048, maxRequestsPerSocket: 2 }
  const { target } = await runWith(`worker.onRequest = (request, response) => response.end('fine')`, { server })
  const client = await Client.open(target)
  const first = await client.request()
  expect(head(first, 'connection', 'keep-alive')).toEqual(['keep-alive', 'timeout=2, max=2'])
  expect(head(await client.request(), 'connection')).toEqual(['close'])
  expect((await get(target, '/', { headers: { 'X-Long': 'x'.repeat(1_000) } })).status).toBe(200)
  expect((await get(target, '/', { headers: { 'X-Long': 'x'.repeat(3_000) } })).status).toBe(431)
})

it('U5 an idle connection is closed after keepAliveTimeout, not before', async () => {
  const server = { keepAliveTimeout: 500 }
  const { running, target } = await runWith(
    `
worker.onRequest = (request, response) => {
  const idleFrom = performance.now()
  request.socket.once('close', () => console.log('kept for', performance.now() - idleFrom))
  response.end('fine')
}`,
    { server },
  )
  const client = await Client.open(target)
  const closed = new Promise((resolve) => client.socket.once('close', resolve))
  await client.request()
  await closed
  const [, keptMs] = await running.line(/^kept for (\S+)$/m)
  // Node.js adds a second of its own, so that a client that trusts the header is never late
  expect(Number(keptMs)).toBeGreaterThan(490)
  expect(Number(keptMs)).toBeLessThan(5_000)
})

it('U5 options that are assigned as properties count like those of the constructor', async () => {
  const { project, target } = await runWith(`
worker.maxMessageBytes = 10
worker.count = 2
${ECHO}`)
  expect(await project.pids()).toHaveLength(2)
  expect((await get(target, '/', { method: 'POST', body: 'x'.repeat(10) })).status).toBe(200)
  expect((await get(target, '/', { method: 'POST', body: 'x'.repeat(11) })).status).toBe(413)
})

it('U5 a maxMessageBytes that is no number of bytes is refused at start', async () => {
  const project = Project.create({ 'start.js': startWith(ECHO, { maxMessageBytes: 'much' }) })
  const result = await project.shiftwork('start')
  expect(result).toMatchObject({ code: 1, stderr: expect.stringMatching(/Worker "web": maxMessageBytes is "much"/) })
})

const TWO_GROUPS = `
import { Worker } from 'shiftwork'
const seen = process.env.GREETING ?? null
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 3, bakeMs: 50, env: { GREETING: 'grüezi' } })
web.onWorkerStart = (worker) => {
  worker.onMessage = (connection) =>
    connection.send({ seen, id: worker.id, generation: worker.generation, name: worker.name, pid: process.pid })
}
const jobs = new Worker({ name: 'jobs', count: 2, bakeMs: 50 })
jobs.onWorkerStart = (worker) => {
  console.log('job', worker.id, worker.generation, seen, worker.server)
}
Worker.runAll()
`

it('U5 env reaches the top level of the start file in that group alone; id and generation tell the place of a process', async () => {
  const project = Project.create({ 'start.js': TWO_GROUPS })
  const running = await project.start()
  const port = await project.port()
  for (let generation = 1; generation <= 3; generation++) {
    const ids = new Map<number, number>()
    while (ids.size < 3) {
      const said = JSON.parse((await get({ port })).body)
      expect(said).toMatchObject({ seen: 'grüezi', generation, name: 'web' })
      ids.set(said.pid, said.id)
    }
    const web = (await project.status()).groups.find((group) => group.name === 'web')
    expect([...ids].sort()).toEqual((web?.processes ?? []).map((row) => [row.pid, row.id]).sort())
    expect([...ids.values()].sort()).toEqual([0, 1, 2])
    for (const id of [0, 1]) await running.line(new RegExp(`^job ${id} ${generation} null null$`, 'm'))
    expect((await project.reload()).code).toBe(0)
  }
})

it('U5 a group without a listener is ready, shown, reloaded and stopped like any other', async () => {
  const project = Project.create({
    'start.js': `
import { Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs', count: 2, bakeMs: 50 })
jobs.onWorkerStart = () => { setInterval(() => undefined, 1_000) }
jobs.onWorkerStop = (worker, reason) => console.log('stops', worker.id, reason)
Worker.runAll()
`,
  })
  const running = await project.start()
  const old = await project.pids('jobs')
  expect((await project.status()).groups).toMatchObject([{ name: 'jobs', listen: [], state: 'ok' }])
  const { code, summary } = await project.reload()
  expect({ code, old: summary.replaced.map((row) => row.oldPid).sort() }).toEqual({ code: 0, old: [...old].sort() })
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect((await running.ended).code).toBe(0)
  for (const id of [0, 1]) {
    await running.line(new RegExp(`^stops ${id} reload$`, 'm'))
    await running.line(new RegExp(`^stops ${id} stop$`, 'm'))
  }
})
