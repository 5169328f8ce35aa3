/**
 * A master's policy in a world of its own: a clock that is set, workers that are simulated, code on
 * disk that is good or bad. It does what `reconcile` wants, as the supervisor would, and shows
 * everything to an inspector. The same seed gives the same world.
 */

import type { Action } from '../../src/master/policy/actions.ts'
import { apply, type FleetEvent } from '../../src/master/policy/events.ts'
import { type Conditions, createFleet, type Fleet } from '../../src/master/policy/fleet.ts'
import { isWatched } from '../../src/master/policy/hang.ts'
import { PLAIN_RELOAD, type ReloadRequest, type ScaleRequest } from '../../src/master/policy/operations.ts'
import { nextWakeAt, reconcile } from '../../src/master/policy/reconcile.ts'
import type { Spec } from '../../src/spec/spec.ts'
import { Inspector } from './inspector.ts'
import type { Random } from './random.ts'
import { SimWorker } from './simworker.ts'
import { CONDITIONS, SETTINGS } from './specs.ts'

export const BAD_KINDS = ['throws', 'exits', 'hangs', 'waits', 'dies-in-bake', 'cannot-listen', 'dies-later'] as const
export type BadKind = (typeof BAD_KINDS)[number]

/** What lies on disk: each worker loads what is there when it boots. */
export interface Code {
  readonly version: number
  readonly kind: 'good' | BadKind
  readonly specs: Spec[]
}

interface Scheduled {
  readonly at: number
  readonly run: () => void
}

const TRACE_LINES = 60
export const BEAT_MS = 1_000

export class World {
  now = 0
  code: Code
  readonly random: Random
  readonly fleet: Fleet
  /** Every worker that ever was, by its child's key. */
  readonly workers = new Map<number, SimWorker>()
  readonly inspector: Inspector
  /** How often a fork fails. */
  forkFailures = 0
  /** Addresses that somebody else has. */
  readonly taken = new Set<string>()
  /** How often the command before a reload fails. */
  gateFailures = 0
  readonly #trace: string[] = []
  readonly #queue: Scheduled[] = []
  /** When the master wants to look again, and when its timer, a little late, lets it. */
  #wakeAt = Number.POSITIVE_INFINITY
  #timerAt = Number.POSITIVE_INFINITY
  #nextPid = 100
  #nextRequest = 1

  constructor(random: Random, specs: Spec[], conditions: Conditions = CONDITIONS) {
    this.random = random
    this.code = { version: 1, kind: 'good', specs }
    this.fleet = createFleet(specs, conditions)
    this.inspector = new Inspector(this)
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  schedule(at: number, run: () => void): void {
    let index = this.#queue.length
    while (index > 0 && (this.#queue[index - 1]?.at ?? 0) > at) index--
    this.#queue.splice(index, 0, { at, run })
  }

  /** Lets the next thing happen, if it is due by then: a message, an exit, or the master's timer. */
  step(until: number): boolean {
    const [next] = this.#queue
    const timerAt = this.#timerAt
    const at = Math.min(next?.at ?? Number.POSITIVE_INFINITY, timerAt)
    if (at > until) {
      this.now = Math.max(this.now, until)
      return false
    }
    this.#lookTooEarly(Math.min(at, this.#wakeAt))
    this.now = Math.max(this.now, at)
    if (next && next.at <= timerAt) {
      this.#queue.shift()
      next.run()
    } else {
      this.note('timer')
      this.run()
    }
    this.inspector.afterStep()
    return true
  }

  /** Lets all happen that is due in the next `ms`. */
  pass(ms: number): void {
    const until = this.now + ms
    while (this.step(until));
  }

  /** Lets everything happen until nothing is to come. @throws when that takes more than `ms`. */
  settle(ms: number): void {
    const until = this.now + ms
    while (this.step(until));
    if (this.#queue.length > 0) throw this.wrong(`not at rest after ${ms} ms`)
  }

  /** Between two events nothing is due: a look before the timer must find nothing to do. */
  #lookTooEarly(before: number): void {
    if (before <= this.now || !this.random.chance(0.05)) return
    this.now += (before - this.now) * this.random.next()
    const actions = reconcile(this.fleet, this.now)
    if (actions.length > 0) throw this.wrong(`due without an event or a timer: ${actions.map(actionText).join(', ')}`)
  }

  // ---- the master --------------------------------------------------------------------------------------------------

  start(): void {
    this.run()
  }

  dispatch(event: FleetEvent): void {
    this.note(eventText(event))
    this.inspector.beforeEvent(event)
    apply(this.fleet, event, this.now)
    this.run()
  }

  run(): void {
    this.inspector.beforeRun()
    const actions = reconcile(this.fleet, this.now)
    for (const action of actions) {
      this.note(`  → ${actionText(action)}`)
      this.inspector.onAction(action)
      this.#act(action)
    }
    const again = reconcile(this.fleet, this.now)
    if (again.length > 0) throw this.wrong(`a second look finds more to do: ${again.map(actionText).join(', ')}`)
    this.inspector.afterRun()
    const wakeAt = this.fleet.phase === 'stopped' ? null : nextWakeAt(this.fleet, this.now)
    this.#wakeAt = wakeAt ?? Number.POSITIVE_INFINITY
    this.#timerAt = this.#wakeAt + this.random.next() * 2
  }

  #act(action: Action): void {
    switch (action.do) {
      case 'spawn': {
        const worker = new SimWorker(this, action.child)
        this.workers.set(action.child.key, worker)
        const fails = this.random.chance(this.forkFailures)
        action.child.pid = fails ? 0 : this.#nextPid++
        if (fails) worker.failToFork()
        else worker.boot()
        return
      }
      case 'serve':
        this.workerOf(action.child.key).order({ type: 'serve' })
        return
      case 'lead':
        this.workerOf(action.child.key).order({ type: 'lead' })
        return
      case 'drain':
        this.workerOf(action.child.key).order({ type: 'drain', reason: action.reason, timeoutMs: action.timeoutMs })
        return
      case 'kill':
        this.workerOf(action.child.key).kill()
        return
      case 'bind':
        this.#bind(action.key)
        return
      case 'read-start-file':
        this.#answerLater(() => this.#read(action.reload))
        return
      case 'open-gate':
        this.#answerLater(() => this.#gate(action.reload))
        return
    }
  }

  // ---- what the master does by itself ------------------------------------------------------------------------------

  #answerLater(answer: () => FleetEvent): void {
    this.schedule(this.now + this.random.int(0, 300), () => this.dispatch(answer()))
  }

  /** Asks for a sign of life each second for so long. */
  beat(forMs: number): void {
    const children = [...this.fleet.children.values()].filter(isWatched)
    const asked = children.filter((child) => child.silentSince === null).map((child) => child.key)
    for (const key of asked) this.workerOf(key).order({ type: 'ping' })
    this.dispatch({ type: 'beat', asked, stopped: [] })
    if (forMs > 0) this.schedule(this.now + BEAT_MS, () => this.beat(forMs - BEAT_MS))
  }

  #bind(listener: string): void {
    const isTaken = this.taken.has(listener)
    const failure = isTaken ? { message: 'address already in use', stack: '' } : null
    this.#answerLater(() => ({ type: 'bound', listener, failure, inUse: isTaken }))
  }

  #read(reload: number): FleetEvent {
    const { kind, specs } = this.code
    if (kind === 'throws' || kind === 'exits')
      return { type: 'read', reload, reading: null, failure: { message: kind, stack: kind }, output: '' }
    return { type: 'read', reload, reading: { specs, settings: SETTINGS, version: '1.0.0' }, failure: null, output: '' }
  }

  #gate(reload: number): FleetEvent {
    const failure = this.random.chance(this.gateFailures) ? { message: 'exited with code 1', stack: '' } : null
    if (failure) this.inspector.noteGateFailure()
    return { type: 'gate', reload, failure, output: '' }
  }

  workerOf(key: number): SimWorker {
    const worker = this.workers.get(key)
    if (!worker) throw this.wrong(`child ${key} was never spawned`)
    return worker
  }

  living(): SimWorker[] {
    return [...this.fleet.children.keys()].map((key) => this.workerOf(key)).filter((worker) => worker.isAlive)
  }

  // ---- what people do ----------------------------------------------------------------------------------------------

  /** @param groups null: all that are reloadable. @returns the request's id. */
  reload(groups: string[] | null, how: Partial<ReloadRequest> = {}): number {
    const id = this.#nextRequest++
    const request: ReloadRequest = { ...PLAIN_RELOAD, ...how, kind: 'reload', id, groups }
    this.inspector.onRequest(request)
    this.dispatch({ type: 'request', request })
    return id
  }

  scale(to: ScaleRequest['to']): number {
    const request: ScaleRequest = { kind: 'scale', id: this.#nextRequest++, to }
    this.inspector.onScale(request)
    this.dispatch({ type: 'request', request })
    return request.id
  }

  stop(how: { graceful?: boolean; timeoutMs?: number | null; force?: boolean } = {}): void {
    const { graceful = false, timeoutMs = null, force = false } = how
    this.inspector.onStop({ graceful, timeoutMs, force })
    this.dispatch({ type: 'stop', graceful, timeoutMs, force })
  }

  /** Writes other code to disk. */
  change(kind: Code['kind'], specs: Spec[] = this.code.specs): void {
    this.code = { version: this.code.version + 1, kind, specs }
    this.note(`code ${this.code.version} is ${kind}`)
  }

  // ---- what a failing test shows -----------------------------------------------------------------------------------

  note(line: string): void {
    this.#trace.push(`${this.now.toFixed(1).padStart(10)} ${line}`)
    if (this.#trace.length > TRACE_LINES) this.#trace.shift()
  }

  wrong(message: string): Error {
    return new Error(`${message}\nwhat happened before:\n${this.#trace.join('\n')}`)
  }
}

function actionText(action: Action): string {
  if (!('child' in action)) return JSON.stringify(action)
  const { name, id, generation, key } = action.child
  const reason = action.do === 'drain' ? ` (${action.reason}, ${action.timeoutMs} ms)` : ''
  return `${action.do} ${name}/${id} g${generation} #${key}${reason}`
}

function eventText(event: FleetEvent): string {
  if (event.type === 'loaded') return `loaded #${event.key}`
  return 'key' in event ? `${event.type} #${event.key}` : JSON.stringify(event)
}
