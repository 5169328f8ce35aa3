/** `connection.sendFile` and streams over HTTP: what is sent, what is refused, and what becomes of them when a side goes away. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, it, onTestFinished } from 'vitest'
import { type Answer, Client, get, type RequestOptions } from '../helpers/client.ts'
import { until } from '../helpers/processes.ts'
import { startWeb } from '../helpers/web.ts'

const head = (answer: Answer, ...names: string[]): (string | undefined)[] =>
  names.map((name) => answer.headers.get(name))

// ---- files ---------------------------------------------------------------------------------------------------------

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz'
const FILES = `
worker.onMessage = (connection, request) =>
  connection.sendFile(request.decodedPath, { root: 'public', maxAgeMs: 60_000 })
`
const PUBLIC = {
  'public/letters.txt': ALPHABET,
  'public/page.html': '<p>grüezi',
  'public/empty.css': '',
  'public/a b/grüezi %41.json': '{}',
  'public/.hidden': 'not for you',
  'public/.git/config': 'not for you',
  'secret.txt': 'not for you',
}

it('U5 sendFile: type, length, validators and age; HEAD without the body; a file without bytes, with any name', async () => {
  const { target } = await startWeb(FILES, { files: PUBLIC })
  const client = await Client.open(target)
  const letters = await client.request({ path: '/letters.txt' })
  expect([letters.status, letters.body]).toEqual([200, ALPHABET])
  expect(head(letters, 'content-type', 'content-length', 'accept-ranges', 'cache-control')).toEqual([
    ...['text/plain; charset=utf-8', '26', 'bytes', 'public, max-age=60'],
  ])
  expect(head(letters, 'etag', 'last-modified')).toEqual([expect.stringMatching(/^W\/".+"$/), expect.any(String)])
  const asked = await client.request({ method: 'HEAD', path: '/letters.txt' })
  expect([asked.status, asked.body, ...head(asked, 'content-length', 'etag')]).toEqual([
    ...[200, '', '26', letters.headers.get('etag')],
  ])
  expect((await client.request({ path: '/page.html' })).headers.get('content-type')).toMatch(/^text\/html/)
  expect((await client.request({ path: '/page.html?a=/../x' })).body).toBe('<p>grüezi')
  const empty = await client.request({ path: '/empty.css' })
  expect([empty.status, empty.body, ...head(empty, 'content-length')]).toEqual([200, '', '0'])
  expect((await client.request({ path: encodeURI('/a b/grüezi %41.json') })).body).toBe('{}')
  client.close()
})

it('U5 sendFile: one range is 206, several are the whole file, none that fits is 416; a stale If-Range is the whole file', async () => {
  const { target } = await startWeb(FILES, { files: PUBLIC })
  const client = await Client.open(target)
  const whole = await client.request({ path: '/letters.txt' })
  const ask = async (Range: string, headers: Record<string, string> = {}): Promise<unknown[]> => {
    const answer = await client.request({ path: '/letters.txt', headers: { Range, ...headers } })
    return [answer.status, answer.body, ...head(answer, 'content-range', 'content-length')]
  }
  expect(await ask('bytes=0-2')).toEqual([206, 'abc', 'bytes 0-2/26', '3'])
  expect(await ask('bytes=24-')).toEqual([206, 'yz', 'bytes 24-25/26', '2'])
  expect(await ask('bytes=-3')).toEqual([206, 'xyz', 'bytes 23-25/26', '3'])
  expect(await ask('bytes=20-999')).toEqual([206, 'uvwxyz', 'bytes 20-25/26', '6'])
  expect(await ask('bytes=26-')).toEqual([416, '', 'bytes */26', '0'])
  const all = [200, ALPHABET, undefined, '26']
  for (const several of ['bytes=0-1,5-6', 'bytes=0-0,-1', `bytes=${'0-,'.repeat(500)}0-`]) {
    const [status, body] = await ask(several)
    // ranges that are one when put together may be sent as that
    expect([several.slice(0, 20), status === 200 || status === 206, body]).toEqual([
      ...[several.slice(0, 20), true, expect.any(String)],
    ])
  }
  expect(await ask('bytes=0-1,5-6')).toEqual(all)
  for (const odd of ['bytes=', 'bytes=a-b', 'lines=0-1', 'bytes 0-1']) {
    const [status, body] = await ask(odd)
    expect([odd, [200, 416].includes(status as number), body === ALPHABET || body === '']).toEqual([odd, true, true])
  }
  expect(await ask('bytes=0-1', { 'If-Range': '"another"' })).toEqual(all)
  expect(await ask('bytes=0-1', { 'If-Range': whole.headers.get('last-modified') ?? '' })).toEqual([
    ...[206, 'ab', 'bytes 0-1/26', '2'],
  ])
  client.close()
})

it('U5 sendFile: 304 for what the client has, 412 for what it has not, and the whole file once it has changed', async () => {
  const { project, target } = await startWeb(FILES, { files: PUBLIC })
  const client = await Client.open(target)
  const first = await client.request({ path: '/letters.txt' })
  const etag = first.headers.get('etag') ?? ''
  const date = first.headers.get('last-modified') ?? ''
  const ask = async (headers: Record<string, string>): Promise<unknown[]> => {
    const answer = await client.request({ path: '/letters.txt', headers })
    return [answer.status, answer.body]
  }
  expect(await ask({ 'If-None-Match': etag })).toEqual([304, ''])
  expect(await ask({ 'If-None-Match': `"x", ${etag}` })).toEqual([304, ''])
  expect(await ask({ 'If-None-Match': '*' })).toEqual([304, ''])
  expect(await ask({ 'If-Modified-Since': date })).toEqual([304, ''])
  expect(await ask({ 'If-Modified-Since': 'no date' })).toEqual([200, ALPHABET])
  expect(await ask({ 'If-None-Match': '"x"', 'If-Modified-Since': date })).toEqual([200, ALPHABET])
  expect(await ask({ 'If-Match': '"x"' })).toEqual([412, ''])
  project.write('public/letters.txt', ALPHABET.toUpperCase().repeat(2))
  expect(await ask({ 'If-None-Match': etag })).toEqual([200, ALPHABET.toUpperCase().repeat(2)])
  client.close()
})

it('C10 sendFile: no path leads out of its root, and what is no file is none', async () => {
  const { project, running, target } = await startWeb(FILES, { files: PUBLIC })
  execFileSync('mkfifo', [join(project.dir, 'public/pipe')])
  const client = await Client.open(target)
  const ask = async (path: string): Promise<unknown[]> => {
    const answer = await client.request({ path })
    return [path, answer.status, answer.body]
  }
  for (const path of [
    ...['/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/a%20b/../../secret.txt', '/./../secret.txt'],
    ...['//../secret.txt', '/..//secret.txt', '/%2e%2e%2f%2e%2e%2fetc/passwd', '/a%20b/..%2f..%2fsecret.txt'],
    '/..%5csecret.txt',
  ])
    expect(await ask(path)).toEqual([path, expect.toBeOneOf([403, 404]), ''])
  for (const path of ['/letters.txt%00', '/%00', '/letters.txt%00.html'])
    expect(await ask(path)).toEqual([path, 400, ''])
  for (const path of [
    ...['/missing', '/', '/a%20b', '/a%20b/', '/letters.txt/', '/letters.txt/x', '/.hidden', '/.git/config', '/pipe'],
    ...[`/${'x'.repeat(1_000)}`, '/%252e%252e/secret.txt', '/%E0%A4%A'],
  ])
    expect(await ask(path)).toEqual([path, 404, ''])
  // one connection, and in step to the end
  expect(await ask('/letters.txt')).toEqual(['/letters.txt', 200, ALPHABET])
  client.close()
  expect(running.stderr).toBe('')
})

it('U5 sendFile: without a root the path is the program’s own, and headers of its own win', async () => {
  const { target } = await startWeb(
    `
import { fileURLToPath } from 'node:url'
const path = fileURLToPath(new URL('.data/../.data/report', import.meta.url))
worker.onMessage = async (connection) => {
  const headers = { 'Content-Type': 'text/csv', 'Content-Disposition': 'attachment; filename="r.csv"', 'Cache-Control': 'no-store' }
  const wasDelivered = await connection.sendFile(path, { headers })
  console.log('hook', wasDelivered, await connection.sendFile(path))
}`,
    { files: { '.data/report': 'a;b' } },
  )
  const answer = await get(target)
  expect([answer.status, answer.body, ...head(answer, 'content-type', 'content-disposition', 'cache-control')]).toEqual(
    [...[200, 'a;b', 'text/csv', 'attachment; filename="r.csv"', 'no-store']],
  )
})

/** How many descriptors of this process are that file. */
function held(pid: number, name: string): number {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(join(folder, fd)).endsWith(name)
    } catch {
      // closed meanwhile
      return false
    }
  }).length
}

it('C10 sendFile: clients that go away close their files', async () => {
  const { project, running, target } = await startWeb(`
worker.onMessage = async (connection) => console.log('hook delivered', await connection.sendFile('big.bin'))
`)
  writeFileSync(join(project.dir, 'big.bin'), Buffer.alloc(50_000_000, 'x'))
  const [pid = 0] = await project.pids()
  const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(target)))
  for (const client of clients) {
    client.readSlowly({ stepBytes: 1, pauseMs: 1_000 })
    client.send()
  }
  await until('the files are open', () => held(pid, 'big.bin') === 20)
  for (const client of clients) client.close()
  await until('they are closed', () => held(pid, 'big.bin') === 0)
  await until('each handler knows', () => running.stdout.split('hook delivered false').length === 21)
  const whole = await fetch(`http://127.0.0.1:${target.port}/`)
  expect((await whole.arrayBuffer()).byteLength).toBe(50_000_000)
  await running.line(/hook delivered true/)
  expect(running.stderr).toBe('')
})

it('C10 sendFile: a file that becomes shorter while it is sent ends its connection, never another answer in its place', async () => {
  const { project, running, target } = await startWeb(`
worker.onMessage = (connection, request) => request.path === '/next' ? connection.send('next') : connection.sendFile('big.bin')
`)
  const path = join(project.dir, 'big.bin')
  writeFileSync(path, Buffer.alloc(50_000_000, 'x'))
  const client = await Client.open(target)
  client.socket.pause()
  client.pipeline([{ path: '/' }, { path: '/next' }])
  const [pid = 0] = await project.pids()
  await until('it is open', () => held(pid, 'big.bin') === 1)
  truncateSync(path, 1_000)
  client.socket.resume()
  await expect(client.answer()).rejects.toThrow(/closed|reset/)
  await running.line(/an answer for GET \/ .*/)
  expect((await get(target, '/next')).body).toBe('next')
  expect(running.stdout).not.toContain('HTTP/1.1 200 OK')
})

// ---- streams -------------------------------------------------------------------------------------------------------

const STREAMS = `
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
async function* parts(count, failsAt = Infinity) {
  try {
    for (let part = 1; part <= count; part++) {
      if (part >= failsAt) throw new Error('the source is gone')
      await after(1)
      yield 'part ' + part + '\\n'
    }
  } finally { console.log('hook source ended') }
}
async function* endless() {
  let bytes = 0
  try {
    for (;;) { yield Buffer.alloc(100_000, 'x'); console.log('hook produced', bytes += 100_000) }
  } finally { console.log('hook source ended') }
}
const silent = () => {
  const source = new Readable({ read() {}, destroy(error, done) { console.log('hook source ended'); done(error) } })
  source.push('once')
  return source
}
const silentWeb = () => new ReadableStream({
  start(controller) { controller.enqueue(Buffer.from('once')) },
  cancel() { console.log('hook source ended') },
})
const wrong = (length) => new Response('12345', { headers: { 'Content-Length': length } })
const sends = {
  '/node': () => Readable.from(parts(5)),
  '/objects': () => Readable.from([Buffer.from('a'), 'b']),
  '/generator': () => parts(5),
  '/web': () => ReadableStream.from(parts(5)),
  '/typed': () => new Response(ReadableStream.from(parts(2)), { status: 202, headers: { 'Content-Type': 'text/csv' } }),
  '/fails-first': () => parts(5, 1),
  '/fails': () => parts(5, 3),
  '/no-bytes': () => Readable.from([{ a: 1 }]),
  '/endless': () => endless(),
  '/silent': silent,
  '/silent-web': () => new Response(silentWeb()),
  '/right': () => wrong('5'),
  '/short': () => wrong('6'),
  '/long': () => wrong('4'),
  '/used': () => { const response = new Response('x'); response.text(); return response },
  '/missing': () => createReadStream('/there/is/no/such/file'),
  '/error': () => Response.error(),
  '/hop': () => new Response('x', { headers: { Connection: 'keep-alive', 'Keep-Alive': 'timeout=99', 'Transfer-Encoding': 'gzip' } }),
}
worker.onError = (connection, error) => console.log('hook error', error.message)
worker.onMessage = async (connection, request) => {
  if (request.path === '/fetch') return connection.send(await fetch(request.query.get('url')))
  if (request.query.has('late')) await new Promise((resolve) => { connection.onClose = resolve })
  connection.send(sends[request.path]())
}
`

it('U5 send takes Node.js streams, web streams and async generators, with HEAD none of it is read', async () => {
  const { running, target } = await startWeb(STREAMS)
  const client = await Client.open(target)
  const five = Array.from({ length: 5 }, (_, index) => `part ${index + 1}\n`).join('')
  for (const path of ['/node', '/generator', '/web']) {
    const answer = await client.request({ path })
    expect([path, answer.body, ...head(answer, 'content-type')]).toEqual([path, five, 'application/octet-stream'])
    const asked = await client.request({ method: 'HEAD', path })
    expect([path, asked.status, asked.body]).toEqual([path, 200, ''])
  }
  expect((await client.request({ path: '/objects' })).body).toBe('ab')
  const typed = await client.request({ path: '/typed' })
  expect([typed.status, typed.body, ...head(typed, 'content-type')]).toEqual([202, 'part 1\npart 2\n', 'text/csv'])
  expect((await client.request({ path: '/right' })).headers.get('content-length')).toBe('5')
  const hop = await client.request({ path: '/hop' })
  expect(head(hop, 'connection', 'transfer-encoding')).toEqual(['keep-alive', 'chunked'])
  expect(hop.headers.get('keep-alive')).not.toBe('timeout=99')
  client.close()
  expect(running.stderr).toBe('')
})

it('U5 a stream that fails before its first byte is a 500, one that fails later a broken answer; both are told and logged', async () => {
  const { project, running, target } = await startWeb(STREAMS)
  const before = await project.pids()
  for (const [path, message] of [
    ['/fails-first', 'the source is gone'],
    ['/no-bytes', 'it must be text or bytes'],
    ['/used', 'Body|disturbed|locked|Invalid state'],
    ['/error', 'status'],
  ] as const) {
    const answer = await get(target, path)
    expect([path, answer.status, answer.body]).toEqual([path, 500, ''])
    await running.line(new RegExp(`an answer for GET ${path} of a http connection failed: .*(${message})`, 's'))
  }
  for (const path of ['/fails', '/short', '/long']) {
    const client = await Client.open(target)
    client.pipeline([{ path }, { path: '/right' }])
    await expect(client.answer(), path).rejects.toThrow(/closed|reset/)
  }
  expect((await get(target, '/right')).body).toBe('12345')
  expect(await project.pids()).toEqual(before)
})

it('C10 a file that is not there, and that nobody wants, is nobody’s error: with HEAD, and for a client that has left', async () => {
  const { project, running, target } = await startWeb(STREAMS)
  const before = await project.pids()
  for (let round = 0; round < 3; round++) {
    expect((await get(target, '/missing', { method: 'HEAD' })).status).toBe(200)
    const client = await Client.open(target)
    client.send({ path: '/missing?late' })
    client.close()
  }
  for (let round = 0; round < 20; round++) expect((await get(target, '/right')).body).toBe('12345')
  expect(await project.pids()).toEqual(before)
  expect(running.stderr).toBe('')
})

it.each(['/silent', '/silent-web', '/endless'])('C10 %s: a client that goes away ends the stream', async (path) => {
  const { running, target } = await startWeb(STREAMS)
  const client = await Client.open(target)
  client.send({ path })
  await new Promise((resolve) => client.socket.once('data', resolve))
  client.close()
  await running.line(/^hook source ended$/m)
  expect(running.stderr).toBe('')
})

it('C10 a stream is read as fast as the client takes it', async () => {
  const { running, target } = await startWeb(STREAMS)
  const client = await Client.open(target)
  client.socket.pause()
  client.send({ path: '/endless' })
  let produced = -1
  const read = (): number => Number([...running.stdout.matchAll(/hook produced (\d+)/g)].at(-1)?.[1] ?? 0)
  while (produced !== read() || produced === 0) {
    produced = read()
    for (let round = 0; round < 50; round++) await get(target, '/right')
  }
  // the kernel's buffers of both sides, and not a gigabyte
  expect(produced).toBeLessThan(20_000_000)
  client.close()
  await running.line(/^hook source ended$/m)
})

it('U5 an answer of fetch is handed on: unpacked, as long as it is, and on this connection’s own terms', async () => {
  const text = 'a long text. '.repeat(1_000)
  const upstream = createServer((_request, response) => {
    const body = gzipSync(text)
    response.writeHead(200, {
      'Content-Encoding': 'gzip',
      'Content-Length': body.length,
      'X-Own': 'yes',
      Connection: 'close',
    })
    response.end(body)
  })
  await new Promise<void>((resolve) => void upstream.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void upstream.close())
  const { target } = await startWeb(STREAMS)
  const url = encodeURIComponent(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}/`)
  const client = await Client.open(target)
  const options: RequestOptions = { path: `/fetch?url=${url}` }
  for (let round = 0; round < 2; round++) {
    const answer = await client.request(options)
    expect([answer.body === text, ...head(answer, 'content-encoding', 'x-own', 'connection')]).toEqual([
      ...[true, undefined, 'yes', 'keep-alive'],
    ])
  }
  client.close()
})
