/**
 * One client, or one server that this process is a client of, as hooks see it: the base of what each
 * protocol makes of a connection. It holds what is the same for all of them: who it is, its hooks, what
 * becomes of their errors, and how full its send buffer is.
 */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { describeError, ShiftworkError } from '../errors.ts'

/** The user's own bag on each connection. Declare its members by augmenting this interface. */
export interface ConnectionContext {
  [name: string]: unknown
}

/** A function that may declare narrower arguments than it is typed with, as methods may. */
export type Hook<Arguments extends unknown[]> = { hook(...args: Arguments): unknown }['hook']

/** What happens to a connection. Each may be async; none of it may end the worker. */
export interface ConnectionHooks<Message = unknown, Sent = unknown> {
  /** Awaited before the first message. */
  onConnect: Hook<[connection: Connection<Sent>]> | null
  /** One message at a time for each connection: the next waits until a promise has settled. */
  onMessage: Hook<[connection: Connection<Sent>, message: Message]> | null
  onClose: Hook<[connection: Connection<Sent>]> | null
  onError: Hook<[connection: Connection<Sent>, error: unknown]> | null
  /** More than `maxSendBufferBytes` wait to be sent: what is sent from now on is dropped, until … */
  onBufferFull: Hook<[connection: Connection<Sent>]> | null
  /** … all of it is sent. */
  onBufferDrain: Hook<[connection: Connection<Sent>]> | null
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

/** Limits and times of one connection. */
export interface ConnectionLimits {
  /** A message that is longer ends its connection. */
  maxMessageBytes: number
  /** While more than this waits to be sent, `send` drops. */
  maxSendBufferBytes: number
  /** A client from which nothing came for so long is disconnected; 0: never. */
  idleTimeoutMs: number
  heartbeat: Heartbeat | null
}

/** Keeps a connection alive, and finds out that the other side is gone. */
export interface Heartbeat {
  /** How often a silent client is asked for a sign of life. */
  everyMs: number
  /** How many times in a row it may give none before it is disconnected. */
  maxMissed: number
  /** What is sent; null: the ping of the protocol, where it has one. */
  data: unknown
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
  /** Called at each message that is handled. */
  readonly onMessage: () => void
}

/**
 * opening: `onConnect` has not settled · open · parting: it ends after what was begun · closing: nothing is
 * handled any more, what was sent is still delivered · closed
 */
export type ConnectionState = 'opening' | 'open' | 'parting' | 'closing' | 'closed'

const PROCESS_ID = randomBytes(8).toString('base64url')
let opened = 0
const ID = Symbol('shiftwork.id')
const CONNECTION = Symbol('shiftwork.connection')
type Known = { [ID]?: string; [CONNECTION]?: Connection }

/** The id of the connection on this socket: given when it is first asked for, since hardly any HTTP connection is. */
export function idOf(socket: object): string {
  const known = socket as Known
  known[ID] ??= `${PROCESS_ID}-${(opened++).toString(36)}`
  return known[ID]
}

/** The Connection that was made of this socket, if one was. */
export function connectionOn(socket: object): Connection | undefined {
  return (socket as Known)[CONNECTION]
}

export abstract class Connection<Sent = unknown> {
  /** Unique among all processes of the fleet, and never used again. */
  readonly id: string
  /** The user's own bag: what is put here stays with the connection. */
  context: ConnectionContext = {}
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
  protected readonly socket: Socket
  #isFull = false
  #isTellingError = false
  #onceDrained: (() => void)[] = []

  constructor(owner: Owner, socket: Socket) {
    this.owner = owner
    this.socket = socket
    this.id = idOf(socket)
    Object.assign(socket, { [CONNECTION]: this })
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

  /** Sends, if something is given, handles no message any more, and closes once everything is delivered. */
  abstract close(value?: Sent): void

  /** Sends no more, but handles what the other side still has to say. */
  abstract end(): void

  /** Closes at once; what was not delivered is lost. */
  abstract destroy(): void

  /** Reads no more until `resume`: the other side is slowed down. */
  abstract pause(): void

  abstract resume(): void

  /** Ends it after what was begun, as its protocol says goodbye: the worker drains. */
  abstract part(): void

  /** Asks the other side for a sign of life: with this, or as the protocol does by itself. */
  abstract ping(data?: unknown): void

  /**
   * Hands each message on to another connection, as fast as that one takes them, and closes it when this
   * one is closed. Takes the place of `onMessage`; `onClose` is still called.
   */
  pipe<Other>(target: Connection<Other>): Connection<Other> {
    this.onMessage = (_connection, message) => {
      const sent = target.send(message as Other)
      if (sent !== null || !target.isFull) return
      this.pause()
      target.#onceDrained.push(() => this.resume())
    }
    this.#onGone = () => target.close()
    return target
  }

  #onGone: () => void = () => undefined

  /** More than `maxSendBufferBytes` wait to be sent. */
  get isFull(): boolean {
    return this.#isFull
  }

  // ---- for the protocols -------------------------------------------------------------------------------------------

  /** Calls a hook, the connection's own or its worker's. @returns a promise when the hook is not done yet. */
  protected call(name: 'onConnect' | 'onMessage', message?: unknown): Promise<unknown> | null {
    const own = name === 'onMessage' ? this.onMessage : null
    const hook = own ?? this.owner.hooks[name]
    if (!hook) return null
    try {
      const result = hook(this, message as never)
      if (!(result instanceof Promise)) return null
      return result.catch((error: unknown) => this.fail(name, error))
    } catch (error) {
      this.fail(name, error)
      return null
    }
  }

  /** A handler that failed, or bytes that make no sense: costs this connection its life, and nobody else anything. */
  protected fail(what: string, error: unknown): void {
    report(`${what} of a ${this.protocol} connection failed: ${describeError(error).stack}`, this.worker)
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
    this.#callLate('onError', () => hook(this, error))
    this.#isTellingError = false
  }

  protected tellClosed(): void {
    this.owner.connections.delete(this)
    const hook = this.onClose ?? this.owner.hooks.onClose
    if (hook) this.#callLate('onClose', () => hook(this))
    this.#onGone()
    this.#releaseDrained()
  }

  /** @returns false, with an error, when nothing can be sent now. */
  protected maySend(isWritable: boolean): boolean {
    if (isWritable && this.bufferedBytes < this.owner.limits.maxSendBufferBytes) return true
    this.tellError(
      isWritable
        ? new ShiftworkError(
            'ERR_SEND_BUFFER_FULL',
            `${this.bufferedBytes} bytes wait to be sent: a message is dropped`,
          )
        : new ShiftworkError('ERR_CONNECTION_CLOSED', 'The connection is closed: a message is dropped'),
    )
    return false
  }

  /** What `send` returns after something was written; notes that the buffer is full. */
  protected noteSent(): true | null {
    const { bufferedBytes } = this
    if (bufferedBytes === 0) return true
    if (bufferedBytes >= this.owner.limits.maxSendBufferBytes && !this.#isFull) {
      this.#isFull = true
      const hook = this.onBufferFull ?? this.owner.hooks.onBufferFull
      if (hook) this.#callLate('onBufferFull', () => hook(this))
    }
    return null
  }

  /** All that was sent is with the kernel. */
  protected noteFlushed(): void {
    if (!this.#isFull || this.bufferedBytes > 0) return
    this.#isFull = false
    const hook = this.onBufferDrain ?? this.owner.hooks.onBufferDrain
    if (hook) this.#callLate('onBufferDrain', () => hook(this))
    this.#releaseDrained()
  }

  #releaseDrained(): void {
    for (const callback of this.#onceDrained.splice(0)) callback()
  }

  /** A hook whose failure ends nothing: it is logged. */
  #callLate(name: string, hook: () => unknown): void {
    const failed = (error: unknown): void => report(`${name} threw: ${describeError(error).stack}`, this.worker)
    try {
      const result = hook()
      if (result instanceof Promise) result.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}

function report(what: string, worker: WorkerView): void {
  console.error(`shiftwork: worker ${worker.id}: ${what}`)
}
