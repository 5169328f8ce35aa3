/**
 * A strict HTTP client over a bare socket: no retry, no pool, each outcome counted apart. What a
 * browser or a proxy would silently try again is a failure here.
 */
import { connect, type IpcNetConnectOpts, type Socket, type TcpNetConnectOpts } from 'node:net'
import { connect as connectTls } from 'node:tls'

export type Target = { port: number; host?: string; tls?: boolean } | { path: string }

export interface Answer {
  status: number
  headers: Map<string, string>
  body: string
}

export type Outcome = 'answered' | 'wrong' | 'refused' | 'reset' | 'closed' | 'timeout'

/** A request that got no right answer. */
export class Unanswered extends Error {
  readonly outcome: Exclude<Outcome, 'answered'>

  constructor(outcome: Exclude<Outcome, 'answered'>, detail: string) {
    super(`${outcome}: ${detail}`)
    this.outcome = outcome
  }
}

export interface RequestOptions {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: string | Buffer
  timeoutMs?: number
}

/** How slow a slow client is. */
export interface Pace {
  stepBytes: number
  pauseMs: number
}

/** One connection; requests on it one after another. */
export class Client {
  readonly socket: Socket
  /** Its own end of the connection; 0 on a unix socket. */
  readonly port: number
  isClosed = false
  /** What came and is not read, in order. */
  #chunks: Buffer[] = []
  #bytes = 0
  #error: NodeJS.ErrnoException | null = null
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.socket = socket
    this.port = socket.localPort ?? 0
    socket.on('data', this.#take)
    socket.on('error', (error) => {
      this.#error = error
    })
    socket.on('close', () => {
      this.isClosed = true
      this.#wake()
    })
    socket.on('end', () => {
      this.isClosed = true
      this.#wake()
    })
  }

  readonly #take = (chunk: Buffer): void => {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    this.#wake()
  }

  #joined(): Buffer {
    const [first] = this.#chunks
    const all = first && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }

  #drop(bytes: number): void {
    const rest = this.#joined().subarray(bytes)
    this.#chunks = [rest]
    this.#bytes = rest.length
  }

  static open(target: Target): Promise<Client> {
    return new Promise((resolve, reject) => {
      const isTls = 'tls' in target && target.tls === true
      // a name is looked up for each connection, and its addresses are tried in turn
      const where = 'port' in target ? { host: '127.0.0.1', ...target } : target
      const options: TcpNetConnectOpts | IpcNetConnectOpts = { noDelay: true, ...where }
      // the tests' certificates are their own
      const socket = isTls ? connectTls({ ...options, rejectUnauthorized: false }) : connect(options)
      socket.once(isTls ? 'secureConnect' : 'connect', () => resolve(new Client(socket)))
      socket.once('error', (error: NodeJS.ErrnoException) =>
        reject(new Unanswered(error.code === 'ECONNRESET' ? 'reset' : 'refused', error.message)),
      )
    })
  }

  async request(options: RequestOptions = {}): Promise<Answer> {
    this.send(options)
    return this.answer(options.method ?? 'GET', options.timeoutMs)
  }

  send(options: RequestOptions = {}): void {
    this.socket.write(encodeRequest(options))
  }

  /** All of them in one packet, before any is answered. */
  pipeline(requests: readonly RequestOptions[]): void {
    this.socket.write(Buffer.concat(requests.map(encodeRequest)))
  }

  /** A slow writer: so many bytes at a time, a packet each, with a pause behind each; 1 splits a request byte by byte. */
  async sendSlowly(options: RequestOptions, { stepBytes, pauseMs }: Pace): Promise<void> {
    const bytes = encodeRequest(options)
    for (let at = 0; at < bytes.length && !this.isClosed; at += stepBytes) {
      this.socket.write(bytes.subarray(at, at + stepBytes))
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  /** A slow reader from now on: the kernel keeps the rest, and then the server must. */
  readSlowly({ stepBytes, pauseMs }: Pace): void {
    this.socket.removeListener('data', this.#take).pause()
    const step = (): void => {
      const chunk = this.socket.read(Math.min(stepBytes, this.socket.readableLength) || 1) as Buffer | null
      if (chunk) this.#take(chunk)
      if (!this.isClosed) setTimeout(step, pauseMs)
    }
    step()
  }

  /** Sends a request for another protocol, unless it was sent before; `rest` is what came behind the head of the answer. */
  async upgrade(options?: RequestOptions): Promise<Answer & { rest: Buffer }> {
    if (options) this.send(options)
    for (;;) {
      const { answer, bytes } = parseAnswer(this.#joined(), 'CONNECT', this.isClosed)
      if (answer) {
        const rest = this.#joined().subarray(bytes)
        this.#drop(this.#bytes)
        // the rest is for who speaks the other protocol
        if (answer.status === 101) this.socket.removeListener('data', this.#take)
        return { ...answer, rest }
      }
      if (this.isClosed) throw new Unanswered('closed', 'in the handshake')
      await this.#more(bytes, 20_000)
    }
  }

  /** Reads the next answer whole. */
  async answer(method = 'GET', timeoutMs = 20_000): Promise<Answer> {
    const giveUpAt = Date.now() + timeoutMs
    for (;;) {
      const { answer, bytes } = parseAnswer(this.#joined(), method, this.isClosed)
      if (answer) {
        this.#drop(bytes)
        if (answer.status >= 200) return answer
        continue
      }
      if (this.isClosed) {
        const detail = `${this.#bytes} bytes of an answer`
        throw new Unanswered(
          this.#error?.code === 'ECONNRESET' || this.#error?.code === 'EPIPE' ? 'reset' : 'closed',
          detail,
        )
      }
      await this.#more(bytes, giveUpAt - Date.now())
    }
  }

  /** Waits until so many bytes are there, or no more will come. */
  #more(bytes: number, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          this.socket.destroy()
          reject(new Unanswered('timeout', `${this.#bytes} bytes of an answer`))
        },
        Math.max(0, timeoutMs),
      )
      this.#wake = () => {
        if (this.#bytes < bytes && !this.isClosed) return
        clearTimeout(timer)
        this.#wake = () => undefined
        resolve()
      }
    })
  }

  close(): void {
    this.socket.destroy()
  }
}

function encodeRequest(options: RequestOptions): Buffer {
  const { method = 'GET', path = '/', headers = {}, body = '' } = options
  const length = options.body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
  const head = Object.entries({ Host: 'test', ...length, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${head.join('')}\r\n`), Buffer.from(body)])
}

/** The first answer in these bytes, and how many of them it takes; null: it is not whole, and takes at least so many. */
function parseAnswer(buffer: Buffer, method: string, isClosed: boolean): { answer: Answer | null; bytes: number } {
  const end = buffer.indexOf('\r\n\r\n')
  if (end < 0) return { answer: null, bytes: buffer.length + 1 }
  const [first = '', ...lines] = buffer.toString('latin1', 0, end).split('\r\n')
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1])
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  const { text, end: bytes } = parseBody(buffer, end + 4, { method, status, headers, isClosed })
  return { answer: text === null ? null : { status, headers, body: text }, bytes }
}

/** A body, and where it ends. */
interface Body {
  /** Null: it is not whole, and ends there at the earliest. */
  text: string | null
  end: number
}

function parseBody(
  buffer: Buffer,
  from: number,
  of: { method: string; status: number; headers: Map<string, string>; isClosed: boolean },
): Body {
  if (of.method === 'HEAD' || of.status < 200 || of.status === 204 || of.status === 304) return { text: '', end: from }
  if (of.headers.get('transfer-encoding') === 'chunked') return parseChunks(buffer, from)
  const length = of.headers.get('content-length')
  if (length === undefined)
    return of.isClosed
      ? { text: buffer.toString('utf8', from), end: buffer.length }
      : { text: null, end: Number.POSITIVE_INFINITY }
  const end = from + Number(length)
  return { text: buffer.length < end ? null : buffer.toString('utf8', from, end), end }
}

function parseChunks(buffer: Buffer, from: number): Body {
  const parts: Buffer[] = []
  for (let at = from; ; ) {
    const lineEnd = buffer.indexOf('\r\n', at)
    if (lineEnd < 0) return { text: null, end: buffer.length + 1 }
    const size = Number.parseInt(buffer.toString('latin1', at, lineEnd), 16)
    const next = lineEnd + 2 + size + 2
    if (buffer.length < next) return { text: null, end: next }
    if (size === 0) return { text: Buffer.concat(parts).toString('utf8'), end: next }
    parts.push(buffer.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = next
  }
}

/** One request on a connection of its own. */
export async function get(target: Target, path = '/', options: RequestOptions = {}): Promise<Answer> {
  const client = await Client.open(target)
  try {
    return await client.request({ path, ...options, headers: { Connection: 'close', ...options.headers } })
  } finally {
    client.close()
  }
}
