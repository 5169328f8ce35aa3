/**
 * How a worker leaves: accept nothing new, let `onWorkerStop` run, finish what was begun, cut what
 * is left at the deadline, say so, exit. The one way out for reload, stop, crash and a lost master.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { DrainReport } from '../ipc/messages.ts'
import type { Connections } from '../protocols/connections.ts'
import type { Traffic } from '../protocols/traffic.ts'

export interface DrainOrder {
  /** null: no deadline. */
  timeoutMs: number | null
  /** How long an idle connection may stay; null: as long as its server lets it. */
  lingerMs: number | null
}

/** Cut sockets need a moment to close before the process ends. */
const CUT_MS = 100
/** WebSockets are told to come back over at most so long, and no longer than half of what the drain may take. */
const MAX_SPREAD_MS = 5_000

export class Drain {
  readonly #traffic: Traffic
  readonly #connections: Connections
  readonly #onWorkerStop: () => unknown
  #deadline: NodeJS.Timeout | null = null
  #dueAt = Number.POSITIVE_INFINITY
  #expire: () => void = () => undefined

  constructor(traffic: Traffic, connections: Connections, onWorkerStop: () => unknown) {
    this.#traffic = traffic
    this.#connections = connections
    this.#onWorkerStop = onWorkerStop
  }

  /** Runs once; a later order only brings the deadline nearer. */
  async run(order: DrainOrder): Promise<DrainReport> {
    const expired = new Promise<'expired'>((resolve) => {
      this.#expire = () => resolve('expired')
    })
    this.hurry(order)
    let isHookSettled = false
    const hook = this.#runHook().then(() => {
      isHookSettled = true
    })
    const spreadMs = Math.min(MAX_SPREAD_MS, (order.timeoutMs ?? Number.POSITIVE_INFINITY) / 2)
    // user code that parts with its clients in the hook comes first, but it may never settle
    void Promise.race([hook, delay(spreadMs)]).then(() => {
      this.#traffic.partWithUpgraded(spreadMs)
      this.#connections.partWithAll(spreadMs)
    })
    const connections = this.#traffic.drained(order.lingerMs).then(() => this.#connections.emptied())
    const outcome = await Promise.race([Promise.all([hook, connections]), expired])
    if (this.#deadline) clearTimeout(this.#deadline)
    const cut = outcome === 'expired' ? this.#traffic.cut(this.#names()) : { connections: 0, requests: [] }
    if (cut.connections > 0) await Promise.race([connections, new Promise((resolve) => setTimeout(resolve, CUT_MS))])
    return { connectionsCut: cut.connections, cut: cut.requests, hookUnfinished: !isHookSettled }
  }

  /** Of those that are open; one that has left may have a handler that has not settled. */
  #names(): string[] {
    const open = [...this.#connections].filter(({ state }) => state !== 'closed')
    return open.map((connection) => connection.describe())
  }

  /** Sets the deadline, or a nearer one. */
  hurry(order: DrainOrder): void {
    if (order.timeoutMs === null) return
    const dueAt = performance.now() + order.timeoutMs
    if (dueAt >= this.#dueAt) return
    this.#dueAt = dueAt
    if (this.#deadline) clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.#expire(), order.timeoutMs)
  }

  async #runHook(): Promise<void> {
    try {
      await this.#onWorkerStop()
    } catch (error) {
      console.error('shiftwork: onWorkerStop threw:', error)
    }
  }
}
