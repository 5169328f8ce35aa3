/**
 * WebSocket frames by hand (RFC 6455, 5.2), whole and broken ones: what no library would send. A client over a
 * bare socket that shows every frame that comes, and how the connection ends.
 */
import { randomBytes } from 'node:crypto'
import { type Answer, Client, type Target } from './client.ts'
import { Signal } from './signal.ts'

export const OPCODES = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Some wait for a heartbeat, or for the end of a long drain. */
const PATIENCE_MS = 120_000

export interface Frame {
  isFinal: boolean
  /** RSV1 to RSV3 as a number; 4: compressed. */
  reserved: number
  opcode: number
  payload: Buffer
}

export interface Oddities {
  isFinal?: boolean
  reserved?: number
  isMasked?: boolean
  /** What the head says, whatever comes. */
  length?: number
}

/** One frame of a client. */
export function frame(opcode: number, payload: string | Uint8Array = '', odd: Oddities = {}): Buffer {
  const { isFinal = true, reserved = 0, isMasked = true } = odd
  const bytes = Buffer.from(payload as string)
  const first = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode
  const [short, long] = encodeLength(odd.length ?? bytes.length)
  const head = [Buffer.of(first, (isMasked ? 0x80 : 0) | short), long]
  if (!isMasked) return Buffer.concat([...head, bytes])
  const mask = randomBytes(4)
  const masked = bytes.map((byte, index) => byte ^ (mask[index & 3] ?? 0))
  return Buffer.concat([...head, mask, masked])
}

export function closeFrame(code: number, reason: string | Uint8Array = ''): Buffer {
  return frame(OPCODES.close, Buffer.concat([Buffer.of(code >> 8, code & 0xff), Buffer.from(reason as string)]))
}

function encodeLength(length: number): [number, Buffer] {
  if (length < 126) return [length, Buffer.alloc(0)]
  const long = Buffer.alloc(length < 65_536 ? 2 : 8)
  if (length < 65_536) long.writeUInt16BE(length)
  else long.writeBigUInt64BE(BigInt(length))
  return [length < 65_536 ? 126 : 127, long]
}

/** The first frame of a server in these bytes, and how many of them it takes; null: it is not whole. */
export function parseFrame(bytes: Buffer): { frame: Frame; end: number } | null {
  const [first = 0, second = 0] = bytes
  if (bytes.length < 2) return null
  if (second & 0x80) throw new Error('a server must not mask its frames')
  const longBytes = second === 127 ? 8 : second === 126 ? 2 : 0
  const from = 2 + longBytes
  if (bytes.length < from) return null
  const length = longBytes === 8 ? Number(bytes.readBigUInt64BE(2)) : longBytes === 2 ? bytes.readUInt16BE(2) : second
  if (bytes.length < from + length) return null
  const payload = bytes.subarray(from, from + length)
  return {
    frame: { isFinal: first >= 0x80, reserved: (first >> 4) & 7, opcode: first & 0x0f, payload },
    end: from + length,
  }
}

/** What a client is told in the end: the code of the close frame, and how the connection was closed. */
export interface Farewell {
  /** null: no close frame came · 1005: one without a code. */
  code: number | null
  reason: string
  end: 'closed' | 'reset'
  /** Bytes of a frame that did not come whole. */
  unread: number
}

export interface OpenOptions {
  path?: string
  headers?: Record<string, string>
  /** Answers the close frame with the same; default true. */
  answersClose?: boolean
  /** Answers pings, as browsers do, and shows none of them; default true. */
  answersPings?: boolean
}

export const HANDSHAKE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

export class FrameClient {
  /** The answer to the handshake. */
  readonly answer: Answer
  /** Every frame that came, but pings that were answered. */
  readonly frames: Frame[] = []
  readonly client: Client
  readonly #answersClose: boolean
  readonly #answersPings: boolean
  #rest: Buffer
  #end: Farewell['end'] | null = null
  #read = 0
  readonly #news = new Signal()

  private constructor(client: Client, answer: Answer & { rest: Buffer }, how: OpenOptions) {
    this.client = client
    this.answer = answer
    this.#answersClose = how.answersClose ?? true
    this.#answersPings = how.answersPings ?? true
    this.#rest = answer.rest
    client.socket.on('data', (chunk) => this.#take(chunk))
    client.socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') this.#end = 'reset'
    })
    client.socket.on('close', () => {
      this.#end ??= 'closed'
      this.#news.tell()
    })
    this.#take(Buffer.alloc(0))
  }

  /** @throws Error when it is not upgraded. */
  static async open(target: Target, options: OpenOptions = {}): Promise<FrameClient> {
    return FrameClient.over(await Client.open(target), options)
  }

  /** On a connection that has spoken HTTP before. */
  static async over(client: Client, options: OpenOptions = {}): Promise<FrameClient> {
    const { path = '/', headers = {} } = options
    const answer = await client.upgrade({ path, headers: { ...HANDSHAKE, ...headers } })
    if (answer.status !== 101) throw new Error(`not upgraded: ${answer.status}`)
    return new FrameClient(client, answer, options)
  }

  write(...parts: Uint8Array[]): void {
    this.client.socket.write(Buffer.concat(parts))
  }

  send(message: string | Uint8Array): void {
    this.write(frame(typeof message === 'string' ? OPCODES.text : OPCODES.binary, message))
  }

  /** A close frame has come, or the connection has ended. */
  get isEnding(): boolean {
    return this.#end !== null || this.frames.at(-1)?.opcode === OPCODES.close
  }

  get hasEnded(): boolean {
    return this.#end !== null
  }

  /** Waits until there are more frames than so many, or the end. */
  more(frames: number): Promise<void> {
    return this.#until(`frame ${frames + 1}`, () => this.frames.length > frames || this.#end !== null)
  }

  /** The next frame that was not asked for before. @throws when the connection ends without it. */
  async next(): Promise<Frame> {
    await this.#until('a frame', () => this.frames.length > this.#read || this.#end !== null)
    const next = this.frames[this.#read++]
    if (!next) throw new Error(`${this.#end} after ${this.frames.length} frames`)
    return next
  }

  /** The next frame, as text. */
  async text(): Promise<string> {
    const { opcode, payload } = await this.next()
    if (opcode !== OPCODES.text) throw new Error(`opcode ${opcode}: ${payload.toString('hex')}`)
    return payload.toString()
  }

  /** Waits for the end. */
  async farewell(): Promise<Farewell> {
    await this.#until('the end', () => this.#end !== null)
    const close = this.frames.find(({ opcode }) => opcode === OPCODES.close)?.payload
    const code = close ? (close.length < 2 ? 1005 : close.readUInt16BE()) : null
    return { code, reason: close?.toString('utf8', 2) ?? '', end: this.#end ?? 'closed', unread: this.#rest.length }
  }

  close(): void {
    this.client.close()
  }

  #until(what: string, isSo: () => boolean): Promise<void> {
    const instead = (): string => `${this.frames.length} frames came`
    return this.#news.until(isSo, { what, instead, timeoutMs: PATIENCE_MS })
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    for (let parsed = parseFrame(this.#rest); parsed; parsed = parseFrame(this.#rest)) {
      this.#rest = this.#rest.subarray(parsed.end)
      this.#note(parsed.frame)
    }
    this.#news.tell()
  }

  #note(came: Frame): void {
    if (came.opcode === OPCODES.ping && this.#answersPings) {
      this.client.socket.write(frame(OPCODES.pong, came.payload))
      return
    }
    this.frames.push(came)
    if (came.opcode === OPCODES.close && this.#answersClose)
      this.client.socket.write(frame(OPCODES.close, came.payload))
  }
}
