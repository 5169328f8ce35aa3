/**
 * How a worker leaves: accept nothing new, let `onWorkerStop` run, finish what was begun, cut what
 * is left at the deadline, say so, exit. The one way out for reload, stop, crash and a lost master.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { describeError } from '../errors.ts'
import type { Upstreams } from '../inside/upstreams.ts'
import type { DrainReport } from '../ipc/messages.ts'
import { waitFor } from '../patience.ts'
import type { Connections } from '../protocols/connections.ts'
import { type CutReport, MAX_NAMED, type Traffic } from '../protocols/traffic.ts'

export interface DrainOrder {
  /** null: no deadline. */
  timeoutMs: number | null
  /** How long an idle connection may stay; null: as long as its server lets it. */
  lingerMs: number | null
}

/** Something that has begun what a worker finishes before it leaves. */
export interface Drainable {
  /** Resolves when nothing is open any more. */
  drained(): Promise<void>
  /** Closes by force what is open, and says what it was. */
  cut(): CutReport
}

export interface DrainOptions {
  traffic: Traffic
  connections: Connections
  /** What is open beside the connections that `traffic` sees. */
  begun: readonly Drainable[]
  /** What all of that may need: closed when it is done. */
  upstreams: Upstreams
  onWorkerStop: () => unknown
}

/** Cut sockets need a moment to close before the process ends. */
const CUT_MS = 100
/** WebSockets are told to come back over at most so long, and no longer than half of what the drain may take. */
const MAX_SPREAD_MS = 5_000

export class Drain {
  readonly #options: DrainOptions
  /** All that must be done first. */
  readonly #begun: readonly Drainable[]
  #endWait: () => void = () => undefined
  #dueAt = Number.POSITIVE_INFINITY
  #expire: () => void = () => undefined

  constructor(options: DrainOptions) {
    this.#options = options
    this.#begun = [options.traffic, ...options.begun]
  }

  /** Runs once; a later order only brings the deadline nearer, and the end of idle connections. */
  async run(order: DrainOrder): Promise<DrainReport> {
    const expired = new Promise<'expired'>((resolve) => {
      this.#expire = () => resolve('expired')
    })
    this.hurry(order)
    let isHookSettled = false
    let hookError: string | null = null
    const hook = this.#runHook().then((error) => {
      isHookSettled = true
      hookError = error
    })
    const spreadMs = Math.min(MAX_SPREAD_MS, (order.timeoutMs ?? Number.POSITIVE_INFINITY) / 2)
    // user code that parts with its clients in the hook comes first, but it may never settle
    void Promise.race([hook, delay(spreadMs)]).then(() => {
      this.#options.traffic.partWithUpgraded(spreadMs)
      this.#options.connections.partWithAll(spreadMs)
    })
    void hook.then(() => {
      this.#options.traffic.stopListeningLast()
      this.#options.connections.partWithLast()
    })
    const drained = Promise.all(this.#begun.map((begun) => begun.drained())).then(() =>
      this.#options.connections.emptied(),
    )
    const done = Promise.all([hook, drained])
      .then(() => this.#emptied())
      .then(() => this.#options.upstreams.partWithAll())
    const outcome = await Promise.race([done, expired])
    this.#endWait()
    const cut = outcome === 'expired' ? this.#cut() : { connections: 0, requests: [] }
    if (cut.connections > 0) await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, CUT_MS))])
    return { connectionsCut: cut.connections, cut: cut.requests, hookUnfinished: !isHookSettled, hookError }
  }

  /** Of what came while the hook ran, to a listener that was kept for it. */
  async #emptied(): Promise<void> {
    await this.#options.traffic.drained()
    await this.#options.connections.emptied()
  }

  #cut(): CutReport {
    // what they had begun is known only before they are closed
    const named = this.#options.connections.unfinished(MAX_NAMED)
    const cuts = this.#begun.map((begun) => begun.cut())
    this.#options.upstreams.cut()
    const connections = cuts.reduce((sum, cut) => sum + cut.connections, 0)
    return { connections, requests: [...cuts.flatMap((cut) => cut.requests), ...named].slice(0, MAX_NAMED) }
  }

  /** Sets the deadline, or a nearer one. */
  hurry(order: DrainOrder): void {
    if (order.lingerMs !== null) this.#options.traffic.endIdleWithin(order.lingerMs)
    if (order.timeoutMs === null) return
    const dueAt = performance.now() + order.timeoutMs
    if (dueAt >= this.#dueAt) return
    this.#dueAt = dueAt
    this.#endWait()
    // what has ended while this process was blocked is not cut
    this.#endWait = waitFor(order.timeoutMs, () => this.#expire())
  }

  /** @returns what it threw. The master hears the message, whoever is to mend it needs the stack. */
  async #runHook(): Promise<string | null> {
    try {
      await this.#options.onWorkerStop()
      return null
    } catch (error) {
      console.error('shiftwork: onWorkerStop threw:', error)
      return describeError(error).message
    }
  }
}
