/**
 * A master's policy on a stage: the test says every event and every passing of time, and reads what
 * the policy does about it. For tests of one course of events; the world is for random ones.
 */
import type { Failure, ReloadSummary } from '../../src/ipc/status.ts'
import type { Action, Completeness } from '../../src/master/policy/actions.ts'
import { apply, type FleetEvent } from '../../src/master/policy/events.ts'
import {
  type Child,
  type Conditions,
  childrenOf,
  createFleet,
  type Fleet,
  type Slot,
} from '../../src/master/policy/fleet.ts'
import { PLAIN_RELOAD, type ReloadRequest, type ScaleRequest } from '../../src/master/policy/operations.ts'
import { nextWakeAt, reconcile } from '../../src/master/policy/reconcile.ts'
import type { Settings } from '../../src/spec/settings.ts'
import type { Spec } from '../../src/spec/spec.ts'
import { CONDITIONS } from './specs.ts'

const FIRST_PID = 101

export class Stage {
  now = 0
  readonly fleet: Fleet
  /** All that was done so far, oldest first. */
  readonly done: Action[] = []
  #nextPid = FIRST_PID
  #nextRequest = 1

  /** What the start file says: the first successor of a reload tells it. */
  file: Spec[]
  settings: Settings

  constructor(specs: Spec[], conditions: Partial<Conditions> = {}) {
    this.fleet = createFleet(specs, { ...CONDITIONS, ...conditions })
    this.file = specs
    this.settings = this.fleet.conditions.settings
  }

  /** A stage on which every slot serves. */
  static started(...specs: Spec[]): Stage {
    const stage = new Stage(specs)
    stage.run()
    // those that come after others are there only when these serve
    for (let next = stage.starting(); next !== undefined; next = stage.starting()) stage.bringUp(next)
    return stage
  }

  run(): string[] {
    const actions = reconcile(this.fleet, this.now)
    for (const action of actions) if (action.do === 'spawn') action.child.pid = this.#nextPid++
    this.done.push(...actions)
    return actions.map(describe)
  }

  /** Tells the policy of an event. @returns what it does, as short texts. */
  send(event: FleetEvent): string[] {
    apply(this.fleet, event, this.now)
    return this.run()
  }

  /** Lets time pass, with a look whenever the policy wants one. */
  after(ms: number): string[] {
    const until = this.now + ms
    const texts: string[] = []
    for (let at = nextWakeAt(this.fleet, this.now); at !== null && at <= until; at = nextWakeAt(this.fleet, this.now)) {
      this.now = at
      texts.push(...this.run())
    }
    this.now = until
    return texts
  }

  // ---- children ----------------------------------------------------------------------------------------------------

  /** The eldest child that has not said anything yet. */
  starting(): Child | undefined {
    return this.children().find((child) => child.state === 'starting')
  }

  children(): Child[] {
    return [...this.fleet.children.values()]
  }

  /** The children of one slot, eldest first: `states('web', 0)` is `['draining g1', 'serving g2']`. */
  states(name: string, id: number): string[] {
    return childrenOf(this.fleet, name, id).map((child) => `${child.state} g${child.generation}`)
  }

  /** The youngest child of a slot. */
  child(name: string, id = 0): Child {
    const child = childrenOf(this.fleet, name, id).at(-1)
    if (!child) throw new Error(`${name}/${id} has no child`)
    return child
  }

  slot(name: string, id = 0): Slot {
    const slot = this.fleet.groups.get(name)?.slots[id]
    if (!slot) throw new Error(`there is no slot ${name}/${id}`)
    return slot
  }

  /** It has read the start file. */
  load(child: Child): string[] {
    return this.send({ type: 'loaded', key: child.key, specs: this.file, settings: this.settings, version: '1.0.0' })
  }

  /** The command before the reload under way has ended. */
  gate(end: { failure: Failure | null; output: string }): string[] {
    return this.send({ type: 'gate', reload: this.fleet.reload?.key ?? 0, ...end })
  }

  /** The process that only reads the start file has read it. */
  read(): string[] {
    const reading = { specs: this.file, settings: this.settings, version: '1.0.0' }
    const reload = this.fleet.reload?.key ?? 0
    return this.send({ type: 'read', reload, reading, failure: null, output: '' })
  }

  prepare(child: Child): string[] {
    return [...this.load(child), ...this.send({ type: 'prepared', key: child.key })]
  }

  serve(child: Child): string[] {
    return this.send({ type: 'serving', key: child.key })
  }

  bringUp(child: Child): string[] {
    return [...this.prepare(child), ...this.serve(child)]
  }

  fail(child: Child, message = 'it throws', output = ''): string[] {
    const failure = { message, stack: `Error: ${message}\n    at start.js:1` }
    return [...this.send({ type: 'failed', key: child.key, failure, output }), ...this.exit(child, 1)]
  }

  /** An uncaught exception in a serving child; its exit is still to come. */
  crash(child: Child, message = 'it crashes'): string[] {
    return this.send({ type: 'leaving', key: child.key, failure: { message, stack: message }, timeoutMs: 2_000 })
  }

  exit(child: Child, code: number | null = 0, signal: string | null = null): string[] {
    return this.send({ type: 'exit', key: child.key, code, signal, chance: 0.5, at: 'then' })
  }

  /** A child that was told to drain has done so. */
  leave(child: Child, connectionsCut = 0): string[] {
    return [
      ...this.send({ type: 'resigned', key: child.key }),
      ...this.send({
        type: 'drained',
        key: child.key,
        report: { connectionsCut, cut: [], hookUnfinished: false, hookError: null },
      }),
      ...this.exit(child),
    ]
  }

  // ---- operations --------------------------------------------------------------------------------------------------

  reload(groups: string[] | null = null, how: Partial<ReloadRequest> = {}): string[] {
    const request = { ...PLAIN_RELOAD, ...how, kind: 'reload', id: this.#nextRequest++, groups } as const
    return this.send({ type: 'request', request })
  }

  scale(to: ScaleRequest['to']): string[] {
    return this.send({ type: 'request', request: { kind: 'scale', id: this.#nextRequest++, to } })
  }

  stop(how: { graceful?: boolean; timeoutMs?: number; force?: boolean } = {}): string[] {
    const { graceful = false, timeoutMs = null, force = false } = how
    return this.send({ type: 'stop', graceful, timeoutMs, force })
  }

  /** All answers so far: who was answered, and what. */
  answers(): { ids: number[]; summary: ReloadSummary; completeness: Completeness }[] {
    return this.done.filter((action) => action.do === 'answer')
  }

  answer(): ReloadSummary {
    const last = this.answers().at(-1)
    if (!last) throw new Error('no reload was answered yet')
    return last.summary
  }
}

/** `spawn web/0 g2`, `drain web/0 g1 (reload, 25000 ms)`, `answer 1 done`. */
function describe(action: Action): string {
  switch (action.do) {
    case 'drain':
      return `drain ${who(action.child)} (${action.reason}, ${action.timeoutMs === null ? 'no deadline' : `${action.timeoutMs} ms`})`
    case 'spawn':
    case 'serve':
    case 'kill':
    case 'hung':
    case 'lead':
      return `${action.do} ${who(action.child)}`
    case 'answer':
      return `answer ${action.ids.join('+')} ${action.summary.result}`
    case 'close-listener':
    case 'bind':
      return `${action.do} ${action.key}`
    case 'answer-scale':
      return `answer-scale ${action.ids.join('+')} ${action.summary.result}`
    case 'open-gate':
    case 'end-gate':
    case 'read-start-file':
      return action.do
    case 'reload-began':
      return `reload-began ${action.groups.join('+')}`
    case 'reload-served':
      return `reload-served ${action.groups.join('+')} g${action.generation}`
    case 'started':
    case 'start-failed':
    case 'stopped':
      return action.do
  }
}

function who(child: Child): string {
  return `${child.name}/${child.id} g${child.generation}`
}
