/**
 * What `connect` returns: a server that this worker is a client of. It holds one connection to it at a
 * time, and opens another when that is lost, until it is closed or the worker leaves.
 */
import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describeError, ShiftworkError } from '../errors.ts'
import type { Connection, ConnectionHooks, Owner, Registry, WorkerView } from '../protocols/connection.ts'
import type { Hook } from '../protocols/connection-state.ts'
import type { ConnectionLimits } from '../protocols/limits.ts'
import { report } from '../protocols/report.ts'
import { settlingOf } from '../settling.ts'
import { cannotConnect, dial, leftMs, type Target } from './dial.ts'
import { openerOf, type Spoken } from './openers.ts'
import { delayMs, failuresAfter, type ReconnectTimes } from './reconnect.ts'

/** connecting · connected · waiting: for its next try · closed: there will be no connection any more */
export type UpstreamState = 'connecting' | 'connected' | 'waiting' | 'closed'

/** What happens to an upstream; the same hooks as a Worker's. */
export interface UpstreamHooks<Message = unknown, Sent = unknown, C = Connection<Sent>>
  extends Omit<ConnectionHooks<Message, Sent, C>, 'onError'> {
  /** Also why it could not be connected: then there is no connection. */
  onError: Hook<[connection: C | null, error: unknown]> | null
}

/** Checked options. */
export interface Plan extends Target, Spoken {
  /** null: one try. */
  readonly reconnect: ReconnectTimes | null
  readonly limits: ConnectionLimits
}

/** What it is part of: the upstreams of the process. */
export interface UpstreamHome {
  readonly worker: WorkerView
  readonly connections: Registry
  /** Nothing is tried again. */
  readonly isDraining: boolean
  add(upstream: Upstream): void
  delete(upstream: Upstream): void
}

interface Waiter {
  resolve(connection: Connection): void
  reject(error: unknown): void
}

export class Upstream<Message = unknown, Sent = unknown, C = Connection<Sent>>
  implements UpstreamHooks<Message, Sent, C>
{
  /** Awaited before the first message of each connection. */
  onConnect: UpstreamHooks<Message, Sent, C>['onConnect'] = null
  onMessage: UpstreamHooks<Message, Sent, C>['onMessage'] = null
  /** A connection is lost, or closed; `state` says whether another will be tried. */
  onClose: UpstreamHooks<Message, Sent, C>['onClose'] = null
  onError: UpstreamHooks<Message, Sent, C>['onError'] = null
  onBufferFull: UpstreamHooks<Message, Sent, C>['onBufferFull'] = null
  onBufferDrain: UpstreamHooks<Message, Sent, C>['onBufferDrain'] = null
  /** Where it connects to. */
  readonly address: string
  readonly #plan: Plan
  readonly #home: UpstreamHome
  readonly #owner: Owner
  #state: UpstreamState = 'connecting'
  #connection: Connection<Sent> | null = null
  /** Connections of which a hook may be running: the present one, and those that are lost. */
  #unsettled = 0
  #connectedAt = 0
  /** What broke the socket, to tell it from what a hook threw. */
  #socketError: unknown = null
  /** Gives up the try that is under way, or waited for. */
  #cancelTry: () => void = () => undefined
  #failures = 0
  #waiters: Waiter[] = []

  /** Begins to connect. */
  constructor(home: UpstreamHome, plan: Plan) {
    this.address = plan.name
    this.#home = home
    this.#plan = plan
    this.#owner = this.#createOwner(home.worker)
    this.#home.add(this as Upstream)
    this.#try()
  }

  get state(): UpstreamState {
    return this.#state
  }

  /** The present one; null while there is none. */
  get connection(): C | null {
    return this.#connection as C | null
  }

  /**
   * The present connection, or the next one, before anything is read from it. One that is about to close is none.
   * @throws ShiftworkError `ERR_CONNECT` when there will be none: closed, or the one try has failed.
   */
  whenConnected(): Promise<C> {
    if (this.#connection && !this.#connection.isLeaving) return Promise.resolve(this.#connection as C)
    if (this.#state === 'closed') return Promise.reject(this.#noMore())
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve: (connection) => resolve(connection as C), reject })
    })
  }

  /**
   * Sends one message on the present connection; nothing is kept for the next one.
   * @returns true: handed to the kernel; null: buffered; false: dropped, and `onError` is told why.
   */
  send(value: Sent): boolean | null {
    if (this.#connection) return this.#connection.send(value)
    const message = `Not connected to ${this.address}: a message is dropped`
    this.#tell(new ShiftworkError('ERR_CONNECTION_CLOSED', message))
    return false
  }

  /** Sends, if something is given, closes the connection once everything is delivered, and opens none any more. */
  close(value?: Sent): void {
    this.#end()
    this.#connection?.close(value)
  }

  /** Closes at once; what was not delivered is lost. */
  destroy(): void {
    this.#end()
    this.#connection?.destroy()
  }

  // ---- the worker drains -------------------------------------------------------------------------------------------

  /** No try any more but the one that is under way: requests may wait for it. */
  stopTrying(): void {
    if (this.#state === 'waiting') this.#end()
  }

  /** Ends it after what was begun. */
  part(): void {
    this.#end()
    // where two of them are piped together nobody knows when that is
    if (this.#connection?.isPiped) this.#connection.close()
    else this.#connection?.part()
  }

  // ---- one connection after another --------------------------------------------------------------------------------

  #try(): void {
    this.#state = 'connecting'
    this.#socketError = null
    const begunAt = performance.now()
    const { socket, connected } = dial(this.#plan)
    socket.on('error', (error) => {
      this.#socketError = error
    })
    this.#cancelTry = () => socket.destroy()
    connected
      .then(() => (this.#state === 'connecting' ? this.#open(socket, begunAt) : undefined))
      .catch((error: unknown) => this.#failed(error))
  }

  #open(socket: Socket, begunAt: number): Promise<void> {
    const spoken = this.#plan
    const how = { spoken, leftMs: leftMs(spoken.timeoutMs, begunAt) }
    return openerOf(spoken.address)(socket, this.#owner, how)
  }

  #failed(why: unknown): void {
    if (this.#state === 'connected') throw why
    if (this.#state !== 'connecting') return
    // it may be connected already: what was to be spoken on it has failed
    this.#cancelTry()
    const error = why instanceof ShiftworkError ? why : cannotConnect(this.address, why)
    const isAwaited = this.#waiters.length > 0
    this.#tryAgain(null, error)
    // whoever waited for it was told already
    if (this.onError || !isAwaited || this.state !== 'closed') this.#tell(error)
  }

  #opened(connection: Connection): void {
    this.#connection = connection as Connection<Sent>
    this.#connectedAt = performance.now()
    this.#cancelTry = () => undefined
    this.#state = 'connected'
  }

  /** Nothing comes of it any more. A hook of it may still be running, which may wait for the next one. */
  #lose(connection: Connection): void {
    if (this.#connection !== connection) return
    this.#connection = null
    if (this.#state !== 'closed') this.#tryAgain(performance.now() - this.#connectedAt, this.#socketError)
  }

  /** Nobody has to wait for it any more. */
  #leaveIfDone(): void {
    if (this.#state === 'closed' && this.#unsettled === 0) this.#home.delete(this as Upstream)
  }

  /** Later, if at all. */
  #tryAgain(livedMs: number | null, why: unknown): void {
    const { reconnect } = this.#plan
    if (!reconnect || this.#home.isDraining) {
      this.#end(why)
      return
    }
    this.#failures = failuresAfter(this.#failures, livedMs, reconnect)
    this.#state = 'waiting'
    const timer = setTimeout(() => this.#try(), delayMs(this.#failures, Math.random(), reconnect))
    this.#cancelTry = () => clearTimeout(timer)
  }

  #end(why?: unknown): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#cancelTry()
    this.#leaveIfDone()
    const waiters = this.#waiters
    this.#waiters = []
    for (const { reject } of waiters) reject(this.#noMore(why))
  }

  #noMore(why?: unknown): unknown {
    if (why instanceof ShiftworkError) return why
    return new ShiftworkError('ERR_CONNECT', `Cannot connect to ${this.address}: it was closed`, { cause: why })
  }

  // ---- hooks -------------------------------------------------------------------------------------------------------

  #createOwner(worker: WorkerView): Owner {
    const { home, hooks } = { home: this.#home, hooks: this.#createHooks() }
    const connections = {
      add: (connection: Connection) => {
        home.connections.add(connection)
        this.#unsettled++
        this.#opened(connection)
      },
      lose: (connection: Connection) => this.#lose(connection),
      delete: (connection: Connection) => {
        home.connections.delete(connection)
        this.#unsettled--
        this.#lose(connection)
        this.#leaveIfDone()
      },
      // what a server says is no request of a client's
      onMessage: () => undefined,
    }
    return { protocol: this.#plan.address.protocol, worker, hooks, limits: this.#plan.limits, connections }
  }

  #createHooks(): ConnectionHooks {
    const handle: ConnectionHooks['onMessage'] = (connection, message) =>
      this.onMessage?.(connection as C, message as Message)
    const handler = (): ConnectionHooks['onMessage'] => this.onMessage && handle
    return {
      onConnect: (connection) => this.#greet(connection as C),
      // what nobody handles is counted as such
      get onMessage() {
        return handler()
      },
      onClose: (connection) => this.onClose?.(connection as C),
      onError: (connection, error) => this.onError?.(connection as C, this.#explain(error)),
      onBufferFull: (connection) => this.onBufferFull?.(connection as C),
      onBufferDrain: (connection) => this.onBufferDrain?.(connection as C),
    }
  }

  /** Nothing is read before all who waited for the connection have had a turn with it. */
  #greet(connection: C): unknown {
    const waiters = this.#waiters
    this.#waiters = []
    for (const { resolve } of waiters) resolve(connection as Connection)
    const settling = this.onConnect?.(connection)
    return waiters.length === 0 ? settling : Promise.all([settling, nextTurn()])
  }

  #explain(error: unknown): unknown {
    if (error !== this.#socketError) return error
    const message = `The connection to ${this.address} broke: ${describeError(error).message}`
    return new ShiftworkError('ERR_CONNECTION_CLOSED', message, { cause: error })
  }

  /** What has no connection; without `onError` it is logged. */
  #tell(error: unknown): void {
    if (!this.onError) {
      this.#report(describeError(error).message)
      return
    }
    const failed = (thrown: unknown): void => this.#report(`onError threw: ${describeError(thrown).stack}`)
    try {
      settlingOf(this.onError(null, error))?.catch(failed)
    } catch (thrown) {
      failed(thrown)
    }
  }

  #report(what: string): void {
    report(this.#home.worker, what)
  }
}
