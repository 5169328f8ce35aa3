/** An upstream in this process: the WebSockets that it opens, and its part in a drain. */
import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { parseAddress } from '../../../src/address.ts'
import { connect } from '../../../src/inside/connect.ts'
import { enter } from '../../../src/inside/present.ts'
import { Timers } from '../../../src/inside/timers.ts'
import { Upstream } from '../../../src/inside/upstream.ts'
import { Upstreams } from '../../../src/inside/upstreams.ts'
import { Branch } from '../../../src/protocols/branch.ts'
import { Connections } from '../../../src/protocols/connections.ts'
import { until } from '../../helpers/processes.ts'
import { LIMITS } from '../protocols/pair.ts'

const worker = {
  name: 'jobs',
  id: 0,
  generation: 1,
  isLeader: false,
  connections: { size: 0 } as never,
  broadcast: () => 0,
}
let upstreams: Upstreams
const cleanUp: (() => unknown)[] = []

beforeEach(() => {
  upstreams = new Upstreams(worker)
  enter({
    worker,
    upstreams,
    timers: new Timers(worker),
    branch: () => new Branch(new Connections()),
    keepListening: () => undefined,
    discount: () => undefined,
  })
})

afterEach(() => {
  upstreams.cut()
  for (const clean of cleanUp.splice(0)) clean()
})

async function webSockets(options: object = {}): Promise<{ server: WebSocketServer; port: number }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options })
  cleanUp.push(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  await new Promise((resolve) => server.once('listening', resolve))
  return { server, port: (server.address() as AddressInfo).port }
}

/** A server that does this to each socket. */
async function plain(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer(onSocket).listen(0, '127.0.0.1')
  cleanUp.push(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  return (server.address() as AddressInfo).port
}

for (const compression of [false, { thresholdBytes: 10 }])
  it(`text and bytes of any length go both ways, masked, ${compression ? 'compressed' : 'not compressed'}, none of the first is lost`, async () => {
    const { server, port } = await webSockets({ perMessageDeflate: true, handleProtocols: () => 'two' })
    const asked: (string | undefined)[] = []
    server.on('connection', (socket, request) => {
      asked.push(request.url, request.headers.authorization)
      for (let index = 0; index < 50; index++) socket.send(`greeting ${index}`)
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    })
    const upstream = connect(`ws://127.0.0.1:${port}/room?token=secret`, {
      headers: { authorization: 'Bearer x' },
      webSocket: { protocols: ['one', 'two'], compression },
    })
    const sent = ['text', Buffer.from([0, 255]), '', 'é'.repeat(100_000), Buffer.alloc(70_000, 7)]
    const received: unknown[] = []
    upstream.onConnect = (connection) => {
      for (const message of sent) connection.send(message)
    }
    const all = new Promise<void>((resolve) => {
      upstream.onMessage = (_connection, message) => {
        if (received.push(message) === 50 + sent.length) resolve()
      }
    })
    const connection = await upstream.whenConnected()
    expect(connection.subprotocol).toBe('two')
    expect(upstream.address).toBe(`websocket://127.0.0.1:${port}/room`)
    await all
    expect(received.slice(0, 50)).toEqual(Array.from({ length: 50 }, (_, index) => `greeting ${index}`))
    expect(received.slice(50)).toEqual(sent)
    expect(asked).toEqual(['/room?token=secret', 'Bearer x'])
  })

it('a client that parts says 1001, and nothing is left of it', async () => {
  const { server, port } = await webSockets()
  const code = new Promise((resolve) => server.on('connection', (socket) => socket.on('close', resolve)))
  const upstream = connect(`ws://127.0.0.1:${port}`)
  await upstream.whenConnected()
  upstreams.stopTrying()
  expect(upstream.state).toBe('connected')
  await upstreams.partWithAll()
  expect(await code).toBe(1001)
  expect([upstream.state, upstream.connection, upstreams.connections.size]).toEqual(['closed', null, 0])
})

it('a server that has accepted counts, also when this process could not hear of it within the time', async () => {
  const port = await plain((socket) => void socket.resume())
  const upstream = connect(`tcp://127.0.0.1:${port}`, { connectTimeoutMs: 50, reconnect: false })
  // the system was asked by then
  await new Promise<void>((resolve) => process.nextTick(resolve))
  for (const end = performance.now() + 100; performance.now() < end; );
  await upstream.whenConnected()
  expect(upstream.state).toBe('connected')
})

it('what is no WebSocket server is told in a sentence, without the query', async () => {
  const refusing = await plain((socket) => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'))
  const rude = await plain((socket) => socket.once('data', () => socket.destroy()))
  const silent = await plain((socket) => socket.resume().on('error', () => undefined))
  const babbling = await plain((socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nX: ')
    const timer = setInterval(() => socket.write('x'), 10)
    socket.resume().on('error', () => undefined)
    socket.once('close', () => clearInterval(timer))
  })
  const failure = async (port: number, connectTimeoutMs: number): Promise<string> => {
    const upstream = connect(`ws://127.0.0.1:${port}/x?secret`, { reconnect: false, connectTimeoutMs })
    const error = (await upstream.whenConnected().catch((thrown: unknown) => thrown)) as Error
    expect(upstream.state).toBe('closed')
    return error.message.replace(/:\d+/, '')
  }
  const start = 'Cannot connect to websocket://127.0.0.1/x: '
  const late = `${start}its WebSocket handshake was not done within 200 ms`
  expect(await failure(refusing, 20_000)).toBe(`${start}it answers the handshake with 403`)
  expect(await failure(rude, 20_000)).toBe(`${start}it hung up`)
  expect(await failure(silent, 200)).toBe(late)
  expect(await failure(babbling, 200)).toBe(late)
})

it('one that is closed in its handshake lets go of its socket, and is not connected afterwards', async () => {
  const gone = new Promise<void>((resolve) => {
    void plain((socket) => {
      socket.on('error', () => undefined).resume()
      socket.once('data', () => upstream.close())
      socket.once('close', () => resolve())
    }).then((port) => {
      upstream = connect(`ws://127.0.0.1:${port}`)
      failed = upstream.whenConnected().catch((error: unknown) => error)
    })
  })
  let upstream = undefined as unknown as ReturnType<typeof connect<`ws://${string}`>>
  let failed: Promise<unknown> = Promise.resolve()
  await gone
  expect(await failed).toMatchObject({ code: 'ERR_CONNECT' })
  expect([upstream.state, upstreams.connections.size]).toEqual(['closed', 0])
  await upstreams.partWithAll()
})

it('one that is opened when the worker has nothing left to do is closed again', async () => {
  const { port } = await webSockets()
  await upstreams.partWithAll()
  const upstream = connect(`ws://127.0.0.1:${port}`)
  await expect(upstream.whenConnected()).rejects.toMatchObject({ code: 'ERR_CONNECT' })
  expect(upstream.state).toBe('closed')
})

/** So long nothing runs in this process, as if it were not given the processor. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

it('a handshake has its share of the time, also when this process heard late that it may begin', async () => {
  const { port } = await webSockets({
    verifyClient: (_info: unknown, proceed: (isWelcome: boolean) => void) => void setTimeout(proceed, 50, true),
  })
  const upstream = connect(`ws://127.0.0.1:${port}`, { connectTimeoutMs: 2_000, reconnect: false })
  await new Promise<void>((resolve) => process.nextTick(resolve))
  stall(2_050)
  await upstream.whenConnected()
  expect(upstream.state).toBe('connected')
})

it.each([
  [{ headers: { Authorization: 'Bearer t\n' } }, '', 'ERR_OPTION'],
  [{ headers: { 'X Y': 'z' } }, '', 'ERR_OPTION'],
  [{ webSocket: { protocols: ['x', 'y', 'x'] } }, '', 'ERR_OPTION'],
  [{}, '/a#b', 'ERR_ADDRESS'],
])('what no try could send is thrown at once: %j %s', (options, path, code) => {
  let thrown: unknown
  try {
    connect(`ws://127.0.0.1:1${path}`, options)
  } catch (error) {
    thrown = error
  }
  expect(thrown).toMatchObject({ code })
  expect((thrown as Error).message).not.toContain('Bearer')
})

it('a socket on which nothing can be said is closed', async () => {
  let closed = 0
  const port = await plain((socket) => void socket.resume().on('close', () => closed++))
  const plan = {
    address: parseAddress(`ws://127.0.0.1:${port}`),
    name: 'ws',
    path: '/',
    headers: { Authorization: 'Bearer t\n' },
    webSocket: { protocols: [], compression: null },
    protocol: undefined,
    tls: {},
    timeoutMs: 20_000,
    reconnect: { minDelayMs: 60_000, maxDelayMs: 60_000 },
    limits: LIMITS,
  }
  const upstream = new Upstream(upstreams, plan)
  const failed = new Promise((resolve) => {
    upstream.onError = (_connection, error) => resolve((error as Error).message)
  })
  expect(await failed).toContain('Invalid character')
  expect(upstream.state).toBe('waiting')
  await until('it is closed', () => closed === 1)
})

it.each(['tcp', 'ws'] as const)(
  '%s: a handler that waits for the next connection gets it, and a drain waits for the handler',
  async (protocol) => {
    const sockets: Socket[] = []
    const open =
      protocol === 'tcp'
        ? { port: await plain((socket) => void sockets.push(socket.on('error', () => undefined))) }
        : await webSockets()
    if ('server' in open)
      open.server.on('connection', (webSocket, { socket }) => {
        sockets.push(socket)
        webSocket.send('hello')
      })
    const times = { minDelayMs: 10, maxDelayMs: 10 }
    const upstream = connect(`${protocol}://127.0.0.1:${open.port}`, { reconnect: times })
    const told: string[] = []
    let settle = (): void => undefined
    upstream.onError = () => undefined
    upstream.onClose = () => void told.push(`closed, ${upstream.state}`)
    upstream.onMessage = async (connection) => {
      upstream.onMessage = null
      await until('it has gone', () => connection.state === 'closed')
      const next = await upstream.whenConnected()
      told.push(next === connection ? 'the same' : 'the next')
      await new Promise<void>((resolve) => {
        settle = resolve
      })
    }
    await upstream.whenConnected()
    await until('it is accepted', () => sockets.length === 1)
    sockets[0]?.write(protocol === 'tcp' ? 'hello' : '')
    await until('it is being handled', () => upstream.onMessage === null)
    sockets[0]?.resetAndDestroy()
    await until('it is connected again', () => told.length > 0)
    expect(told).toEqual(['the next'])
    let isDrained = false
    const drained = upstreams.partWithAll().then(() => {
      isDrained = true
    })
    await until('the next one is closed', () => told.length > 1)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect({ told, isDrained }).toEqual({ told: ['the next', 'closed, closed'], isDrained: false })
    settle()
    await drained
    expect(told).toEqual(['the next', 'closed, closed', 'closed, closed'])
  },
)

it('one to which its server has said goodbye is not handed out any more', async () => {
  const { server, port } = await webSockets()
  const upstream = connect(`ws://127.0.0.1:${port}`, { reconnect: { minDelayMs: 10, maxDelayMs: 10 } })
  const accepted = new Promise<Socket>((resolve) => {
    server.once('connection', (webSocket, { socket }) => {
      // a close frame, and no end
      webSocket.removeAllListeners('close')
      socket.removeAllListeners('data')
      socket.resume().write(Buffer.of(0x88, 2, 1012 >> 8, 1012 & 0xff))
      resolve(socket)
    })
  })
  const first = await upstream.whenConnected()
  await until('it has heard it', () => first.isLeaving)
  expect(upstream.connection).toBe(first)
  const next = upstream.whenConnected()
  ;(await accepted).destroy()
  expect(await next).not.toBe(first)
})

it('what a server has said before it was piped, and nobody has handled, fails the pipe', async () => {
  const port = await plain((socket) => void socket.on('error', () => undefined).write('welcome\n'))
  const [from, to] = [connect(`text://127.0.0.1:${port}`), connect(`text://127.0.0.1:${port}`)]
  const told: unknown[] = []
  from.onError = (_, error) => told.push((error as { code?: string }).code)
  const [source, target] = [await from.whenConnected(), await to.whenConnected()]
  await until('it has come', () => source.bytesRead > 0 && source.isAtRest)
  source.pipe(target)
  expect(told).toEqual(['ERR_TOO_LATE'])
})
