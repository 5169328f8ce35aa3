/**
 * What the master knows, as plain data, and the questions that the policy asks of it. `events` changes
 * it as reports come in, `reconcile` decides on it, the supervisor acts. No clock and no I/O.
 */
import type { DrainReport, ReplaceReason, StopReason } from '../ipc/messages.ts'
import type { Failure, LastExit, ReloadFailure, ReloadSummary } from '../ipc/status.ts'
import type { Spec } from '../spec/spec.ts'
import { type ChildEvent, type ChildState, transition } from './child.ts'

/** Times are milliseconds of one monotonic clock. */
export interface Child {
  /** Never used twice in a master's life; slots and pids are. */
  readonly key: number
  readonly name: string
  readonly id: number
  readonly generation: number
  /** 1, or more when the start before this one failed in the same slot. */
  readonly attempt: number
  pid: number
  state: ChildState
  readonly startedAt: number
  preparedAt: number | null
  servingAt: number | null
  drainAt: number | null
  /** When its present state has lasted too long; null: never. */
  deadlineAt: number | null
  /** Why it was told to drain; null while it was not. */
  drainReason: StopReason | null
  /** It wants a successor although its generation is right. */
  replaceWanted: ReplaceReason | null
  /** Who serves in its place since a reload; null for one that was not replaced by a reload. */
  successor: Child | null
  /** It has said that it is leader no more. */
  resigned: boolean
  /** It read another start file than the first successor of its reload. */
  disagrees: boolean
  failure: Failure | null
  /** The last lines it wrote before it was prepared. */
  output: string
  report: DrainReport | null
}

export interface Slot {
  readonly id: number
  /** The generation that this slot ought to run. */
  target: number
  /** Failures since `target` was set; two end a reload or a first start. */
  tries: number
  /** Failures in a row, for the backoff. */
  failures: number
  retryAt: number
  restarts: number
  lastExit: LastExit | null
  lastFailure: ReloadFailure | null
  /** The last failure was a deadline: trying again would wait for it again. */
  timedOut: boolean
}

export interface Group {
  spec: Spec
  slots: Slot[]
  /** The newest generation that a reload brought to serve. */
  generation: number
  /** The code on disk is known to be bad: nobody is replaced without need. */
  suspended: boolean
  leaderKey: number | null
  /** The master still holds its listener (or it has none). */
  isOpen: boolean
}

export interface ReloadRequest {
  id: number
  /** null: every reloadable group. */
  groups: string[] | null
  graceful: boolean
  timeoutMs: number | null
}

export interface Reload {
  /** The requests that this reload answers. */
  readonly ids: number[]
  readonly groups: string[]
  readonly graceful: boolean
  readonly timeoutMs: number | null
  readonly startedAt: number
  /** Each group's generation after it. */
  readonly next: Map<string, number>
  /** What each slot ran before it, by `slotKey`. */
  readonly previous: Map<string, number>
  phase: 'canary' | 'roll'
  /** What the start file says now, as its first successor read it. */
  specs: Spec[] | null
  /** The version of this package that it loads now. */
  version: string | null
  summary: ReloadSummary
  /** Children whose exit the answer waits for. */
  leaving: Set<number>
}

export interface Stopping {
  readonly askedAt: number
  /** When the deadline below was ordered: with the stop, or by a stricter one after it. */
  orderedAt: number
  graceful: boolean
  timeoutMs: number | null
  force: boolean
}

export interface Fleet {
  readonly version: string
  phase: 'starting' | 'running' | 'stopping' | 'stopped'
  groups: Map<string, Group>
  children: Map<number, Child>
  reload: Reload | null
  /** Successors serve, old ones still leave: only the answer is due. */
  settling: Reload[]
  waiting: ReloadRequest[]
  stopping: Stopping | null
  /** Why the first start was given up. */
  startFailure: ReloadFailure | null
  nextKey: number
}

/** @param version of this package, as the master runs it. */
export function createFleet(specs: readonly Spec[], version: string): Fleet {
  const groups = new Map(specs.map((spec) => [spec.name, createGroup(spec)]))
  return {
    version,
    phase: 'starting',
    groups,
    children: new Map(),
    reload: null,
    settling: [],
    waiting: [],
    stopping: null,
    startFailure: null,
    nextKey: 1,
  }
}

function createGroup(spec: Spec): Group {
  const slots = Array.from({ length: spec.count }, (_, id) => createSlot(id))
  return { spec, slots, generation: 1, suspended: false, leaderKey: null, isOpen: true }
}

function createSlot(id: number): Slot {
  return {
    id,
    target: 1,
    tries: 0,
    failures: 0,
    retryAt: 0,
    restarts: 0,
    lastExit: null,
    lastFailure: null,
    timedOut: false,
  }
}

/** How long a child may take to be gone after it failed, or after its connections were cut. */
export const LEAVE_TIMEOUT_MS = 2_000

export function slotKey(name: string, id: number): string {
  return `${name}/${id}`
}

/** Sets what a slot ought to run; what failed before counts no more. */
export function retarget(slot: Slot, generation: number): void {
  slot.target = generation
  slot.tries = 0
  slot.failures = 0
  slot.timedOut = false
  slot.retryAt = 0
}

/** The children of a slot that are not gone, eldest first. */
export function childrenOf(fleet: Fleet, name: string, id: number): Child[] {
  const found: Child[] = []
  for (const child of fleet.children.values()) if (child.name === name && child.id === id) found.push(child)
  return found
}

/** Moves the child if the table has a cell; the effect, if any, is the caller's to act on. */
export function move(child: Child, event: ChildEvent): { effect: string | null } | null {
  const cell = transition(child.state, event)
  if (!cell) return null
  child.state = cell.to
  return { effect: cell.effect ?? null }
}

export function slotOf(fleet: Fleet, child: Child): Slot | undefined {
  return fleet.groups.get(child.name)?.slots[child.id]
}

/** The youngest serving child of a slot. */
export function currentOf(fleet: Fleet, name: string, id: number): Child | null {
  return childrenOf(fleet, name, id).findLast((child) => child.state === 'serving') ?? null
}

/** Two tries, or one that took all the time it had. */
export function hasFailed(slot: Slot): boolean {
  return slot.tries >= 2 || slot.timedOut
}
