/** Whose connection may be taken away for want of descriptors: real servers and raw clients, watched as in a worker. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Traffic } from '../../../src/protocols/traffic.ts'
import { temporaryDirectory } from '../tempdir.ts'

const traffic = new Traffic()
traffic.watch()

const answer: RequestListener = (_, response) => void response.end('hello')

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
    const directory = temporaryDirectory()
    const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
    const files = ['key.pem', 'cert.pem'].map((name) => join(directory, name)) as [string, string]
    execFileSync('openssl', [...words.split(' '), '-keyout', files[0], '-out', files[1]], { stdio: 'pipe' })
    const [key, cert] = files.map((path) => readFileSync(path))
    const clients = new Clients(await listening(createHttps({ key, cert }, answer)))
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
