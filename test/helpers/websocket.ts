/** WebSockets by hand: a client, and the text of an app whose own code takes upgrades. */
import { randomBytes } from 'node:crypto'
import { Client, type Target } from './client.ts'
import { Signal } from './signal.ts'

/** Opcodes (RFC 6455, 5.2). */
const TEXT = 1
const CLOSE = 8

/** What came from the server, in order: texts, close codes, and the end of the connection. */
export class WebSocketClient {
  readonly received: (string | number | 'end')[] = []
  /** When the close frame came, on this process's clock. */
  closeFrameAt = 0
  readonly #client: Client
  readonly #answersClose: boolean
  #buffer = Buffer.alloc(0)
  readonly #news = new Signal()

  private constructor(client: Client, answersClose: boolean) {
    this.#client = client
    this.#answersClose = answersClose
  }

  /** @param answersClose false: never answers a close frame, and never leaves. */
  static async open(target: Target, { answersClose = true } = {}): Promise<WebSocketClient> {
    const client = await Client.open(target)
    const key = randomBytes(16).toString('base64')
    const answer = await client.upgrade({
      path: '/chat',
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': key,
      },
    })
    if (answer.status !== 101) throw new Error(`not upgraded: ${answer.status}`)
    const webSocket = new WebSocketClient(client, answersClose)
    webSocket.#take(answer.rest)
    client.socket.on('data', (chunk) => webSocket.#take(chunk))
    client.socket.on('close', () => webSocket.#note('end'))
    return webSocket
  }

  send(text: string): void {
    this.#frame(TEXT, Buffer.from(text))
  }

  /** Waits until this came. @throws when the connection ends without it. */
  async until(what: string | number): Promise<void> {
    const look = (): true | undefined => {
      if (this.received.includes(what)) return true
      if (this.received.includes('end')) throw new Error(`ended after ${JSON.stringify(this.received)}`)
      return undefined
    }
    await this.#news.wait(look, { what: String(what), instead: () => JSON.stringify(this.received) })
  }

  /** Sends, and waits for the next text that comes. */
  async ask(text: string): Promise<string> {
    const from = this.received.length
    this.send(text)
    const answer = await this.#news.wait(() => this.received[from], { what: `an answer to ${text}` })
    return String(answer)
  }

  close(): void {
    this.#client.close()
  }

  #frame(opcode: number, payload: Buffer): void {
    const mask = randomBytes(4)
    const masked = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0))
    this.#client.socket.write(Buffer.concat([Buffer.of(0x80 | opcode, 0x80 | payload.length), mask, masked]))
  }

  #take(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk])
    for (;;) {
      const [first = 0, length = 0] = this.#buffer
      if (this.#buffer.length < 2 || this.#buffer.length < 2 + length) return
      const payload = this.#buffer.subarray(2, 2 + length)
      this.#buffer = this.#buffer.subarray(2 + length)
      if ((first & 0x0f) === CLOSE) this.#noteClose(payload)
      else this.#note(payload.toString())
    }
  }

  #noteClose(payload: Buffer): void {
    this.closeFrameAt = performance.now()
    this.#note(payload.length < 2 ? 1005 : payload.readUInt16BE(0))
    if (this.#answersClose) this.#frame(CLOSE, payload)
  }

  #note(what: string | number): void {
    this.received.push(what)
    this.#news.tell()
  }
}

/**
 * An app whose code takes WebSockets on the worker's server: answers each text with its version and pid,
 * and a close frame with one of its own, as a library does. `more` stands where `worker` and `sockets` are known.
 */
export function webSocketApp(version: string, more = ''): string {
  return `
import { createHash } from 'node:crypto'
const frame = (opcode, payload) => Buffer.concat([Buffer.of(0x80 | opcode, payload.length), payload])
export function createApp(worker) {
  const sockets = new Set()
  worker.server.on('upgrade', (request, socket) => {
    const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
    socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n')
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let rest = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 6 && rest.length >= 6 + (rest[1] & 127)) {
        const end = 6 + (rest[1] & 127)
        const payload = rest.subarray(6, end).map((byte, index) => byte ^ rest[2 + (index % 4)])
        const opcode = rest[0] & 15
        rest = rest.subarray(end)
        if (opcode !== 8) socket.write(frame(1, Buffer.from(${JSON.stringify(version)} + ' ' + process.pid)))
        else if (socket.hasSaidGoodbye) socket.end()
        else socket.write(frame(8, payload), () => socket.end())
      }
    })
  })
  ${more}
  return (request, response) => response.end(JSON.stringify({ pid: process.pid, version: ${JSON.stringify(version)} }))
}
`
}
