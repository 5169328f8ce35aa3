/**
 * A connection that carries messages of a codec: `tcp`, `text`, `frame`, or one of the user's own, over
 * TCP, TLS or a unix socket. Messages are handled one at a time and in order; while a handler is not
 * done, what comes waits, and with more than a little of it the other side does.
 */
import type { Socket } from 'node:net'
import { ShiftworkError } from '../../errors.ts'
import { Connection, type Owner } from '../connection.ts'
import type { ConnectionState } from '../connection-state.ts'
import { endGently } from '../linger.ts'
import { append, createParseState, take, waiting, waitingBytes } from './parse.ts'
import type { Protocol } from './protocol.ts'

/** So much may come while a handler is busy, before the other side is slowed down. */
const READ_AHEAD_BYTES = 64 * 1024
/** How long one that we part with may go on sending when it was told nothing that it could have to read first, */
const UNTOLD_PATIENCE_MS = 1_000
/** and when it was: what it sends is thrown away, and it must notice that. */
const TOLD_PATIENCE_MS = 10_000

export class StreamConnection<Message = unknown, Sent = unknown> extends Connection<Sent> {
  declare protected readonly socket: Socket
  readonly #codec: Protocol<Message, Sent>
  readonly #parse = createParseState()
  #state: ConnectionState = 'opening'
  /** A hook has not settled, or is at it. */
  #isBusy = true
  #isPaused = false
  /** What is written is held back until all that came together is handled. */
  #isBatching = false
  /** The other side has ended; we have not, before all that it said is handled. */
  #hasEnded = false
  /** Its socket is closed. */
  #isGone = false
  /** It has gone without an end while a hook was running: `onClose` comes when that has settled. */
  #isLate = false
  #receivedBytes = 0
  /** Parting: messages that begin before this byte are handled, no other; null: it is not known yet. */
  #lastCallAt: number | null = null

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
    this.socket.pause()
    const settling = this.call('onConnect')
    if (settling) await settling
    if (this.#state === 'opening') this.#state = 'open'
    this.#goOn()
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Also one whose socket has gone before all that it brought was handled. */
  override get isLeaving(): boolean {
    return super.isLeaving || this.#isGone || !this.socket.writable
  }

  get isAtRest(): boolean {
    return !this.#isBusy && waitingBytes(this.#parse) === 0 && this.bufferedBytes === 0
  }

  override get unfinished(): string | null {
    if (this.#state === 'opening') return 'onConnect has not settled'
    if (this.#isBusy) return 'its handler has not settled'
    if (this.bufferedBytes > 0) return `${this.bufferedBytes} bytes are not delivered`
    if (this.#isPaused) return 'it is paused'
    return waitingBytes(this.#parse) > 0 ? 'its message is not whole' : null
  }

  protected override get isDeaf(): boolean {
    return this.#isBusy || this.#isPaused
  }

  send(value: Sent): boolean | null {
    try {
      return this.sendShared(value)
    } catch (error) {
      this.fail('encode', error)
      return false
    }
  }

  override sendShared(value: Sent): boolean | null {
    if (!this.maySend(this.#isWritable)) return false
    this.#write(this.#codec.encode(value, this))
    return this.noteSent()
  }

  get #isWritable(): boolean {
    return this.#state !== 'closing' && this.#state !== 'closed' && this.socket.writable
  }

  #write(bytes: string | Uint8Array): void {
    // a limit below the socket's own high-water mark is never said to have drained
    if (this.owner.limits.maxSendBufferBytes < this.socket.writableHighWaterMark)
      this.socket.write(bytes, () => this.noteFlushed())
    else this.socket.write(bytes)
    if (this.#isBatching && this.socket.writableNeedDrain) this.#flush()
  }

  /** Together does not mean late: what is a packet already goes, and does not fill the buffer. */
  #flush(): void {
    this.socket.uncork()
    this.socket.cork()
  }

  close(value?: Sent): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    if (value !== undefined) this.send(value)
    const isParting = this.#state === 'parting'
    this.#state = 'closing'
    if (this.#isGone) this.#finish()
    else if (isParting) endGently(this.socket, this.bytesWritten > 0 ? TOLD_PATIENCE_MS : UNTOLD_PATIENCE_MS)
    else endGently(this.socket)
  }

  end(): void {
    if (this.#isWritable) this.socket.end()
  }

  destroy(): void {
    if (this.#state === 'closed') return
    this.#state = 'closing'
    if (this.#isGone) this.#finish()
    else this.socket.destroy()
  }

  pause(): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#isPaused = true
    this.socket.pause()
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#advance()
  }

  /** What has come is with the kernel: two turns of the loop read it, whatever waits already. */
  part(): void {
    if (this.#state !== 'opening' && this.#state !== 'open') return
    this.#state = 'parting'
    this.socket.resume()
    setImmediate(() =>
      setImmediate(() => {
        this.#lastCallAt = this.#receivedBytes
        if (this.isDeaf) this.socket.pause()
        this.#endIfDue()
      }),
    )
  }

  ping(data?: unknown): void {
    if (data !== undefined && data !== null) this.send(data as Sent)
  }

  // ---- what comes --------------------------------------------------------------------------------------------------

  #read(chunk: Buffer): void {
    this.heardAt = performance.now()
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#receivedBytes += chunk.length
    append(this.#parse, chunk)
    this.#advance()
    if (this.#isBusy && waitingBytes(this.#parse) > READ_AHEAD_BYTES && !this.#isCallingLast) this.socket.pause()
  }

  /** Parting, and what has come by then is being read. */
  get #isCallingLast(): boolean {
    return this.#state === 'parting' && this.#lastCallAt === null
  }

  /** Handles each message that has come whole, until a handler takes its time. */
  #advance(): void {
    if (this.#isBusy) return
    this.#isBusy = true
    let handled = this.#handleNext()
    if (handled === 'done' && this.#mayHandle) handled = this.#handleTogether()
    if (handled instanceof Promise) {
      void handled.then(() => this.#goOn())
      return
    }
    this.#isBusy = false
    this.#endIfDue()
    this.#letRead()
  }

  /** Several have come at once: what is answered to them leaves at once, too. */
  #handleTogether(): Promise<unknown> | 'done' | 'none' {
    this.#isBatching = true
    this.socket.cork()
    let handled = this.#handleNext()
    while (handled === 'done') handled = this.#handleNext()
    this.#isBatching = false
    this.socket.uncork()
    return handled
  }

  /** @returns a promise: the handler has not settled; none: there is nothing to handle now. */
  #handleNext(): Promise<unknown> | 'done' | 'none' {
    if (!this.#mayHandle) return 'none'
    const message = this.#nextMessage()
    if (message === undefined || !this.#isAlive) return 'none'
    this.owner.connections.onMessage()
    return this.call('onMessage', message) ?? 'done'
  }

  #goOn(): void {
    this.#isBusy = false
    this.#advance()
  }

  /** No hook is running: whether the next message may be handed to one. */
  get #mayHandle(): boolean {
    return this.#isAlive && !this.#isPaused && waitingBytes(this.#parse) > 0 && !this.#isOver
  }

  get #isAlive(): boolean {
    return this.#state === 'open' || this.#state === 'parting'
  }

  /** Parting, and all that had come by then is handled. */
  get #isOver(): boolean {
    if (this.isPiped) return false
    return this.#lastCallAt !== null && this.#receivedBytes - waitingBytes(this.#parse) >= this.#lastCallAt
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
      this.failOver(`the ${this.protocol} protocol`, error)
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
    if (!this.isDeaf && this.socket.isPaused()) this.socket.resume()
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  #noteEnd(): void {
    this.#hasEnded = true
    this.#endIfDue()
  }

  /** The other side has ended, or we part: nothing is left to handle, and nothing more will come of it. */
  #endIfDue(): void {
    if (this.#isBusy) return
    if (this.#isLate) {
      this.#isLate = false
      this.tellClosed()
    }
    if (!this.#isAlive) return
    const hasMore = this.#isPaused && waitingBytes(this.#parse) > 0
    if (this.#hasEnded && hasMore) return
    if (this.#isGone) this.#finish()
    else if (this.#hasEnded ? !this.handOnEnd() : this.#isOver && !this.#isPaused) this.close()
  }

  /** What was answered before is still delivered. */
  protected giveUp(): void {
    this.close()
  }

  /**
   * One that has said all it had to say before it went is still heard to the end. `onClose` comes last, and not in
   * the middle of a hook, unless we have closed it, or what came is handed on.
   */
  #noteClosed(): void {
    if (this.#state === 'closed') return
    this.#isGone = true
    const isUnheard = this.#isBusy || waitingBytes(this.#parse) > 0
    if (this.#hasEnded && this.#isAlive && isUnheard) {
      this.owner.connections.lose?.(this as Connection)
      return
    }
    if (!this.#isBusy || this.#state === 'closing' || this.isPiped) {
      this.#finish()
      return
    }
    this.#isLate = true
    this.#state = 'closed'
    this.owner.connections.lose?.(this as Connection)
  }

  #finish(): void {
    this.#state = 'closed'
    this.tellClosed()
  }
}
