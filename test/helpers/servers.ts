/** Servers of the test's own process that a worker is a client of; they may go away and come back on their port. */
import { createServer, type Server, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

export interface ServerOptions {
  /** 0: any. */
  port?: number
  allowHalfOpen?: boolean
  onConnection?: (socket: Socket) => void
}

/** A TCP server for the running test. */
export class TestServer {
  port = 0
  /** All that were ever accepted. */
  readonly sockets: Socket[] = []
  /** When each was accepted, in ms. */
  readonly acceptedAt: number[] = []
  readonly #server: Server

  private constructor(options: ServerOptions) {
    this.#server = createServer({ allowHalfOpen: options.allowHalfOpen ?? false }, (socket) => {
      this.acceptedAt.push(performance.now())
      this.sockets.push(socket)
      socket.on('error', () => undefined)
      // one that does not read never hears of the end
      if (options.onConnection) options.onConnection(socket)
      else socket.resume()
    })
  }

  static async listen(options: ServerOptions = {}): Promise<TestServer> {
    const server = new TestServer(options)
    server.#server.listen(options.port ?? 0, '127.0.0.1')
    await new Promise((resolve, reject) => server.#server.once('listening', resolve).once('error', reject))
    server.port = (server.#server.address() as { port: number }).port
    onTestFinished(() => server.end())
    return server
  }

  /** Hangs up on everybody, and listens no more. */
  end(): Promise<void> {
    // first, so that nobody comes back meanwhile
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.sockets) socket.destroy()
    return closed
  }

  get open(): number {
    return this.sockets.filter((socket) => !socket.destroyed).length
  }
}

/** Calls back with each line that comes. */
export function onLine(socket: Socket, callback: (line: string) => void): void {
  let text = ''
  socket.on('data', (chunk) => {
    const lines = (text + String(chunk)).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) callback(line)
  })
}
