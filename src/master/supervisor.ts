/**
 * The master's one loop: a report, a request or a timer changes the fleet, the policy says what to
 * do, this file does it. It owns the processes and the listeners; it decides nothing. Whoever wants
 * to know (log, progress of a reload, hooks) listens to its notices.
 */
import { performance } from 'node:perf_hooks'
import type { WorkerMessage, WorkerStats } from '../ipc/messages.ts'
import type { ReloadFailure, ReloadSummary } from '../ipc/status.ts'
import { debug } from '../log.ts'
import type { Spec } from '../spec/spec.ts'
import type { Action } from './actions.ts'
import { apply, type FleetEvent } from './events.ts'
import { type Child, createFleet, type Fleet } from './fleet.ts'
import type { Listener } from './listeners.ts'
import { nextWakeAt, reconcile } from './reconcile.ts'
import { type Launcher, type Process, spawnProcess } from './spawn.ts'

/** What happens, as it happens, for people and programs that watch. */
export type Notice =
  | {
      type: 'child'
      what: 'spawned' | 'prepared' | 'serving' | 'draining' | 'failed'
      child: Child
      detail: string | null
    }
  /** A worker's numbers, asked for or its last. */
  | { type: 'stats'; child: Child; stats: WorkerStats }
  | { type: 'left'; child: Child; code: number | null; signal: string | null }
  | { type: 'kill'; child: Child; why: string }
  | { type: 'leader'; child: Child }
  | { type: 'started' }
  | { type: 'start-failed'; failure: ReloadFailure | null }
  | { type: 'reload-began'; groups: string[] }
  | { type: 'reload-ended'; summary: ReloadSummary }
  | { type: 'stopping' }
  | { type: 'stopped' }

export interface SupervisorOptions {
  specs: Spec[]
  version: string
  listeners: ReadonlyMap<string, Listener>
  launcher: Launcher
  onNotice: (notice: Notice) => void
}

interface StatsQuestion {
  waiting: Set<number>
  answers: Map<number, { stats: WorkerStats; tookMs: number }>
  askedAt: number
  done: () => void
}

export class Supervisor {
  readonly fleet: Fleet
  readonly #listeners: Map<string, Listener>
  readonly #launcher: Launcher
  readonly #notify: (notice: Notice) => void
  readonly #processes = new Map<number, Process>()
  readonly #askers = new Map<number, (summary: ReloadSummary) => void>()
  readonly #questions = new Map<number, StatsQuestion>()
  #nextId = 1
  #decidedAt = 0
  #timer: NodeJS.Timeout | null = null
  #isRunning = false
  #isStopped = false

  constructor(options: SupervisorOptions) {
    this.fleet = createFleet(options.specs, options.version)
    this.#listeners = new Map(options.listeners)
    this.#launcher = options.launcher
    this.#notify = options.onNotice
  }

  start(): void {
    this.#run()
  }

  /** Asks for a reload. @param onAnswer called once, when it is over. */
  reload(
    request: { groups: string[] | null; graceful: boolean; timeoutMs: number | null },
    onAnswer: (summary: ReloadSummary) => void,
  ): void {
    const id = this.#nextId++
    this.#askers.set(id, onAnswer)
    this.#dispatch({ type: 'reload', request: { id, ...request } })
  }

  /** Asks everything to end; a later call may add `force`. The notice `stopped` tells the end. */
  stop(how: { graceful: boolean; timeoutMs: number | null; force: boolean }): void {
    if (!this.fleet.stopping) this.#notify({ type: 'stopping' })
    this.#dispatch({ type: 'stop', ...how })
  }

  /** Asks every living worker for its numbers; one that does not answer in time is missing. */
  askStats(timeoutMs: number): Promise<Map<number, { stats: WorkerStats; tookMs: number }>> {
    return new Promise((resolve) => {
      const id = this.#nextId++
      const timer = setTimeout(() => question.done(), timeoutMs)
      const question: StatsQuestion = {
        waiting: new Set(this.#processes.keys()),
        answers: new Map(),
        askedAt: performance.now(),
        done: () => {
          clearTimeout(timer)
          this.#questions.delete(id)
          resolve(question.answers)
        },
      }
      this.#questions.set(id, question)
      for (const process of this.#processes.values()) process.send({ type: 'stats', question: id })
      if (question.waiting.size === 0) question.done()
    })
  }

  // ---- the loop ----------------------------------------------------------------------------------------------------

  /** @param told is called with the event applied, and before anything is decided on it: the log tells causes first. */
  #dispatch(event: FleetEvent, told: (() => void) | null = null): void {
    debug('event %o', event)
    apply(this.fleet, event, performance.now())
    told?.()
    this.#run()
  }

  /** Actions may bring events at once (a fork that fails): they are applied, and decided on in the next round. */
  #run(): void {
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    try {
      for (let actions = this.#decide(); actions.length > 0; actions = this.#decide())
        for (const action of actions) this.#act(action)
    } finally {
      this.#isRunning = false
      this.#setTimer()
    }
  }

  #decide(): Action[] {
    if (this.#isStopped) return []
    this.#decidedAt = performance.now()
    return reconcile(this.fleet, this.#decidedAt)
  }

  #setTimer(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#isStopped) return
    // what came due since the last look has not been looked at
    const wakeAt = nextWakeAt(this.fleet, this.#decidedAt)
    if (wakeAt === null) return
    this.#timer = setTimeout(() => this.#run(), Math.max(1, Math.ceil(wakeAt - performance.now())))
  }

  #act(action: Action): void {
    debug('action %s %s', action.do, 'child' in action ? `${action.child.name}/${action.child.id}` : '')
    switch (action.do) {
      case 'spawn':
        this.#spawn(action.child, action.spec)
        return
      case 'serve':
        this.#processes.get(action.child.key)?.send({ type: 'serve' }, this.#listeners.get(action.child.name)?.handle)
        return
      case 'drain': {
        const { reason, timeoutMs, lingerMs } = action
        this.#processes.get(action.child.key)?.send({ type: 'drain', reason, timeoutMs, lingerMs })
        this.#tell('draining', action.child, reason)
        return
      }
      case 'kill':
        this.#notify({ type: 'kill', child: action.child, why: action.why })
        this.#processes.get(action.child.key)?.kill()
        return
      case 'lead':
        this.#processes.get(action.child.key)?.send({ type: 'lead' })
        this.#notify({ type: 'leader', child: action.child })
        return
      case 'close-listener':
        this.#listeners.get(action.name)?.close()
        this.#listeners.delete(action.name)
        return
      case 'started':
        this.#notify({ type: 'started' })
        return
      case 'start-failed':
        this.#notify({ type: 'start-failed', failure: this.fleet.startFailure })
        return
      case 'reload-began':
        this.#notify({ type: 'reload-began', groups: action.groups })
        return
      case 'reload-served':
        this.#tellKept(action.groups)
        return
      case 'answer':
        this.#answer(action.ids, action.summary)
        return
      case 'stopped':
        this.#isStopped = true
        this.#notify({ type: 'stopped' })
        return
    }
  }

  #spawn(child: Child, spec: Spec): void {
    const { name, id, generation, attempt } = child
    const who = { name, id, generation, attempt, env: spec.env }
    const process = spawnProcess(this.#launcher, who, {
      onMessage: (message) => this.#receive(child, message),
      onExit: (code, signal) => this.#exited(child, code, signal),
    })
    child.pid = process.pid
    this.#processes.set(child.key, process)
    this.#tell('spawned', child, null)
  }

  #tellKept(reloaded: readonly string[]): void {
    for (const child of this.fleet.children.values())
      if (child.state === 'serving' && !reloaded.includes(child.name))
        this.#processes.get(child.key)?.send({ type: 'reloaded' })
  }

  #answer(ids: readonly number[], summary: ReloadSummary): void {
    this.#notify({ type: 'reload-ended', summary })
    for (const id of ids) {
      this.#askers.get(id)?.(summary)
      this.#askers.delete(id)
    }
  }

  // ---- reports -----------------------------------------------------------------------------------------------------

  #receive(child: Child, message: WorkerMessage): void {
    const { key } = child
    switch (message.type) {
      case 'stats':
        this.#notify({ type: 'stats', child, stats: message.stats })
        this.#noteStats(key, message.question, message.stats)
        return
      case 'exiting':
        this.#dispatch({ type: 'output', key, text: message.output })
        return
      case 'output':
        child.output = message.text
        return
      case 'draining':
        this.#processes.get(key)?.send({ type: 'released' })
        this.#dispatch({ type: 'resigned', key })
        return
      case 'prepared':
      case 'serving':
        this.#dispatch({ ...message, key }, () => this.#tell(message.type, child, null))
        return
      case 'failed':
      case 'leaving':
        this.#dispatch({ ...message, key }, () => this.#tell('failed', child, message.failure.message))
        return
      case 'loaded':
      case 'replace':
      case 'drained':
        this.#dispatch({ ...message, key })
        return
    }
  }

  #noteStats(key: number, id: number, stats: WorkerStats): void {
    const question = this.#questions.get(id)
    if (!question?.waiting.delete(key)) return
    question.answers.set(key, { stats, tookMs: performance.now() - question.askedAt })
    if (question.waiting.size === 0) question.done()
  }

  #exited(child: Child, code: number | null, signal: string | null): void {
    this.#processes.delete(child.key)
    for (const question of this.#questions.values())
      if (question.waiting.delete(child.key) && question.waiting.size === 0) question.done()
    const at = new Date().toISOString()
    const wasAsked = child.drainReason !== null
    this.#notify({ type: 'left', child, code, signal })
    this.#dispatch({ type: 'exit', key: child.key, code, signal, chance: Math.random(), at }, () => {
      if (!wasAsked) this.#tell('failed', child, child.failure?.message ?? null)
    })
  }

  #tell(what: Extract<Notice, { type: 'child' }>['what'], child: Child, detail: string | null): void {
    this.#notify({ type: 'child', what, child, detail })
  }
}
