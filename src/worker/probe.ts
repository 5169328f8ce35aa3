/**
 * One question to the worker's own web server, which is not listening yet, or listens on a socket that
 * any other worker may answer on. The connection comes in through a door of its own, open for this one
 * client, and is handed to the server as if it had accepted it: so every handler is reached, user code's
 * and libraries' as well, and a certificate is tried. No agent, no proxy, no port that stays.
 */
import { once } from 'node:events'
import { ClientRequest, type Server as HttpServer, type IncomingMessage } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, Server as TlsServer } from 'node:tls'
import { waitAwake } from '../patience.ts'
import { markUnseen } from '../protocols/unseen.ts'

const LOOPBACK = '127.0.0.1'
/** The answer is in its head; of the body so much is read, so that a handler can end it in peace. */
const MAX_BODY_BYTES = 1024 * 1024

export interface Question {
  path: string
  timeoutMs: number
  /** Ends it at once; what it returns then means nothing. */
  signal: AbortSignal
}

/** Asks `GET path`. @returns what was wrong, as `answered 500`; null: 200 to 399. */
export async function askOwnServer(server: HttpServer | HttpsServer, question: Question): Promise<string | null> {
  const { path, timeoutMs, signal } = question
  const door = new Door(server)
  const close = (): void => door.close()
  signal.addEventListener('abort', close)
  let endWait = (): void => undefined
  const late = new Promise<null>((resolve) => {
    endWait = waitAwake(timeoutMs, () => resolve(null))
  })
  try {
    const response = await Promise.race([late, door.ask(path)])
    if (response === null) return `did not answer within ${timeoutMs} ms`
    await Promise.race([late, readAway(response)])
    const { statusCode = 0 } = response
    return statusCode >= 200 && statusCode <= 399 ? null : `answered ${statusCode}`
  } catch (error) {
    return `got no answer: ${error instanceof Error ? error.message.trim() : String(error)}`
  } finally {
    endWait()
    signal.removeEventListener('abort', close)
    door.close()
  }
}

function readAway(response: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) resolve()
    })
    // it may break off: what it had to say was said
    response.on('error', () => resolve())
    response.on('close', () => resolve())
  })
}

/** A listener for one client, and both ends of that one's connection. */
class Door {
  readonly #server: HttpServer | HttpsServer
  readonly #listener: Server
  readonly #open = new Set<Socket>()
  #port = 0
  #client: Socket | null = null
  #isClosed = false

  constructor(server: HttpServer | HttpsServer) {
    this.#server = server
    this.#listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    markUnseen(this.#listener)
    // a connection that could not be accepted is missed by the request
    this.#listener.on('error', () => undefined)
    // under TLS the server makes a socket of its own, which nobody must see before it is marked
    if (server instanceof TlsServer) server.prependListener('secureConnection', this.#mark)
  }

  /** The head of the answer. */
  async ask(path: string): Promise<IncomingMessage> {
    // exclusive: node:cluster would share the port with the other workers
    this.#listener.listen({ host: LOOPBACK, port: 0, exclusive: true })
    await once(this.#listener, 'listening')
    // closed while its address was looked up, it opens all the same
    if (this.#isClosed) {
      this.close()
      throw new Error('it was ended')
    }
    const { port } = this.#listener.address() as AddressInfo
    this.#port = port
    const client = this.#hold(connect({ host: LOOPBACK, port, noDelay: true }))
    this.#client = client
    const isTls = this.#server instanceof TlsServer
    const stream = isTls ? this.#hold(connectTls({ socket: client, rejectUnauthorized: false })) : client
    return new Promise((resolve, reject) => {
      // without an agent nobody's agent, pool or proxy has a say in it, and the connection is not kept
      const request = new ClientRequest({
        path,
        headers: { Host: 'localhost', 'User-Agent': 'shiftwork-health', Connection: 'close' },
        createConnection: () => stream,
      })
      request.on('response', resolve)
      request.on('error', reject)
      request.end()
    })
  }

  #accept(socket: Socket): void {
    // any program of this machine may knock; a worker that is not admitted answers none of them
    if (!this.#isMine(socket)) {
      socket.destroy()
      return
    }
    this.#hold(socket)
    markUnseen(socket)
    this.#server.emit('connection', socket)
  }

  #isMine(socket: Socket): boolean {
    const port = this.#client?.localPort
    // a client of the shared port may have the same one at its end
    return port !== undefined && socket.remotePort === port && socket.localPort === this.#port
  }

  readonly #mark = (socket: Socket): void => {
    if (this.#isMine(socket)) markUnseen(socket)
  }

  #hold<T extends Socket>(socket: T): T {
    this.#open.add(socket)
    // how it ends is told by the request
    socket.on('error', () => undefined)
    return socket
  }

  /** Safe to call twice. */
  close(): void {
    this.#isClosed = true
    this.#server.off('secureConnection', this.#mark)
    this.#listener.close()
    for (const socket of this.#open) socket.destroy()
  }
}
