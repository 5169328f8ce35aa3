/**
 * The life of a worker process from the start file's `runAll` to its exit: becomes the group that
 * the master forked it for, drops its rights, runs `onWorkerStart`, waits to be admitted, serves,
 * drains. Called by `runAll` in a worker process. Knows its master only by the link.
 */

import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { getHeapStatistics } from 'node:v8'
import { type Protocol, speechOf } from '../address.ts'
import { describeError, ShiftworkError } from '../errors.ts'
import { enter } from '../inside/present.ts'
import { Timers } from '../inside/timers.ts'
import { Upstreams } from '../inside/upstreams.ts'
import { decodeData, provideBroadcast } from '../ipc/broadcast.ts'
import { type MasterMessage, type ReplaceReason, type StopReason, UNASKED, type WorkerStats } from '../ipc/messages.ts'
import type { Figures } from '../ipc/status.ts'
import { dropPrivileges } from '../os/users.ts'
import { waitFor } from '../patience.ts'
import { Branch } from '../protocols/branch.ts'
import { broadcastTo } from '../protocols/broadcast.ts'
import { checkHooks } from '../protocols/callable.ts'
import { Connections } from '../protocols/connections.ts'
import type { Runnable, Subject } from '../protocols/hooks.ts'
import { WebConnections } from '../protocols/http/web-connections.ts'
import { report } from '../protocols/report.ts'
import { missingHandler } from '../protocols/server.ts'
import { checkProperties } from '../protocols/strangers.ts'
import { Traffic } from '../protocols/traffic.ts'
import type { Spec } from '../spec/spec.ts'
import { WORKER_VARIABLE } from '../variables.ts'
import { Broadcaster } from './broadcaster.ts'
import { Drain, type DrainOrder } from './drain.ts'
import { createEndpoint, type Endpoint } from './endpoint.ts'
import { FigureReader } from './figures.ts'
import { Health } from './health.ts'
import { isInspected } from './inspected.ts'
import { watchLimits } from './limits.ts'
import { closeHandle } from './listen.ts'
import { Listings } from './listing.ts'
import type { ParentLink } from './parent.ts'
import { sweepOwn } from './sweep.ts'

/** How long others' requests may take after an uncaught exception. */
const CRASH_DRAIN_MS = 2_000
const CRASH_LINGER_MS = 1_000
/** A master that is alive says `released` in a millisecond; a frozen one is not waited for for long. */
const RELEASE_MS = 5_000

/** Runs the one worker that this process is. Every failure is reported to the master, none is thrown. */
export async function runWorker(
  link: ParentLink,
  workers: ReadonlyMap<string, Runnable>,
  specs: readonly Spec[],
): Promise<void> {
  try {
    const { name } = link.identity
    const worker = workers.get(name)
    const spec = specs.find((candidate) => candidate.name === name)
    if (!worker || !spec)
      throw new ShiftworkError('ERR_START_FILE', `The start file describes no worker "${name}" any more`, {
        hint: 'A reload of everything ends its processes.',
      })
    await new WorkerProcess(link, worker, spec).start()
  } catch (error) {
    link.fail(error)
  }
}

class WorkerProcess {
  readonly #link: ParentLink
  readonly #runnable: Runnable
  readonly #subject: Subject
  readonly #spec: Spec
  readonly #traffic = new Traffic()
  readonly #connections = new Connections()
  /** Those of the worker's own address. */
  readonly #own = new Branch(this.#connections)
  readonly #listings = new Listings(() => this.#traffic.opened())
  readonly #broadcaster: Broadcaster
  readonly #upstreams: Upstreams
  readonly #timers: Timers
  readonly #figures = new FigureReader((sentence) => report(this.#subject, sentence))
  #endpoint: Endpoint | null = null
  #phase: 'starting' | 'prepared' | 'serving' | 'draining' = 'starting'
  #isOrphan = false
  #drain: Drain | null = null
  readonly #health: Health | null
  #stopLimits: () => void = () => undefined
  #onReleased: () => void = () => undefined

  constructor(link: ParentLink, runnable: Runnable, spec: Spec) {
    this.#link = link
    this.#runnable = runnable
    this.#subject = runnable.subject
    this.#spec = spec
    this.#broadcaster = new Broadcaster(link.report)
    provideBroadcast(this.#broadcaster.broadcast)
    this.#health = spec.healthCheck && new Health(runnable, spec.healthCheck)
    this.#upstreams = new Upstreams(runnable.subject)
    this.#timers = new Timers(runnable.subject)
    runnable.subject.id = link.identity.id
    runnable.subject.generation = link.identity.generation
  }

  async start(): Promise<void> {
    this.#link.onOrder((order, handle) => this.#obey(order, handle))
    this.#link.onLost(() => {
      this.#isOrphan = true
      // it will not be said any more
      this.#onReleased()
      this.#broadcaster.lose()
      void this.#leave('orphaned', { timeoutMs: this.#spec.stopTimeoutMs, lingerMs: null })
    })
    // without the mark, nobody knows what this worker starts
    if (!this.#spec.sweepChildren) delete process.env[WORKER_VARIABLE]
    dropPrivileges(this.#spec.user, this.#spec.group)
    this.#traffic.watch()
    this.#connections.onMessage = () => this.#traffic.countRequest()
    enter({
      worker: this.#subject,
      upstreams: this.#upstreams,
      timers: this.#timers,
      branch: (how) => new Branch(this.#connections, how),
      keepListening: (server) => this.#traffic.keepListening(server),
      discount: (server) => this.#traffic.discount(server),
    })
    process.once('exit', () => this.#reportStats(UNASKED))
    const { address } = this.#spec
    if (address) await this.#createEndpoint(address.protocol)
    checkHooks(this.#subject)
    await this.#subject.onWorkerStart?.(this.#subject as never)
    checkHooks(this.#subject)
    checkProperties(this.#spec.name, this.#subject)
    const missing = address && missingHandler(this.#runnable, address.protocol)
    if (missing)
      throw new ShiftworkError('ERR_OPTION', `Worker "${this.#spec.name}" answers nothing`, {
        hint: `Set ${missing}, in onWorkerStart or before runAll().`,
      })
    await this.#health?.prove()
    if (this.#phase !== 'starting') return
    this.#phase = 'prepared'
    this.#link.onCrash = (error) => this.#crash(error)
    this.#link.onTerminate = () => this.#askReplacement('signal', null)
    this.#link.report({ type: 'prepared' })
  }

  async #createEndpoint(protocol: Protocol): Promise<void> {
    const { subject, limits } = this.#runnable
    const owner = { protocol, worker: subject, hooks: subject, limits, connections: this.#own }
    this.#endpoint = await createEndpoint({
      runnable: this.#runnable,
      scheme: protocol,
      owner,
      traffic: this.#traffic,
      backlog: this.#spec.backlog,
      report: (message) => this.#link.report(message),
    })
    const { server } = this.#endpoint
    subject.connections =
      speechOf(protocol) === 'http' && server
        ? new WebConnections(owner, () => this.#traffic.opened(server))
        : this.#own
  }

  readonly #askReplacement = (why: ReplaceReason, detail: string | null): void => {
    this.#link.report({ type: 'replace', why, detail })
  }

  // ---- orders ------------------------------------------------------------------------------------------------------

  #obey(order: MasterMessage, handle: unknown): void {
    switch (order.type) {
      case 'serve':
        this.#serve(handle).catch((error: unknown) => this.#link.fail(error))
        return
      case 'drain':
        void this.#leave(order.reason, order)
        return
      case 'lead':
        this.#lead()
        return
      case 'released':
        this.#onReleased()
        return
      case 'reloaded':
        void this.#callHook('onWorkerReload', () => this.#subject.onWorkerReload?.(this.#subject as never))
        return
      case 'stats':
        this.#reportStats(order.question)
        return
      case 'list': {
        const page = this.#listings.page(order.list, order)
        this.#link.report({ type: 'listed', question: order.question, page })
        return
      }
      case 'deliver': {
        const connections = broadcastTo(this.#own, decodeData(order.data))
        this.#link.report({ type: 'delivered', question: order.question, connections })
        return
      }
      case 'broadcasted':
        this.#broadcaster.told(order.question, order.result)
        return
      case 'ping':
        this.#showLife()
        return
    }
  }

  async #serve(handle: unknown): Promise<void> {
    if (this.#endpoint && this.#phase === 'serving') return this.#endpoint.resume(handle)
    if (this.#phase !== 'prepared') return closeHandle(handle)
    await this.#endpoint?.serve(handle)
    if (this.#phase !== 'prepared') return
    this.#phase = 'serving'
    this.#link.onServing?.()
    this.#showLife()
    this.#link.report({ type: 'serving' })
    this.#health?.watch((detail) => this.#askReplacement('unhealthy', detail))
    this.#stopLimits = watchLimits(this.#spec, this.#traffic, this.#askReplacement)
    this.#endpoint?.watch()
    void this.#callHook('onWorkerServing', () => this.#subject.onWorkerServing?.(this.#subject as never))
  }

  #lead(): void {
    if (this.#phase !== 'serving') return
    this.#subject.isLeader = true
    void this.#callHook('onLeader', () => this.#subject.onLeader?.(this.#subject as never))
  }

  async #callHook(name: string, hook: () => unknown): Promise<void> {
    try {
      await hook()
    } catch (error) {
      report(this.#subject, `${name} threw: ${describeError(error).stack}`)
    }
  }

  #showLife(): void {
    this.#link.report({ type: 'pong', isDebugged: isInspected() })
  }

  #reportStats(question: number): void {
    this.#link.report({ type: 'stats', question, stats: this.#stats(question) })
  }

  #stats(question: number): WorkerStats {
    const { user, system } = process.cpuUsage()
    const { active, idle } = performance.eventLoopUtilization()
    return {
      connections: this.#traffic.connections,
      requests: this.#traffic.requests,
      // `process.memoryUsage` opens a file, and there may be no descriptor left
      heapUsedBytes: getHeapStatistics().used_heap_size,
      cpuMs: (user + system) / 1000,
      loopActiveMs: active,
      loopIdleMs: idle,
      figures: question === UNASKED ? null : this.#readFigures(),
    }
  }

  /** Before `onWorkerStart` has settled, what the hook stands on may not be there. */
  #readFigures(): Figures | null {
    const { onStatus } = this.#subject
    if (!onStatus || this.#phase === 'starting') return null
    return this.#figures.read(() => onStatus.call(this.#subject, this.#subject as never))
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  #crash(error: unknown): void {
    const failure = describeError(error)
    report(this.#subject, `uncaught, this worker finishes what it has and leaves: ${failure.stack}`)
    if (this.#phase === 'draining') return
    // resigned before the master hears of it: it may name another leader at once
    this.#subject.isLeader = false
    const timeoutMs = Math.min(CRASH_DRAIN_MS, this.#spec.stopTimeoutMs)
    this.#link.report({ type: 'leaving', failure, timeoutMs })
    void this.#leave('crash', { timeoutMs, lingerMs: CRASH_LINGER_MS })
  }

  async #leave(reason: StopReason, order: DrainOrder): Promise<void> {
    if (this.#phase === 'draining') {
      this.#drain?.hurry(order)
      return
    }
    const wasStarting = this.#phase === 'starting'
    this.#phase = 'draining'
    this.#health?.stop()
    this.#stopLimits()
    this.#endpoint?.stop(reason)
    this.#subject.isLeader = false
    this.#timers.stop()
    this.#upstreams.stopTrying()
    this.#traffic.stopListening()
    const released = this.#released()
    void this.#resign()
    if (wasStarting) {
      this.#exit(0)
      return
    }
    this.#drain = new Drain({
      traffic: this.#traffic,
      connections: this.#connections,
      begun: [...(this.#endpoint?.begun ?? []), this.#timers],
      upstreams: this.#upstreams,
      onWorkerStop: () => this.#subject.onWorkerStop?.(this.#subject as never, reason),
    })
    const report = await this.#drain.run(order)
    if (reason !== 'orphaned') await released
    this.#reportStats(UNASKED)
    this.#link.report({ type: 'drained', report }, () => this.#exit(reason === 'crash' ? 1 : 0))
  }

  /** Nobody may lead while a tick of this leader runs; one that is never done ends with this process. */
  async #resign(): Promise<void> {
    await this.#timers.leaderDone()
    this.#link.report({ type: 'resigned' })
  }

  /**
   * A server of user code gets its connections from the master, over the channel that our messages
   * take, too: once the master has answered, none is under way that would die with this process.
   */
  #released(): Promise<void> {
    return new Promise((resolve) => {
      const endWait = waitFor(RELEASE_MS, resolve)
      this.#onReleased = () => {
        endWait()
        resolve()
      }
      this.#link.report({ type: 'draining' })
    })
  }

  /** What sockets still have to say is with the kernel by now; a last turn of the loop for what is not. */
  #exit(code: number): void {
    const swept = this.#isOrphan && this.#spec.sweepChildren ? sweepOwn(this.#link.mark) : delay(0)
    void swept.finally(() => process.exit(code))
  }
}
