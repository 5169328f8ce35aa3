/**
 * `BusinessWorker`: the processes that hold the business code of a gateway's clients, and reload at will. A
 * Worker without a listener, which handles the events that gateways hand to it.
 */
import { type StopReason, Worker, type WorkerOptions } from '../index.ts'
import type { ClientHooks } from './business/client.ts'
import { Desk } from './business/desk.ts'
import { placesOf } from './gateway-client.ts'
import { checkHookNames, checkHooks, checkProperties, demandHook, type Owner } from './hooks.ts'
import { checkLinks, type LinkOptions } from './options.ts'
import type { Commands } from './peer/commands.ts'

export interface BusinessWorkerOptions extends WorkerOptions, LinkOptions {}

const TOLD: Omit<Owner, 'known'> = {
  name: 'BusinessWorker',
  constructed: 'new BusinessWorker({ name, count, … })',
  elsewhere: 'Others stand on its worker: business.worker.onLeader.',
}

export class BusinessWorker implements ClientHooks {
  /** The group of processes that does the work; it has all that a Worker has but connections. */
  readonly worker: Worker
  /** Loads the business code; clients come when it has settled and the worker serves. */
  onWorkerStart: ((worker: Worker) => unknown) | null = null
  /** Awaited, when the last event is handled. */
  onWorkerStop: ((worker: Worker, reason: StopReason) => unknown) | null = null
  /**
   * A client has come. One event at a time for each client, in order: while a promise has not settled, the next one
   * waits. What a hook throws is logged, and told to `onError`; the client stays.
   */
  onConnect: ClientHooks['onConnect'] = null
  /** After `onConnect`, for a client that came by WebSocket: the request by which it came. */
  onWebSocketConnect: ClientHooks['onWebSocketConnect'] = null
  onMessage: ClientHooks['onMessage'] = null
  /** A client has gone, or its gateway has died. */
  onClose: ClientHooks['onClose'] = null
  onError: ClientHooks['onError'] = null
  #desk: Desk | null = null

  constructor({ linkDir, deadlineMs, bus, ...options }: BusinessWorkerOptions = {}) {
    this.worker = new Worker(options)
    const links = { linkDir, deadlineMs, bus }
    const owner: Owner = { ...TOLD, known: new Set(Object.keys(this)) }
    // a class that extends this one may have fields of its own
    const isOwn = new.target === BusinessWorker
    this.worker.onCheck = () => {
      checkLinks('BusinessWorker', links)
      if (isOwn) checkProperties(this, owner)
    }
    this.worker.onWorkerStart = async (worker) => {
      const { name } = worker
      const places = placesOf(linkDir === undefined ? {} : { linkDir })
      this.#desk = new Desk({ name, places, hooks: this, deadlineMs, bus })
      await this.onWorkerStart?.(worker)
      if (isOwn) checkHookNames(this, owner)
      this.#checkHooks(name)
      await this.#desk.ready()
    }
    this.worker.onWorkerServing = () => this.#desk?.serve()
    this.worker.onStatus = () => this.#desk?.figures() ?? {}
    this.worker.onWorkerStop = async (worker, reason) => {
      if (reason === 'orphaned')
        await this.#desk?.outlast(Worker.stateDir as string, outlastingMs(worker.stopTimeoutMs))
      // who leaves for another reason has a successor already, or is not wanted any more
      await this.#desk?.drain({ isFollowed: reason === 'crash' || reason === 'hang' })
      await this.onWorkerStop?.(worker, reason)
      await this.#desk?.close()
    }
  }

  #checkHooks(name: string): void {
    const { onConnect, onWebSocketConnect, onMessage, onClose, onError } = this
    const owner = `BusinessWorker "${name}"`
    checkHooks(owner, { onConnect, onWebSocketConnect, onMessage, onClose, onError })
    demandHook(owner, { onConnect, onWebSocketConnect, onMessage, onClose })
  }

  /** Commands for all clients; inside a process of the group, from `onWorkerStart` on. */
  get gateways(): Commands {
    if (this.#desk) return this.#desk.commands
    throw new Error('gateways are known inside a worker of this group, from onWorkerStart on')
  }
}

/** Of the time that this worker has to leave, so much is for others: the rest for the end of its own work. */
function outlastingMs(stopTimeoutMs = 25_000): number {
  return Math.max(stopTimeoutMs / 2, stopTimeoutMs - 5_000)
}
