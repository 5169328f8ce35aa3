/** A WebSocket as its worker sees it: its send buffer, its last call and its goodbye. Clients are written by hand. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { expect, it, onTestFinished } from 'vitest'
import type { Connection, ConnectionHooks, Owner } from '../../../../src/protocols/connection.ts'
import { Connections } from '../../../../src/protocols/connections.ts'
import type { ConnectionLimits } from '../../../../src/protocols/limits.ts'
import { createWebSocketServer } from '../../../../src/protocols/websocket/websocket.ts'
import { WebSocketConnection } from '../../../../src/protocols/websocket/websocket-connection.ts'
import { WebSocketRequest } from '../../../../src/protocols/websocket/websocket-request.ts'
import type { Wire } from '../../../../src/protocols/websocket/websocket-wire.ts'
import { until } from '../../../helpers/processes.ts'
import { isKeptAlive } from '../keepalive.ts'
import { LIMITS, turns } from '../pair.ts'

const NO_HOOKS: ConnectionHooks = {
  onConnect: null,
  onMessage: null,
  onClose: null,
  onError: null,
  onBufferFull: null,
  onBufferDrain: null,
}

function ownerOf(hooks: Partial<ConnectionHooks> = {}, limits: Partial<ConnectionLimits> = {}): Owner {
  const connections = new Connections()
  const worker = { name: 'chat', id: 0, generation: 1, isLeader: false, connections, broadcast: () => 0 }
  return {
    protocol: 'websocket',
    worker,
    hooks: { ...NO_HOOKS, ...hooks },
    limits: { ...LIMITS, ...limits },
    connections,
  }
}

/** A server's end over a real socket, and its client's. */
async function open(hooks: Partial<ConnectionHooks> = {}) {
  const owner = ownerOf(hooks)
  const subject = { ...owner.worker, ...NO_HOOKS, ...hooks, onWebSocketConnect: null, onRequest: null, server: null }
  const runnable = {
    subject: subject as never,
    tls: undefined,
    serverOptions: {},
    limits: owner.limits,
    webSocket: { protocols: [], compression: null },
    protocol: undefined,
    healthFunction: null,
  }
  const server = createWebSocketServer(runnable, 'websocket', owner).listen(0, '127.0.0.1')
  const accepted: Socket[] = []
  server.on('connection', (socket) => accepted.push(socket))
  await once(server, 'listening')
  const client = connect((server.address() as { port: number }).port, '127.0.0.1').on('error', () => undefined)
  const received: Buffer[] = []
  client.on('data', (chunk) => received.push(chunk))
  onTestFinished(() => {
    client.destroy()
    server.closeAllConnections()
    for (const socket of accepted) socket.destroy()
    server.close()
  })
  client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n')
  client.write('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n')
  await until('it is open', () => [...(owner.connections as Connections)].length === 1)
  const [connection] = owner.connections as Connections
  await until('the handshake is answered', () => Buffer.concat(received).includes('\r\n\r\n'))
  received.length = 0
  const codes = (): number[] => {
    const bytes = Buffer.concat(received)
    const at = bytes.indexOf(Buffer.of(0x88))
    return at < 0 ? [] : [bytes.readUInt16BE(at + 2)]
  }
  return { connection: connection as Connection, client, socket: accepted[0] as Socket, codes }
}

it.skipIf(process.platform !== 'linux')('a client whose machine has gone is found out by the kernel', async () => {
  const { socket } = await open()
  await until('its keepalive runs', () => isKeptAlive(socket))
})

it('a single byte that may begin a message is not waited for any longer when it was one of a ping', async () => {
  const { connection, client, codes } = await open()
  client.write(Buffer.of(0x89))
  await until('it has come', () => !connection.isAtRest)
  connection.part()
  await turns(20)
  expect(codes()).toEqual([])
  client.write(Buffer.of(0x80, 1, 2, 3, 4))
  await until('it is told', () => codes().length > 0)
  expect(codes()).toEqual([1012])
})

it('but a message that it has begun is read to its end', async () => {
  const messages: unknown[] = []
  const { connection, client, codes } = await open({ onMessage: (_connection, message) => messages.push(message) })
  client.write(Buffer.of(0x81))
  await until('it has come', () => !connection.isAtRest)
  connection.part()
  await turns(20)
  client.write(Buffer.of(0x81, 0, 0, 0, 0))
  await turns(20)
  expect(codes()).toEqual([])
  client.write('x')
  await until('it is told', () => codes().length > 0)
  expect({ messages, codes: codes() }).toEqual({ messages: ['x'], codes: [1012] })
})

it('a goodbye that is answered in time counts, also when this process could not hear of it', async () => {
  const { connection, client, socket, codes } = await open()
  connection.close()
  await until('it is told', () => codes().length > 0)
  const told = new Promise<unknown>((resolve) => {
    connection.onClose = () => resolve((connection as WebSocketConnection).closeCode)
  })
  // it is with the kernel before this returns, and not read yet
  client.write(Buffer.of(0x88, 0x82, 0))
  socket.emit('timeout')
  await turns()
  client.write(Buffer.of(0, 0, 0, 0x0f, 0xa0))
  expect(await told).toBe(4000)
})

it('a goodbye to which nothing comes ends by force', async () => {
  const { connection, socket, codes } = await open()
  connection.close()
  await until('it is told', () => codes().length > 0)
  socket.emit('timeout')
  await turns()
  expect(socket.destroyed).toBe(true)
})

it('what stands behind the last that was sent does not keep a full buffer from being drained', async () => {
  const told: string[] = []
  const owner = ownerOf(
    { onBufferFull: () => void told.push('full'), onBufferDrain: () => void told.push('drained') },
    { maxSendBufferBytes: 1 },
  )
  const taken: (() => void)[] = []
  const socket = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => void taken.push(done),
  })
  onTestFinished(() => void socket.destroy())
  const request = new WebSocketRequest({ url: '/', headers: {} } as never, [])
  const connection = new WebSocketConnection(owner, socket as Socket, request)
  connection.open({
    readyState: 1,
    OPEN: 1,
    extensions: '',
    isClient: false,
    get bufferedAmount() {
      return socket.writableLength
    },
    on: () => undefined,
  } as unknown as Wire)
  await turns()
  expect(connection.send('x')).toBe(null)
  expect(told).toEqual(['full'])
  socket.write('a pong')
  taken.shift()?.()
  await turns()
  expect(told).toEqual(['full'])
  while (taken.length > 0) {
    taken.shift()?.()
    await turns()
  }
  expect(told).toEqual(['full', 'drained'])
  expect(connection.isFull).toBe(false)
})
