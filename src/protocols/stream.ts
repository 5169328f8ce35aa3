/**
 * A connection that carries messages of a codec: `tcp`, `text`, `frame`, or one of the user's own, over
 * TCP, TLS or a unix socket. Messages are handled one at a time and in order; while a handler is not
 * done, what comes waits, and with more than a little of it the other side does.
 */
import type { Socket } from 'node:net'
import { ShiftworkError } from '../errors.ts'
import { Connection, type ConnectionState, type Owner } from './connection.ts'
import { endGently } from './linger.ts'
import { append, createParseState, take, waiting, waitingBytes } from './parse.ts'
import type { Protocol } from './protocol.ts'

/** So much may come while a handler is busy, before the other side is slowed down. */
const READ_AHEAD_BYTES = 64 * 1024

export class StreamConnection<Message = unknown, Sent = unknown> extends Connection<Sent> {
  declare protected readonly socket: Socket
  readonly #codec: Protocol<Message, Sent>
  readonly #parse = createParseState()
  #state: ConnectionState = 'opening'
  /** A handler has not settled. */
  #isBusy = false
  #isPaused = false
  /** The other side has ended; we have not, before all that it said is handled. */
  #hasEnded = false
  /** Parting: what has come by now is handled, and of a message that has begun, the rest is awaited. */
  #lastCall: 'not yet' | 'message begun' | 'over' = 'not yet'

  constructor(owner: Owner, socket: Socket, codec: Protocol<Message, Sent>) {
    super(owner, socket)
    this.#codec = codec
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('end', () => this.#noteEnd())
    socket.on('drain', () => this.noteFlushed())
    socket.on('error', (error) => this.#state !== 'closing' && this.tellError(error))
    socket.on('close', () => this.#noteClosed())
  }

  /** Calls `onConnect`, and begins to read when that is done. */
  async open(): Promise<void> {
    this.owner.connections.add(this as Connection)
    this.#isBusy = true
    this.socket.pause()
    const settling = this.call('onConnect')
    if (settling) await settling
    this.#isBusy = false
    if (this.#state === 'opening') this.#state = 'open'
    this.#advance()
    this.#letRead()
  }

  get state(): ConnectionState {
    return this.#state
  }

  get isAtRest(): boolean {
    return !this.#isBusy && waitingBytes(this.#parse) === 0 && this.bufferedBytes === 0
  }

  send(value: Sent): boolean | null {
    if (!this.maySend(this.#isWritable)) return false
    this.#write(value)
    return this.noteSent()
  }

  get #isWritable(): boolean {
    return this.#state !== 'closing' && this.#state !== 'closed' && this.socket.writable
  }

  #write(value: Sent): void {
    const bytes = this.#codec.encode(value, this)
    // a limit below the socket's own high-water mark is never said to have drained
    if (this.owner.limits.maxSendBufferBytes < this.socket.writableHighWaterMark)
      this.socket.write(bytes, () => this.noteFlushed())
    else this.socket.write(bytes)
  }

  close(value?: Sent): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    if (value !== undefined) this.send(value)
    this.#state = 'closing'
    this.socket.resume()
    endGently(this.socket)
  }

  end(): void {
    if (this.#isWritable) this.socket.end()
  }

  destroy(): void {
    if (this.#state === 'closed') return
    this.#state = 'closing'
    this.socket.destroy()
  }

  pause(): void {
    this.#isPaused = true
    this.socket.pause()
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#advance()
    this.#letRead()
  }

  /** What has come is with the kernel: two turns of the loop read it, then it is the last call. */
  part(): void {
    if (this.#state !== 'opening' && this.#state !== 'open') return
    this.#state = 'parting'
    setImmediate(() =>
      setImmediate(() => {
        this.#lastCall = waitingBytes(this.#parse) > 0 ? 'message begun' : 'over'
        this.#endIfDue()
      }),
    )
  }

  ping(data?: unknown): void {
    if (data !== undefined) this.send(data as Sent)
  }

  // ---- what comes --------------------------------------------------------------------------------------------------

  #read(chunk: Buffer): void {
    this.heardAt = performance.now()
    if (this.#state === 'closing' || this.#state === 'closed') return
    append(this.#parse, chunk)
    this.#advance()
    if (this.#isBusy && waitingBytes(this.#parse) > READ_AHEAD_BYTES) this.socket.pause()
  }

  /** Handles each message that has come whole, until a handler takes its time. */
  #advance(): void {
    while (!this.#isBusy && !this.#isPaused && this.#mayHandle && waitingBytes(this.#parse) > 0) {
      const message = this.#nextMessage()
      if (message === undefined) break
      this.owner.connections.onMessage()
      if (this.#lastCall === 'message begun') this.#lastCall = 'over'
      const settling = this.call('onMessage', message)
      if (settling) this.#waitFor(settling)
    }
    this.#endIfDue()
  }

  get #mayHandle(): boolean {
    return this.#state === 'open' || this.#state === 'parting'
  }

  #waitFor(settling: Promise<unknown>): void {
    this.#isBusy = true
    void settling.then(() => {
      this.#isBusy = false
      this.#advance()
      this.#letRead()
    })
  }

  /** @returns undefined when it has not come whole, or makes no sense. */
  #nextMessage(): Message | undefined {
    const parse = this.#parse
    const { maxMessageBytes } = this.owner.limits
    try {
      if (parse.need === 0) parse.need = this.#measure()
      if (!this.#codec.isUnbounded && (parse.need || waitingBytes(parse)) > maxMessageBytes)
        throw new ShiftworkError('ERR_MESSAGE_TOO_LARGE', `a message has more than ${maxMessageBytes} bytes`)
      if (parse.need === 0 || waitingBytes(parse) < parse.need) return undefined
      return this.#codec.decode(take(parse), this) ?? (null as Message)
    } catch (error) {
      this.fail(`the ${this.protocol} protocol`, error)
      return undefined
    }
  }

  /** @returns 0 when it cannot be told yet. */
  #measure(): number {
    const parse = this.#parse
    const bytes = waiting(parse)
    const need = this.#codec.input(bytes, this, parse.seen)
    parse.seen = bytes.length
    if (Number.isInteger(need) && need >= 0) return need
    throw new RangeError(`input returned ${need}: it must be a number of bytes`)
  }

  #letRead(): void {
    if (this.#isPaused || this.#isBusy || this.#state === 'closed') return
    this.socket.resume()
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  #noteEnd(): void {
    this.#hasEnded = true
    this.#endIfDue()
  }

  /** The other side has ended, or we part: nothing is left to handle, and nothing more will come of it. */
  #endIfDue(): void {
    if (this.#isBusy || !this.#mayHandle) return
    const hasMore = this.#isPaused && waitingBytes(this.#parse) > 0
    if (this.#hasEnded ? !hasMore : this.#lastCall === 'over' && !this.#isPaused) this.close()
  }

  /** What was answered before is still delivered. */
  protected giveUp(): void {
    this.close()
  }

  #noteClosed(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.tellClosed()
  }
}
