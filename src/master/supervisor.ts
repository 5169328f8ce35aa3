/**
 * The master's one loop: a report, a request or a timer changes the fleet, the policy says what to
 * do, this file does it. It owns the processes and the listeners; it decides nothing. Whoever wants
 * to know (log, progress of an operation, hooks) listens to its notices.
 */
import { performance } from 'node:perf_hooks'
import { UNASKED, type WorkerMessage } from '../ipc/messages.ts'
import type { ReloadSummary, Scaled } from '../ipc/status.ts'
import { debug } from '../log.ts'
import { MAX_TIMER_MS, type Spec } from '../spec/spec.ts'
import { Broadcasts } from './broadcasts.ts'
import { Heartbeat } from './heartbeat.ts'
import type { Listener } from './listeners.ts'
import { Listing } from './listing.ts'
import type { Notice } from './notices.ts'
import type { Action } from './policy/actions.ts'
import { apply, type FleetEvent } from './policy/events.ts'
import { type Child, type Conditions, createFleet, type Fleet, variantOf } from './policy/fleet.ts'
import type { ReloadRequest, ScaleRequest } from './policy/operations.ts'
import { nextWakeAt, reconcile } from './policy/reconcile.ts'
import { Preparations } from './preparations.ts'
import { Questions, type StatsAnswer } from './questions.ts'
import { type Launcher, type Process, spawnProcess } from './spawn.ts'
import { Sweeper } from './sweep.ts'

export interface SupervisorOptions {
  specs: Spec[]
  conditions: Conditions
  /** What is bound, by key; the supervisor adds to it and takes away. */
  listeners: Map<string, Listener>
  launcher: Launcher
  onNotice: (notice: Notice) => void
}

export class Supervisor {
  readonly fleet: Fleet
  readonly listeners: ReadonlyMap<string, Listener>
  readonly preparations: Preparations
  readonly listing = new Listing((child, message) => this.#processes.get(child.key)?.send(message))
  readonly broadcasts: Broadcasts
  readonly #launcher: Launcher
  readonly #notify: (notice: Notice) => void
  readonly #processes = new Map<number, Process>()
  readonly #reloadAskers = new Map<number, (summary: ReloadSummary) => void>()
  readonly #scaleAskers = new Map<number, (summary: Scaled) => void>()
  readonly #questions = new Questions()
  readonly #heartbeat: Heartbeat
  readonly #sweeper = new Sweeper()
  #nextId = 1
  #decidedAt = 0
  /** What had come by then was read. */
  #heardAt = 0
  #isHearing = false
  #timer: NodeJS.Timeout | null = null
  #isRunning = false
  #isStopped = false

  constructor(options: SupervisorOptions) {
    this.fleet = createFleet(options.specs, options.conditions)
    this.listeners = options.listeners
    this.#launcher = options.launcher
    this.#notify = options.onNotice
    this.broadcasts = new Broadcasts(this.fleet, {
      isThere: ({ key }) => this.#processes.has(key),
      send: ({ key }, message) => this.#processes.get(key)?.send(message),
    })
    this.#heartbeat = new Heartbeat({
      fleet: this.fleet,
      ask: (key) => this.#processes.get(key)?.send({ type: 'ping' }),
      onEvent: (event) => this.#dispatch(event),
    })
    this.preparations = new Preparations({
      ...options,
      settings: options.conditions.settings,
      sweeper: this.#sweeper,
      onEvent: (event) => this.#dispatch(event),
    })
  }

  start(): void {
    this.#run()
  }

  /** Asks for a reload. @param onAnswer called once, when it is over, or when as much of it as was waited for. */
  reload(request: Omit<ReloadRequest, 'kind' | 'id'>, onAnswer: (summary: ReloadSummary) => void): void {
    const id = this.#nextId++
    this.#reloadAskers.set(id, onAnswer)
    this.#dispatch({ type: 'request', request: { kind: 'reload', id, ...request } })
  }

  /** Asks for other numbers of workers. @param onAnswer called once, when it is over. */
  scale(to: ScaleRequest['to'], onAnswer: (summary: Scaled) => void): void {
    const id = this.#nextId++
    this.#scaleAskers.set(id, onAnswer)
    this.#dispatch({ type: 'request', request: { kind: 'scale', id, to } })
  }

  /** Asks everything to end; a later call may add `force`. The notice `stopped` tells the end. */
  stop(how: { graceful: boolean; timeoutMs: number | null; force: boolean }): void {
    if (!this.fleet.stopping) this.#notify({ type: 'stopping' })
    this.preparations.endReaders()
    this.#dispatch({ type: 'stop', ...how })
  }

  /** Asks every living worker for its numbers; one that does not answer in time is missing. */
  askStats(timeoutMs: number): Promise<Map<number, StatsAnswer>> {
    return this.#questions.ask(this.#processes, timeoutMs)
  }

  startedAtOf(child: Child): Date | null {
    return this.#processes.get(child.key)?.startedAt ?? null
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
    return reconcile(this.fleet, this.#decidedAt, this.#heardAt)
  }

  #setTimer(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#isStopped) return
    this.#heartbeat.adjust()
    // what came due since the last look has not been looked at
    const wakeAt = nextWakeAt(this.fleet, this.#decidedAt)
    if (wakeAt === null) return
    if (wakeAt <= this.#decidedAt) {
      this.#hear()
      return
    }
    const waitMs = Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(wakeAt - performance.now())))
    const dueAt = performance.now() + waitMs
    this.#timer = setTimeout(() => {
      this.#heartbeat.noteWake(dueAt)
      this.#hear()
    }, waitMs)
  }

  /** Reads what has come by now, then decides: who was stalled itself must not take that for others' silence. */
  #hear(): void {
    if (this.#isHearing) return
    this.#isHearing = true
    const at = performance.now()
    const decide = (): void => {
      this.#isHearing = false
      this.#heardAt = at
      this.#run()
    }
    // the first ends the reading that is under way, what came since its beginning is read between the two
    setImmediate(() => setImmediate(decide))
  }

  #act(action: Action): void {
    debug('action %s %s', action.do, 'child' in action ? `${action.child.name}/${action.child.id}` : '')
    switch (action.do) {
      case 'spawn':
        this.#spawn(action.child, action.spec)
        return
      case 'serve':
        this.#serve(action.child, action.listener)
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
      case 'hung':
        this.#tell('failed', action.child, action.child.failure?.message ?? null)
        return
      case 'lead':
        this.#processes.get(action.child.key)?.send({ type: 'lead' })
        this.#notify({ type: 'leader', child: action.child })
        return
      case 'bind':
      case 'close-listener':
      case 'open-gate':
      case 'end-gate':
      case 'read-start-file':
        this.preparations.act(action)
        return
      case 'started':
        this.#notify({ type: 'started' })
        return
      case 'start-failed':
        this.#notify({ type: 'start-failed', failure: this.fleet.startFailure, isWaiting: this.fleet.isDormant })
        return
      case 'reload-began':
        this.#notify({ type: 'reload-began', groups: action.groups })
        return
      case 'reload-served':
        this.#tellKept(action.groups)
        return
      case 'answer':
        this.#answer(action)
        return
      case 'answer-scale':
        this.#notify({ type: 'scale-ended', summary: action.summary })
        for (const id of action.ids) this.#scaleAskers.get(id)?.(action.summary)
        for (const id of action.ids) this.#scaleAskers.delete(id)
        return
      case 'stopped':
        this.#isStopped = true
        this.#heartbeat.end()
        // nobody is told before what the workers had started is gone, too
        this.preparations.endReaders()
        void this.preparations
          .readersEnd()
          .then(() => this.#sweeper.idle())
          .then(() => this.#notify({ type: 'stopped' }))
        return
    }
  }

  #serve(child: Child, key: string | null): void {
    const listener = key === null ? undefined : this.listeners.get(key)
    this.#processes.get(child.key)?.send({ type: 'serve' }, listener?.handle)
  }

  /** One that gave its copy of the handle back, and drains meanwhile, needs it no more. */
  #serveAgain(child: Child): void {
    const group = this.fleet.groups.get(child.name)
    if (group && child.state === 'serving') this.#serve(child, variantOf(group, child.generation).listener)
  }

  #spawn(child: Child, spec: Spec): void {
    const { key, name, id, generation, attempt } = child
    const who = { key, name, id, generation, attempt, env: spec.env }
    const process = spawnProcess(this.#launcher, who, {
      onMessage: (message) => this.#receive(child, message),
      onExit: (code, signal) => this.#exited(child, code, signal),
      onParted: () => this.#parted(child, spec),
    })
    child.pid = process.pid
    this.#processes.set(child.key, process)
    this.#tell('spawned', child, null)
  }

  #parted(child: Child, { stopTimeoutMs }: Spec): void {
    const message = 'it has closed its channel to the master, by process.disconnect() or the like'
    const failure = { message, stack: message }
    this.#dispatch({ type: 'parted', key: child.key, failure, timeoutMs: stopTimeoutMs }, () => {
      if (child.failure !== null) this.#tell('failed', child, message)
    })
  }

  #tellKept(reloaded: readonly string[]): void {
    for (const child of this.fleet.children.values()) {
      const isKept = !reloaded.includes(child.name) && this.fleet.groups.get(child.name)?.isLeaving === false
      if (isKept && child.state === 'serving') this.#processes.get(child.key)?.send({ type: 'reloaded' })
    }
  }

  #answer({ ids, summary, completeness }: Extract<Action, { do: 'answer' }>): void {
    if (completeness !== 'partial') this.#notify({ type: 'reload-ended', summary, isLatest: completeness === 'whole' })
    for (const id of ids) {
      this.#reloadAskers.get(id)?.(summary)
      this.#reloadAskers.delete(id)
    }
  }

  // ---- reports -----------------------------------------------------------------------------------------------------

  #receive(child: Child, message: WorkerMessage): void {
    const { key } = child
    switch (message.type) {
      case 'stats':
        this.#notify({ type: 'stats', child, stats: message.stats })
        this.#questions.answer(key, message.question, message.stats)
        if (message.question === UNASKED) child.openAtEnd = message.stats.connections
        return
      case 'listed':
        this.listing.answer(message.question, message.page)
        return
      case 'broadcast':
        void this.broadcasts.broadcast(message.group, message.data).then((result) => {
          this.#processes.get(key)?.send({ type: 'broadcasted', question: message.question, result })
        })
        return
      case 'delivered':
        this.broadcasts.delivered(key, message.question, message.connections)
        return
      case 'exiting':
        this.#dispatch({ type: 'output', key, text: message.output })
        return
      case 'output':
        child.output = message.text
        return
      case 'draining':
        this.#processes.get(key)?.send({ type: 'released' })
        return
      case 'prepared':
      case 'serving':
        this.#dispatch({ ...message, key }, () => this.#tell(message.type, child, null))
        return
      case 'failed':
      case 'leaving':
        this.#dispatch({ ...message, key }, () => {
          // one that is not wanted any more may say what it likes
          if (child.failure !== null) this.#tell('failed', child, message.failure.message)
        })
        return
      case 'replace': {
        const before = child.replaceWanted
        this.#dispatch({ ...message, key }, () => {
          if (child.replaceWanted !== before) this.#notify({ ...message, child })
        })
        return
      }
      case 'pong':
        // most of them change nothing that anything is to be decided on
        if (child.state === 'hung') this.#dispatch({ type: 'alive', key, isDebugged: message.isDebugged })
        else apply(this.fleet, { type: 'alive', key, isDebugged: message.isDebugged }, performance.now())
        return
      case 'full':
      case 'roomy': {
        const { type, use, isNews } = message
        this.#dispatch({ type: 'full', key, use: type === 'full' ? use : null }, () => {
          if (isNews) this.#notify({ type: 'descriptors', child, what: type, use })
        })
        if (type === 'roomy') this.#serveAgain(child)
        return
      }
      case 'loaded':
      case 'resigned':
      case 'drained':
        this.#dispatch({ ...message, key })
        return
    }
  }

  #exited(child: Child, code: number | null, signal: string | null): void {
    const mark = this.#processes.get(child.key)?.mark
    this.#processes.delete(child.key)
    this.#questions.forget(child.key)
    this.listing.forget(child.key)
    this.broadcasts.forget(child.key)
    const at = new Date().toISOString()
    const wasAsked = child.drainReason !== null
    this.#notify({ type: 'left', child, code, signal })
    if (mark !== undefined && child.pid > 0)
      this.#sweeper.sweep(mark, (ended) => this.#notify({ type: 'swept', child, ended }))
    this.#dispatch({ type: 'exit', key: child.key, code, signal, chance: Math.random(), at }, () => {
      if (!wasAsked) this.#tell('failed', child, child.failure?.message ?? null)
    })
  }

  #tell(what: Extract<Notice, { type: 'child' }>['what'], child: Child, detail: string | null): void {
    this.#notify({ type: 'child', what, child, detail })
  }
}
