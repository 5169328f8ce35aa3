/**
 * One client, or one server that this process is a client of, as hooks see it: the base of what each
 * protocol makes of a connection. It holds what is the same for all of them: who it is, its hooks, what
 * becomes of their errors, and how full its send buffer is.
 */
import { settlingOf } from '../settling.ts'
import { type Carrier, idOf } from './carrier.ts'
import { complain, complainSparsely } from './complaints.ts'
import type { ConnectionContext, ConnectionState, Hook } from './connection-state.ts'
import { callLate } from './late.ts'
import type { ConnectionLimits } from './limits.ts'
import { dropped, pipedTooLate } from './losses.ts'
import { lookEveryMs, Questions } from './silence.ts'

/** What happens to a connection. Each may be async; none of it may end the worker. `C` is its class. */
export interface ConnectionHooks<Message = unknown, Sent = unknown, C = Connection<Sent>> {
  /** Awaited before the first message. */
  onConnect: Hook<[connection: C]> | null
  /** One message at a time for each connection: the next waits until a promise has settled. */
  onMessage: Hook<[connection: C, message: Message]> | null
  onClose: Hook<[connection: C]> | null
  onError: Hook<[connection: C, error: unknown]> | null
  /** More than `maxSendBufferBytes` wait to be sent: what is sent from now on is dropped, until … */
  onBufferFull: Hook<[connection: C]> | null
  /** … all of it is sent. */
  onBufferDrain: Hook<[connection: C]> | null
}

/** What a connection shows of the Worker that it belongs to. */
export interface WorkerView {
  readonly name: string
  readonly id: number
  readonly generation: number
  readonly isLeader: boolean
  readonly connections: OpenConnections
  broadcast(data: unknown): number
}

/** The open connections of one process. */
export interface OpenConnections<Sent = unknown> extends Iterable<Connection<Sent>> {
  readonly size: number
}

/** Whose connections they are: those that a worker has accepted, or one that it has opened. */
export interface Owner {
  /** The word before `://`. */
  readonly protocol: string
  readonly worker: WorkerView
  /** Looked up at each event: user code may set them late. */
  readonly hooks: ConnectionHooks
  readonly limits: ConnectionLimits
  readonly connections: Registry
}

/** Where open connections are known. */
export interface Registry {
  add(connection: Connection): void
  delete(connection: Connection): void
  /** It has gone, but a hook of it has not settled: only then it is deleted. */
  lose?(connection: Connection): void
  /** Called at each message that is handled. */
  readonly onMessage: () => void
}

const CONNECTION = Symbol('shiftwork.connection')
type Known = { [CONNECTION]?: Connection }

/** The Connection that was made of this socket, if one was. */
export function connectionOn(socket: object): Connection | undefined {
  return (socket as Known)[CONNECTION]
}

export abstract class Connection<Sent = unknown> {
  /** Hooks of this connection alone, in place of its worker's. */
  onMessage: ConnectionHooks['onMessage'] = null
  onClose: ConnectionHooks['onClose'] = null
  onError: ConnectionHooks['onError'] = null
  onBufferFull: ConnectionHooks['onBufferFull'] = null
  onBufferDrain: ConnectionHooks['onBufferDrain'] = null
  /** When it was opened, and when something came last, on the clock of `performance.now()`. */
  readonly openedAt = performance.now()
  protected heardAt = this.openedAt
  protected readonly owner: Owner
  protected readonly socket: Carrier
  #context: ConnectionContext | null = null
  #isFull = false
  #isTellingError = false
  #onceDrained: (() => void)[] | null = null
  /** null: it was never looked at for its silence. */
  #questions: Questions | null = null
  #target: Connection | null = null
  /** Messages that nobody has handled. */
  #unheard = 0

  constructor(owner: Owner, socket: Carrier) {
    this.owner = owner
    this.socket = socket
    ;(socket as Known)[CONNECTION] = this as Connection
  }

  /** Unique among all processes of the fleet, and never used again. */
  get id(): string {
    return idOf(this.socket)
  }

  /** The user's own bag: what is put here stays with the connection. */
  get context(): ConnectionContext {
    // most of many thousand idle connections never have one
    this.#context ??= {}
    return this.#context
  }

  set context(context: ConnectionContext) {
    this.#context = context
  }

  /** The Worker that it belongs to. */
  get worker(): WorkerView {
    return this.owner.worker
  }

  /** The word before `://` of the address that it came to, or goes to. */
  get protocol(): string {
    return this.owner.protocol
  }

  abstract get state(): ConnectionState

  /** The client's address; undefined on a unix socket, and after the connection is closed. */
  get remoteAddress(): string | undefined {
    return this.socket.remoteAddress
  }

  get remotePort(): number | undefined {
    return this.socket.remotePort
  }

  get localAddress(): string | undefined {
    return this.socket.localAddress
  }

  get localPort(): number | undefined {
    return this.socket.localPort
  }

  get bytesRead(): number {
    return this.socket.bytesRead
  }

  get bytesWritten(): number {
    return this.socket.bytesWritten
  }

  /** What was sent and the kernel has not taken yet. */
  get bufferedBytes(): number {
    return this.socket.writableLength
  }

  /** For how long nothing has come, in ms. */
  get idleMs(): number {
    return performance.now() - this.heardAt
  }

  /** It can be sent what it has not asked for. */
  get takesPush(): boolean {
    return true
  }

  /** Nothing is half read, nothing half written, no handler is running. */
  abstract get isAtRest(): boolean

  /**
   * Sends one message.
   * @returns true: handed to the kernel; null: buffered; false: dropped, since the connection is closed or
   * more than `maxSendBufferBytes` wait already: `onError` is told why.
   */
  abstract send(value: Sent): boolean | null

  /** The same for what is said to many: what its protocol cannot say is thrown, and costs no connection its life. */
  sendShared(value: Sent): boolean | null {
    return this.send(value)
  }

  /** Nothing that is sent now would arrive: it is closed, or about to be. */
  get isLeaving(): boolean {
    return this.state === 'closing' || this.state === 'closed'
  }

  /** Sends, if something is given, handles no message any more, and closes once everything is delivered. */
  abstract close(value?: Sent): void

  /** Sends no more, but handles what the other side still has to say. */
  abstract end(): void

  /** Closes at once; what was not delivered is lost. */
  abstract destroy(): void

  /** Reads no more until `resume`: the other side is slowed down. */
  abstract pause(): void

  abstract resume(): void

  /**
   * Ends it after what was begun, as its protocol says goodbye: the worker drains. When that is, nobody knows of one
   * that is piped to another: it goes on until either ends.
   */
  abstract part(): void

  /** Asks the other side for a sign of life: with this, or as the protocol does by itself. */
  abstract ping(data?: unknown): void

  /** For people: what it is, and with whom. */
  describe(): string {
    return `${this.protocol} from ${this.remoteAddress ?? 'a unix socket'}`
  }

  /**
   * Hands each message on to another connection, as fast as that one takes them, and closes it when this
   * one is closed. Takes the place of `onMessage`; `onClose` is still called. Where that one is piped back
   * to this one, an end of either is handed on as an end, and what the other still says arrives. Call it before
   * `onConnect` has settled: messages that came before and that nobody handled fail it, with `ERR_TOO_LATE`.
   */
  pipe<Other>(target: Connection<Other>): Connection<Other> {
    this.onMessage = (_connection, message) => {
      if (!target.isFull) return void target.send(message as Other)
      return target.#sendWhenDrained(message as Other)
    }
    this.#target = target as Connection
    // a stream without its beginning is another stream
    if (this.#unheard > 0) this.fail('pipe', pipedTooLate(this.#unheard))
    // it has gone while the other one was made ready
    if (this.state === 'closed') target.close()
    return target
  }

  async #sendWhenDrained(value: Sent): Promise<void> {
    // who has waited, too, may have filled it again
    while (this.#isFull)
      await new Promise<void>((resolve) => {
        this.#onceDrained ??= []
        this.#onceDrained.push(resolve)
      })
    this.send(value)
  }

  /** What comes is handed on to another connection, which is open. */
  get isPiped(): boolean {
    return this.#target !== null && this.#target.state !== 'closed'
  }

  /** More than `maxSendBufferBytes` wait to be sent. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** What it has not finished is told request by request, by `traffic`. */
  get isKnownByRequests(): boolean {
    return false
  }

  /** What it has begun and not finished, in words; null: nothing is known. */
  get unfinished(): string | null {
    return null
  }

  // ---- silence -----------------------------------------------------------------------------------------------------

  /** How often `bearSilence` must be called; null: never. */
  get lookEveryMs(): number | null {
    return lookEveryMs(this.owner.limits)
  }

  /** Does what the silence of the other side demands. Called again and again, when all that has come is read. */
  bearSilence(now: number): void {
    if (this.state === 'closing' || this.state === 'closed') return
    // nobody is silent whom we do not listen to
    if (this.isDeaf) this.heardAt = now
    this.#questions ??= new Questions()
    const verdict = this.#questions.next(this.heardAt, now, this.owner.limits)
    if (verdict === 'ask') this.#askForLife()
    else if (verdict === 'close') this.closeIdle()
    else if (verdict === 'give up') {
      this.tellError(this.#questions.unanswered(now - this.heardAt))
      this.destroy()
    }
  }

  /** Nothing is read from it now, since a hook takes its time or it is paused. */
  protected get isDeaf(): boolean {
    return false
  }

  /** How this protocol ends a connection on which nothing has come for `idleTimeoutMs`. */
  protected closeIdle(): void {
    this.close()
  }

  #askForLife(): void {
    // it would be dropped; what waits already is as good a question
    if (this.isFull) return
    try {
      this.ping(this.owner.limits.heartbeat?.data ?? undefined)
    } catch (error) {
      this.fail('heartbeat', error)
    }
  }

  // ---- for the protocols -------------------------------------------------------------------------------------------

  /** Calls a hook, the connection's own or its worker's. @returns a promise when the hook is not done yet. */
  protected call(name: 'onConnect' | 'onMessage', message?: unknown): Promise<unknown> | null {
    const own = name === 'onMessage' ? this.onMessage : null
    const hook = own ?? this.owner.hooks[name]
    if (!hook && name === 'onMessage') this.#unheard++
    if (!hook) return null
    try {
      return settlingOf(hook(this, message as never))?.catch((error: unknown) => this.fail(name, error)) ?? null
    } catch (error) {
      this.fail(name, error)
      return null
    }
  }

  /** A handler that failed: costs this connection its life, and nobody else anything. */
  protected fail(what: string, error: unknown): void {
    complain(this.owner, { what, error })
    this.tellError(error)
    this.giveUp(error)
  }

  /** The same for what the other side has sent: anybody may send it, so it is a short line of the log, and not each time. */
  protected failOver(what: string, error: unknown): void {
    complainSparsely(this.owner, { what, error }, 'line')
    this.tellError(error)
    this.giveUp(error)
  }

  /** How this protocol ends a connection that has failed. */
  protected abstract giveUp(error: unknown): void

  /** Calls `onError`; what that throws, or is told meanwhile, is not told to it again. */
  protected tellError(error: unknown): void {
    const hook = this.onError ?? this.owner.hooks.onError
    if (!hook || this.#isTellingError) return
    this.#isTellingError = true
    callLate(this.worker, 'onError', () => hook(this, error))
    this.#isTellingError = false
  }

  protected tellClosed(): void {
    this.owner.connections.delete(this)
    const hook = this.onClose ?? this.owner.hooks.onClose
    if (hook) callLate(this.worker, 'onClose', () => hook(this))
    this.#target?.close()
    // who hands on to it must not wait for room
    this.#isFull = false
    this.#releaseDrained()
  }

  /** The other side has ended. @returns whether that was handed on, to one whose end will be the end of this one. */
  protected handOnEnd(): boolean {
    if (!this.#target || this.#target.#target !== this) return false
    this.#target.end()
    return true
  }

  /** @returns false, with an error, when nothing can be sent now. */
  protected maySend(isWritable: boolean): boolean {
    if (isWritable && this.bufferedBytes < this.owner.limits.maxSendBufferBytes) return true
    this.tellError(dropped({ isWritable, bufferedBytes: this.bufferedBytes }))
    return false
  }

  /** What `send` returns after something was written; notes that the buffer is full. */
  protected noteSent(): true | null {
    const { bufferedBytes } = this
    if (bufferedBytes === 0) return true
    if (bufferedBytes >= this.owner.limits.maxSendBufferBytes && !this.#isFull) {
      this.#isFull = true
      const hook = this.onBufferFull ?? this.owner.hooks.onBufferFull
      if (hook) callLate(this.worker, 'onBufferFull', () => hook(this))
    }
    return null
  }

  /** All that was sent is with the kernel. */
  protected noteFlushed(): void {
    if (!this.#isFull || this.bufferedBytes > 0) return
    this.#isFull = false
    const hook = this.onBufferDrain ?? this.owner.hooks.onBufferDrain
    if (hook) callLate(this.worker, 'onBufferDrain', () => hook(this))
    this.#releaseDrained()
  }

  #releaseDrained(): void {
    for (const callback of this.#onceDrained?.splice(0) ?? []) callback()
  }
}
