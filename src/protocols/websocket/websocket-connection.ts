/**
 * A WebSocket, as hooks see it. `ws` reads and writes the frames; here is the order of its messages, one at a
 * time, how much of them may wait, and its end. Made by `websocket` when a client asks for it, opened when the
 * handshake is answered. There may be many thousands: a connection has no closure of its own while it is idle.
 */
import type { Socket } from 'node:net'
import { ShiftworkError } from '../../errors.ts'
import { Connection, connectionOn, type Owner } from '../connection.ts'
import type { ConnectionState, Hook } from '../connection-state.ts'
import { Backlog } from './backlog.ts'
import { encodeFrame } from './websocket-frame.ts'
import { type Refusal, refusalOf, refuseWith } from './websocket-refusal.ts'
import type { WebSocketRequest } from './websocket-request.ts'
import { CLOSE_CODES, type Wire } from './websocket-wire.ts'

/** Asked before the handshake is answered. */
export type ConnectHook = Hook<[connection: WebSocketConnection, request: WebSocketRequest]>

/** How a handshake is refused by a hook that closes the connection, or fails. */
const FORBIDDEN = 403
const FAILED = 500

/** A goodbye ends by force when for so long nothing comes and nothing is taken of what was sent. */
const GOODBYE_MS = 10_000
/** How often it is looked whether all that has come is unpacked. */
const INFLATE_LOOK_MS = 5

const NOTHING = Buffer.alloc(0)
const OWNER = Symbol('shiftwork.owner')
type Owned = { [OWNER]: WebSocketConnection }
type Message = string | Buffer

export class WebSocketConnection extends Connection<string | Uint8Array> {
  declare protected readonly socket: Socket
  /** By which the client asked for it. */
  readonly request: WebSocketRequest
  /** With what the client closed it, 1006: without a word; null: it is not closed. */
  closeCode: number | null = null
  closeReason = ''
  #wire: Wire | null = null
  #state: ConnectionState = 'opening'
  /** A hook has not settled, or is at it. */
  #isBusy = true
  #isPaused = false
  /** Too much waits: nothing more is read. */
  #isHeld = false
  /** What has come and is not handled; null: nothing. */
  #waiting: Backlog<Message> | null = null
  /** Parting: what has come by now is handled, and of a message that has begun, the rest is awaited. */
  #lastCall: 'not yet' | 'message begun' | 'over' = 'not yet'
  /** Closed by the other side, and what it had said before is still handled: `onClose` comes last. */
  #isLate = false
  /** Its socket says that all was taken only to those who ask each time. */
  #asksEachTime = false
  /** Of what was sent, how much its socket has not answered for yet, where each time is asked. */
  #asked = 0
  #isCompressed = false

  constructor(owner: Owner, socket: Socket, request: WebSocketRequest) {
    super(owner, socket)
    this.request = request
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** What is spoken inside; null: nothing was agreed. */
  get subprotocol(): string | null {
    return this.request.subprotocol
  }

  override get bufferedBytes(): number {
    return this.#wire?.bufferedAmount ?? 0
  }

  get isAtRest(): boolean {
    return !this.#isBusy && !this.#waiting && this.bufferedBytes === 0 && this.#wire?.hasBegun === false
  }

  override get unfinished(): string | null {
    if (this.#state === 'opening') return 'onConnect has not settled'
    if (this.#isBusy) return 'its handler has not settled'
    if (this.bufferedBytes > 0) return `${this.bufferedBytes} bytes are not delivered`
    if (this.#isPaused) return 'it is paused'
    if (this.#state === 'closing') return 'its goodbye is not answered'
    return this.#wire?.hasBegunMessage ? 'its message is not whole' : null
  }

  protected override get isDeaf(): boolean {
    return this.#isBusy || this.#isPaused || this.#isHeld
  }

  /** Not 1000: a client that would like to stay may come back. */
  protected override closeIdle(): void {
    this.closeWith(CLOSE_CODES.goingAway)
  }

  override describe(): string {
    return `${this.protocol} ${this.request.path} from ${this.remoteAddress ?? 'a unix socket'}`
  }

  /** Text as a text message, bytes as a binary one. Not before `onConnect`. */
  send(value: string | Uint8Array): boolean | null {
    const wire = this.#wire
    if (!this.maySend(this.#isWritable) || !wire) return false
    const done = this.#asksEachTime ? this.#ask() : undefined
    try {
      // what is neither compressed nor masked needs no turn behind what is
      const frame = this.#isCompressed || wire.isClient ? null : encodeFrame(value)
      if (frame) this.socket.write(frame, done)
      else wire.send(value, done)
    } catch (error) {
      // nothing was written that could be taken
      if (done) this.#asked--
      throw error
    }
    const wasFull = this.isFull
    const sent = this.noteSent()
    if (this.isFull && !wasFull && !done) this.socket.once('drain', () => this.#noteTaken())
    return sent
  }

  /** @returns what is to be called when the kernel has what is written with it. */
  #ask(): () => void {
    this.#asked++
    return () => {
      this.#asked--
      this.#noteTaken()
    }
  }

  /** What `ws` writes by itself, a pong for example, may stand behind the last that was sent: asked for behind that. */
  #noteTaken(): void {
    this.noteFlushed()
    if (this.isFull && this.#asked === 0 && this.socket.writable) this.socket.write(NOTHING, this.#ask())
  }

  /** Also one whose server has said goodbye. */
  override get isLeaving(): boolean {
    return super.isLeaving || (this.#wire !== null && this.#wire.readyState !== this.#wire.OPEN)
  }

  get #isWritable(): boolean {
    return this.#state !== 'closing' && this.#wire !== null && this.#wire.readyState === this.#wire.OPEN
  }

  close(value?: string | Uint8Array): void {
    if (value !== undefined && this.#isLive) this.send(value)
    this.closeWith(CLOSE_CODES.normal)
  }

  /**
   * Closes it and says why: 1000, 1001, 1003, 1008, 1011 … or one of your own from 4000 to 4999, and at most 123
   * bytes of text. Before the handshake is answered, it is refused instead.
   * @throws TypeError for a code that must not be sent, RangeError for a longer reason.
   */
  closeWith(code: number, reason = ''): void {
    if (this.#isLive) {
      this.#wire?.close(code, reason)
      this.#beginGoodbye()
    } else this.#waiting = null
  }

  /** Nobody has ended it. */
  get #isLive(): boolean {
    return this.#state !== 'closing' && this.#state !== 'closed'
  }

  #beginGoodbye(): void {
    this.#state = 'closing'
    this.#waiting = null
    this.#wire?.resume()
    if (this.#wire) this.socket.setTimeout(GOODBYE_MS).on('timeout', WebSocketConnection.#onSilence)
  }

  /** What has come may not be read yet; if any has, the time begins anew. */
  static readonly #onSilence = function (this: Socket): void {
    const read = this.bytesRead
    setImmediate(() => {
      if (this.bytesRead === read) this.destroy()
    })
  }

  end(): void {
    if (this.#isWritable) this.#wire?.close(CLOSE_CODES.normal)
  }

  destroy(): void {
    this.#waiting = null
    if (this.#state === 'closed') return
    this.#state = 'closing'
    this.socket.destroy()
  }

  pause(): void {
    this.#isPaused = true
    this.#wire?.pause()
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#advance()
    if (!this.#isHeld && !this.#isPaused) this.#wire?.resume()
  }

  /** What has come is with the kernel: two turns of the loop read it, whatever waits already, then it is the last call. */
  part(): void {
    if (this.#state !== 'opening' && this.#state !== 'open') return
    this.#state = 'parting'
    this.#isHeld = false
    this.#wire?.resume()
    setImmediate(() => setImmediate(() => this.#callLast()))
  }

  #callLast(): void {
    const wire = this.#wire
    // what cannot be unpacked is never done with, but ends the connection
    if (wire?.isInflating && this.#state === 'parting') {
      // what came before is told first, and nothing that comes now
      wire.pause()
      setTimeout(() => this.#callLast(), INFLATE_LOOK_MS)
      return
    }
    this.#lastCall = wire?.hasBegunMessage ? 'message begun' : 'over'
    if (this.#isPaused) wire?.pause()
    else wire?.resume()
    this.#endIfDue()
  }

  /** A ping frame with these bytes, at most 125. The answer counts as a sign of life, and nothing else does with it. */
  ping(data?: unknown): void {
    if (this.#isWritable) this.#wire?.ping(data as string | Uint8Array | undefined)
  }

  /** Before the handshake is answered. @returns how to refuse it; null: it is welcome. */
  async ask(hook: ConnectHook): Promise<Refusal | null> {
    const refusal = await this.#judge(hook)
    return refusal ?? (this.#isLive ? null : refuseWith(FORBIDDEN))
  }

  async #judge(hook: ConnectHook): Promise<Refusal | null> {
    try {
      const refusal = await refusalOf(await hook(this, this.request))
      return refusal && { ...refusal, headers: [...refusal.headers, ...this.request.conclude()] }
    } catch (error) {
      this.fail('onWebSocketConnect', error)
      return refuseWith(FAILED)
    }
  }

  // ---- what comes --------------------------------------------------------------------------------------------------

  /** The handshake is answered. */
  open(wire: Wire): void {
    this.#wire = wire
    this.#isCompressed = wire.extensions !== ''
    this.#asksEachTime = this.#isCompressed || this.owner.limits.maxSendBufferBytes < this.socket.writableHighWaterMark
    Object.assign(wire, { [OWNER]: this })
    wire.on('message', WebSocketConnection.#onMessage)
    wire.on('close', WebSocketConnection.#onClose)
    wire.on('error', WebSocketConnection.#onError)
    this.socket.on('data', WebSocketConnection.#onData)
    if (this.#isPaused) wire.pause()
    this.owner.connections.add(this as Connection)
    const settling = this.call('onConnect')
    if (settling) void settling.then(() => this.#opened())
    else this.#opened()
  }

  #opened(): void {
    if (this.#state === 'opening') this.#state = 'open'
    this.#goOn()
  }

  static readonly #onMessage = function (this: Wire & Owned, data: Buffer, isBinary: boolean): void {
    this[OWNER].#take(data, isBinary)
  }

  static readonly #onClose = function (this: Wire & Owned, code: number, reason: Buffer): void {
    this[OWNER].#noteClosed(code, reason.toString())
  }

  static readonly #onError = function (this: Wire & Owned, error: Error): void {
    this[OWNER].#noteFault(error)
  }

  /** Of a long message too, and of pings and pongs. */
  static readonly #onData = function (this: Socket): void {
    const connection = connectionOn(this) as WebSocketConnection
    connection.heardAt = performance.now()
    if (connection.#lastCall === 'message begun') connection.#lookForMessage()
  }

  /** Of a single byte it was not known whether it begins a message: it was a ping. */
  #lookForMessage(): void {
    if (this.#wire?.hasBegunMessage) return
    this.#lastCall = 'over'
    this.#endIfDue()
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (!this.#isLive || this.#lastCall === 'over') return
    if (this.#lastCall === 'message begun') this.#lastCall = 'over'
    const message = isBinary ? data : data.toString()
    if (this.#isBusy || this.#isPaused || this.#waiting) this.#keep(message)
    else this.#handle(message)
    this.#endIfDue()
  }

  #keep(message: Message): void {
    this.#waiting ??= new Backlog()
    this.#waiting.push(message)
    const isCallingLast = this.#state === 'parting' && this.#lastCall === 'not yet'
    if (this.#isHeld || !this.#waiting.isMuch || isCallingLast) return
    this.#isHeld = true
    this.#wire?.pause()
  }

  #handle(message: Message): void {
    this.owner.connections.onMessage()
    this.#isBusy = true
    const settling = this.call('onMessage', message)
    if (settling) void settling.then(() => this.#goOn())
    else this.#isBusy = false
  }

  #goOn(): void {
    this.#isBusy = false
    this.#advance()
  }

  /** Handles what waits, until a handler takes its time. */
  #advance(): void {
    while (this.#waiting && !this.#isBusy && !this.#isPaused) {
      const message = this.#waiting.shift()
      if (this.#waiting.isEmpty) this.#waiting = null
      if (message !== undefined) this.#handle(message)
    }
    if (this.#isHeld && !this.#isPaused && this.#waiting?.isLittle !== false) {
      this.#isHeld = false
      this.#wire?.resume()
    }
    this.#endIfDue()
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  /** We part, or the other side has gone, and nothing is left to handle. */
  #endIfDue(): void {
    if (this.#isBusy || this.#waiting) return
    if (this.#isLate) {
      this.#isLate = false
      this.tellClosed()
    } else if (this.#state === 'parting' && this.#lastCall === 'over')
      // a client that leaves does not ask its server to come back
      this.closeWith(this.#wire?.isClient ? CLOSE_CODES.goingAway : CLOSE_CODES.serviceRestart)
  }

  /** What was answered before is still delivered. */
  protected giveUp(): void {
    this.closeWith(CLOSE_CODES.internalError)
  }

  /** What came makes no sense; `ws` has told the other side so. */
  #noteFault(error: Error & { code?: string }): void {
    if (!this.#isLive) return
    this.#beginGoodbye()
    const isTooLarge = error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
    const text = `a message has more than ${this.owner.limits.maxMessageBytes} bytes`
    this.tellError(isTooLarge ? new ShiftworkError('ERR_MESSAGE_TOO_LARGE', text, { cause: error }) : error)
  }

  /** What the other side said before it left is still handled. */
  #noteClosed(code: number, reason: string): void {
    this.closeCode = code
    this.closeReason = reason
    const isOurs = this.#state === 'closing'
    this.#state = 'closed'
    this.#isPaused = false
    if (isOurs) {
      this.tellClosed()
      return
    }
    this.#isLate = true
    if (this.#isBusy || this.#waiting) this.owner.connections.lose?.(this as Connection)
    this.#advance()
  }
}
