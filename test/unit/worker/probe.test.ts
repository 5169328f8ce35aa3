/** A worker's question to its own server, with real servers in this process: what is healthy, and what it leaves behind. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { connect } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { Traffic } from '../../../src/protocols/traffic.ts'
import { askOwnServer } from '../../../src/worker/probe.ts'

const traffic = new Traffic()
traffic.watch()

/** Never listens: the question comes in by its own door. */
function serverWith(listener: RequestListener): Server {
  const server = createServer(listener)
  onTestFinished(() => server.closeAllConnections())
  return server
}

function ask(server: Server, how: { path?: string; timeoutMs?: number; signal?: AbortSignal } = {}) {
  return askOwnServer(server, { path: '/health', timeoutMs: 10_000, signal: new AbortController().signal, ...how })
}

for (const [status, verdict] of [
  [200, null],
  [204, null],
  [302, null],
  [399, null],
  [400, 'answered 400'],
  [404, 'answered 404'],
  [500, 'answered 500'],
] as const)
  it(`${status}: ${verdict ?? 'healthy'}`, async () => {
    const server = serverWith((_request, response) => {
      response.writeHead(status)
      response.end(status === 204 ? undefined : 'x')
    })
    expect(await ask(server)).toBe(verdict)
  })

it('is a plain GET of the path with its query, by name, on a connection that is not kept', async () => {
  const seen: unknown[] = []
  const server = serverWith(({ method, url, headers }, response) => {
    seen.push({ method, url, headers })
    response.end()
  })
  expect(await ask(server, { path: '/health?deep=1' })).toBe(null)
  const headers = { host: 'localhost', 'user-agent': 'shiftwork-health', connection: 'close' }
  expect(seen).toEqual([{ method: 'GET', url: '/health?deep=1', headers }])
})

it('is neither counted nor waited for, and leaves no listener on the server', async () => {
  const server = serverWith((_request, response) => response.end('ok'))
  const before = { requests: traffic.requests, connections: traffic.connections }
  const listeners = server.eventNames().map((name) => [name, server.listenerCount(name)])
  for (let round = 0; round < 30; round++) expect(await ask(server)).toBe(null)
  expect({ requests: traffic.requests, connections: traffic.connections }).toEqual(before)
  expect(server.eventNames().map((name) => [name, server.listenerCount(name)])).toEqual(listeners)
})

it('ends with its time: no answer at all, and a head that never comes to its end', async () => {
  const silent = serverWith(() => undefined)
  expect(await ask(silent, { timeoutMs: 50 })).toBe('did not answer within 50 ms')
  const half = serverWith((request) => request.socket.write('HTTP/1.1 200 OK\r\nX: '))
  expect(await ask(half, { timeoutMs: 50 })).toBe('did not answer within 50 ms')
})

it('an answer that is there counts, also when nobody could read it within the time', async () => {
  const blocking = serverWith((_request, response) => {
    for (const end = performance.now() + 100; performance.now() < end; );
    response.end()
  })
  expect(await ask(blocking, { timeoutMs: 50 })).toBe(null)
})

it('the head decides: a body may be huge, endless, or break off', async () => {
  const endless = serverWith((_request, response) => {
    const chunk = Buffer.alloc(64 * 1024)
    const more = (): void => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', more)
    more()
  })
  expect(await ask(endless)).toBe(null)
  const trickle = serverWith((_request, response) => void response.writeHead(200).write('still'))
  expect(await ask(trickle, { timeoutMs: 1_500 })).toBe(null)
  const broken = serverWith((request, response) => {
    response.writeHead(200, { 'Content-Length': 100 }).write('half')
    setTimeout(() => request.socket.destroy(), 10)
  })
  expect(await ask(broken)).toBe(null)
})

it('a connection that is closed, an answer that is none and a path that cannot be sent say what they are', async () => {
  expect(await ask(serverWith((request) => request.socket.destroy()))).toBe('got no answer: socket hang up')
  expect(await ask(serverWith((request) => request.socket.end('garbage\r\n\r\n')))).toMatch(
    /^got no answer: Parse Error/,
  )
  const untouched = serverWith((_request, response) => response.end())
  expect(await ask(untouched, { path: '/he llo' })).toMatch(/^got no answer: .*unescaped/)
})

it('its door is closed to everybody else', async () => {
  let asked = 0
  let stranger: Promise<number> | null = null
  const server = serverWith((request, response) => {
    asked++
    // the port of the door, while it is open
    stranger ??= new Promise((resolve) => {
      const socket = connect(request.socket.localPort ?? 0, '127.0.0.1')
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
      socket.on('error', () => undefined)
      socket.on('close', () => {
        resolve(socket.bytesRead)
        response.end()
      })
    })
  })
  expect(await ask(server)).toBe(null)
  expect(await stranger).toBe(0)
  expect(asked).toBe(1)
})

it('is ended from outside, at any moment', async () => {
  const server = serverWith(() => undefined)
  for (const delayMs of [null, 0, 20]) {
    const abort = new AbortController()
    const asked = ask(server, { signal: abort.signal, timeoutMs: 200 })
    if (delayMs === null) abort.abort()
    else setTimeout(() => abort.abort(), delayMs)
    expect(await asked).not.toBe(null)
  }
})

it('reaches the handlers that a library has put in place of others', async () => {
  const server = serverWith(() => expect.fail('it was taken away'))
  server.removeAllListeners('request')
  server.on('request', (_request, response) => response.writeHead(418).end())
  expect(await ask(server)).toBe('answered 418')
})
