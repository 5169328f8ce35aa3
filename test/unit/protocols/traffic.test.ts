/** Whose connection may be taken away for want of descriptors: real servers and raw clients, watched as in a worker. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Traffic } from '../../../src/protocols/traffic.ts'
import { temporaryDirectory } from '../tempdir.ts'

const traffic = new Traffic()
traffic.watch()

const answer: RequestListener = (_, response) => void response.end('hello')

/** A certificate and its key. */
function certificate(): { key: Buffer; cert: Buffer } {
  const directory = temporaryDirectory()
  const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
  const files = ['key.pem', 'cert.pem'].map((name) => join(directory, name)) as [string, string]
  execFileSync('openssl', [...words.split(' '), '-keyout', files[0], '-out', files[1]], { stdio: 'pipe' })
  return { key: readFileSync(files[0]), cert: readFileSync(files[1]) }
}

async function listening(server: Server = createServer(answer)): Promise<Server> {
  server.on('upgrade', (_, socket) => void socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return server
}

/** Clients by name, and the server's ends of their connections. */
class Clients {
  readonly #peers = new Map<string, Socket>()
  readonly #server: Server

  constructor(server: Server) {
    this.#server = server
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** The server knows of it, and of what was sent on it, when it resolves. */
  async connect(name: string, { sends = '', isTls = false } = {}): Promise<Socket> {
    const known = once(this.#server, isTls ? 'secureConnection' : 'connection') as Promise<[Socket]>
    const client = isTls
      ? connectTls({ port: this.#port, host: '127.0.0.1', rejectUnauthorized: false })
      : connect(this.#port, '127.0.0.1')
    onTestFinished(() => void client.destroy())
    client.on('error', () => undefined)
    client.resume()
    const [peer] = await known
    this.#peers.set(name, peer)
    if (sends === '') return client
    client.write(sends)
    // an answer, or else all of it has come
    if (sends.endsWith('\r\n\r\n')) await once(client, 'data')
    else while (peer.bytesRead < sends.length) await new Promise((resolve) => setTimeout(resolve, 1))
    return client
  }

  get open(): string[] {
    return [...this.#peers].filter(([, peer]) => !peer.destroyed).map(([name]) => name)
  }

  /** Whose connections are closed by this, in the order in which they came; they are gone when it resolves. */
  async closedBy(atMost: number, afterMs = 0): Promise<string[]> {
    const { open } = this
    const { connections } = traffic
    traffic.closeUnasked(this.#server, { atMost, afterMs })
    const closed = open.filter((name) => !this.open.includes(name))
    while (traffic.connections > connections - closed.length) await new Promise((resolve) => setImmediate(resolve))
    return closed
  }
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const UPGRADE = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n'

describe('closeUnasked', () => {
  it('closes those that have asked nothing, the eldest first, and no more of them than it was told', async () => {
    const clients = new Clients(await listening())
    for (const name of ['1', '2', '3', '4']) await clients.connect(name)
    expect(await clients.closedBy(0)).toEqual([])
    expect(await clients.closedBy(1)).toEqual(['1'])
    await clients.connect('5')
    expect(await clients.closedBy(2)).toEqual(['2', '3'])
    expect(await clients.closedBy(10)).toEqual(['4', '5'])
    expect(await clients.closedBy(10)).toEqual([])
  })

  it('takes half a head for nothing, and leaves alone who has asked once, waits for its answer, or has upgraded', async () => {
    const waits = createServer((request, response) => {
      if (request.url === '/') response.end('hello')
      else response.writeHead(200).flushHeaders()
    })
    const clients = new Clients(await listening(waits))
    await clients.connect('half', { sends: 'GET / HTTP/1.1\r\nHos' })
    await clients.connect('asked', { sends: GET })
    await clients.connect('waits', { sends: GET.replace('/', '/long') })
    await clients.connect('upgraded', { sends: UPGRADE })
    const again = await clients.connect('asked, and begins again', { sends: GET })
    again.write('GET /')
    await clients.connect('silent')
    expect(await clients.closedBy(10)).toEqual(['half', 'silent'])
  })

  it('gives a young one its time', async () => {
    const clients = new Clients(await listening())
    await clients.connect('1')
    expect(await clients.closedBy(10, 60_000)).toEqual([])
    const openedAt = performance.now()
    while (performance.now() - openedAt < 20) await new Promise((resolve) => setTimeout(resolve, 1))
    await clients.connect('2')
    expect(await clients.closedBy(10, performance.now() - openedAt - 1)).toEqual(['1'])
  })

  it('does not touch the connections of another server in this process', async () => {
    const [own, other] = [new Clients(await listening()), new Clients(await listening())]
    await own.connect('own')
    await other.connect('other')
    expect(await own.closedBy(10)).toEqual(['own'])
    expect(other.open).toEqual(['other'])
  })

  it('counts a connection under TLS once: with its handshake, or, when that is done, inside', async () => {
    const clients = new Clients(await listening(createHttps(certificate(), answer)))
    await clients.connect('asked', { isTls: true, sends: GET })
    await clients.connect('1, without a handshake')
    await clients.connect('2', { isTls: true })
    await clients.connect('3', { isTls: true, sends: 'GET / HT' })
    await clients.connect('4, without a handshake')
    expect(await clients.closedBy(1)).toEqual(['1, without a handshake'])
    expect(await clients.closedBy(2)).toEqual(['2', '3'])
    expect(await clients.closedBy(10)).toEqual(['4, without a handshake'])
  })
})

describe('opened', () => {
  it('tells a handshake that is stuck from a connection inside TLS over a unix socket, too', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const server = createHttps(certificate(), answer).listen(path)
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const secured = once(server, 'secureConnection')
    const clients = [connectTls({ path, rejectUnauthorized: false }), connect(path), connect(path)]
    onTestFinished(() => {
      for (const client of clients) client.destroy()
    })
    for (const client of clients) client.on('error', () => undefined)
    await secured
    const stages = (): string[] => traffic.opened(server).map(({ stage }) => stage)
    await expect.poll(stages).toEqual(['handshake', 'handshake', 'spoken'])
  })
})

describe('a server of user code', () => {
  it('is forgotten when it is closed, or has failed to listen', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const taken = await listening()
    const { port } = taken.address() as AddressInfo
    const servers: WeakRef<Server>[] = []
    for (let count = 0; count < 3; count++) servers.push(await closedServer(0), await closedServer(port))
    await expect
      .poll(() => {
        collect()
        return servers.filter((server) => server.deref()).length
      })
      .toBe(0)
  })

  it('is known again when it listens again', async () => {
    const server = createServer(answer)
    onTestFinished(() => void server.close())
    for (let count = 0; count < 2; count++) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      server.close()
      await once(server, 'close')
    }
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const clients = new Clients(server)
    await clients.connect('1')
    expect(await clients.closedBy(1)).toEqual(['1'])
    expect(server.listenerCount('close')).toBeLessThanOrEqual(2)
  })
})

/** One that has listened on this port, or could not. */
async function closedServer(port: number): Promise<WeakRef<Server>> {
  const server = createServer(answer)
  server.listen(port, '127.0.0.1')
  await Promise.race([once(server, 'listening'), new Promise((resolve) => server.once('error', resolve))])
  if (server.listening) {
    server.close()
    await once(server, 'close')
  }
  return new WeakRef(server)
}

// what is watched from here on drains for good
describe('in a drain', () => {
  it('a server that is opened listens no longer than its opener needs to hear of it, unless it is this process’s own', async () => {
    const watching = new Traffic()
    watching.watch()
    watching.stopListening()
    const [shared, own, late] = [createServer(), createServer(), createServer()]
    watching.keepListening(late)
    shared.listen(0, '127.0.0.1')
    own.listen({ port: 0, host: '127.0.0.1', exclusive: true })
    late.listen(0, '127.0.0.1')
    onTestFinished(() => {
      for (const server of [shared, own, late]) server.close()
    })
    await Promise.all([once(shared, 'listening'), once(own, 'listening'), once(late, 'listening')])
    expect(shared.address()).not.toBeNull()
    await expect.poll(() => shared.listening).toBe(false)
    expect([own.listening, late.listening]).toEqual([true, true])
    watching.stopListeningLast()
    expect([own.listening, late.listening]).toEqual([true, false])
  })

  it('cut resets an answer whose end would be that of the connection, and ends others', async () => {
    const watching = new Traffic()
    watching.watch()
    const server = createServer((_, response) => void response.write('half'))
    // its own, or those that drain already would close it
    server.listen({ port: 0, host: '127.0.0.1', exclusive: true })
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const ends = ['1.0', '1.1'].map(async (version) => {
      const client = connect(port, '127.0.0.1')
      onTestFinished(() => void client.destroy())
      client.write(GET.replace('1.1', version))
      await once(client, 'data')
      return client
    })
    const clients = await Promise.all(ends)
    const told = clients.map(
      (client) =>
        new Promise((resolve) => {
          client.on('error', (error: NodeJS.ErrnoException) => resolve(error.code)).on('end', () => resolve('end'))
        }),
    )
    expect(watching.cut().connections).toBe(2)
    expect(await Promise.all(told)).toEqual(['ECONNRESET', 'end'])
  })

  it('cut closes the connections of processes of the same service, too, and does not count them', async () => {
    const watching = new Traffic()
    watching.watch()
    const servers = [createNetServer(), createNetServer()]
    const [internal] = servers
    if (internal) watching.discount(internal)
    const clients: Socket[] = []
    for (const server of servers) {
      server.listen({ port: 0, host: '127.0.0.1', exclusive: true })
      await once(server, 'listening')
      const accepted = once(server, 'connection')
      const client = connect((server.address() as AddressInfo).port, '127.0.0.1').resume()
      onTestFinished(() => void client.destroy())
      clients.push(client)
      await accepted
    }
    const closed = clients.map((client) => once(client, 'close'))
    expect(watching.cut().connections).toBe(1)
    await Promise.all(closed)
  })
})
