/**
 * `Gateway`: the processes that hold the clients and stay while the business code reloads. A Worker that hands
 * every event of its clients to business workers, and does what those, and others, command.
 */
import { resolve } from 'node:path'
import { type StopReason, Worker, type WorkerOptions } from '../index.ts'
import { parseBusAddress } from './bus/address.ts'
import { Post } from './bus/post.ts'
import { checkHookNames, checkHooks, checkProperties, type Owner } from './hooks.ts'
import { Hub } from './hub/hub.ts'
import {
  checkGateway,
  type DeliveryMode,
  type GatewaySettings,
  type LinkOptions,
  type QueueOptions,
} from './options.ts'
import { linkDirOf } from './peer/places.ts'

export interface GatewayOptions extends Omit<WorkerOptions, 'protocol'>, Pick<LinkOptions, 'linkDir' | 'bus'> {
  protocol?: WorkerOptions['protocol']
  /** Messages that no worker has acknowledged: how many are kept, and what happens beyond. */
  queue?: QueueOptions
  /** Default `at-least-once`: a message that a killed worker had not acknowledged goes to another, marked. */
  delivery?: DeliveryMode
  /** A client's session as JSON. Default 16 KiB. */
  maxSessionBytes?: number
}

const TOLD: Omit<Owner, 'known'> = {
  name: 'Gateway',
  constructed: "new Gateway('websocket://…', { name, count, … })",
  elsewhere: 'What clients say is handled by a BusinessWorker.',
}

export class Gateway {
  /** The group of processes that holds the clients; its hooks of connections are the gateway's own. */
  readonly worker: Worker
  onWorkerStart: ((worker: Worker) => unknown) | null = null
  /** Awaited, when the last client has left. */
  onWorkerStop: ((worker: Worker, reason: StopReason) => unknown) | null = null
  /** Asked in the gateway before the handshake of a WebSocket is answered; as of a Worker. */
  onWebSocketConnect: Worker['onWebSocketConnect'] = null
  #hub: Hub | null = null
  #post: Post | null = null

  /**
   * @param listen an address of any protocol but HTTP and UDP: `websocket://0.0.0.0:7272`, `text+tls://…`.
   * Checks nothing; `runAll` checks everything.
   */
  constructor(listen: string, { queue, delivery, maxSessionBytes, linkDir, bus, ...options }: GatewayOptions = {}) {
    const worker = new Worker(listen, { reloadable: false, ...(options as WorkerOptions) }) as Worker
    const check = (): GatewaySettings => {
      const { maxMessageBytes } = worker
      return checkGateway({ listen, queue, delivery, maxSessionBytes, linkDir, bus, maxMessageBytes })
    }
    this.worker = worker
    const owner: Owner = { ...TOLD, known: new Set(Object.keys(this)) }
    // a class that extends this one may have fields of its own
    const isOwn = new.target === Gateway
    worker.onCheck = () => {
      check()
      if (isOwn) checkProperties(this, owner)
    }
    const hub = (): Hub => this.#hub as Hub
    worker.onConnect = (connection) => hub().connected(connection)
    worker.onMessage = (connection, message) => hub().said(connection, message)
    worker.onClose = (connection) => hub().closed(connection)
    worker.onWebSocketConnect = (connection, request) => this.onWebSocketConnect?.(connection, request)
    worker.onStatus = () => ({ ...this.#hub?.figures(), ...(this.#post && { bus: this.#post.isUp ? 1 : 0 }) })
    worker.onWorkerStart = async () => {
      const opened = new Hub(check())
      this.#hub = opened
      await opened.open(linkDir === undefined ? linkDirOf(Worker.stateDir as string) : resolve(linkDir))
      // after its socket: who sees it on the bus can see that it is of this machine
      if (bus !== undefined) this.#post = postOf(opened, bus)
      await this.#post?.ready()
      await this.onWorkerStart?.(worker)
      if (isOwn) checkHookNames(this, owner)
      // without it, everybody would come in
      checkHooks(`Gateway "${worker.name}"`, { onWebSocketConnect: this.onWebSocketConnect })
    }
    worker.onWorkerStop = async (_, reason) => {
      await this.#hub?.drain(reason)
      await this.#post?.leave()
      await this.onWorkerStop?.(worker, reason)
    }
  }
}

function postOf(hub: Hub, bus: string): Post {
  const address = parseBusAddress(bus)
  return new Post({ address, gateway: hub.id, answer: (record) => hub.answer(record) })
}
