/**
 * What the master knows, as plain data, and the questions that the policy asks of it. `events` changes
 * it as reports come in, `reconcile` decides on it, the supervisor acts. No clock and no I/O.
 */
import type { DrainReport, ReplaceReason, StopReason } from '../../ipc/messages.ts'
import type { Failure, LastExit, ReloadFailure, StopFault } from '../../ipc/status.ts'
import type { DescriptorUse } from '../../os/descriptors.ts'
import type { Settings } from '../../spec/settings.ts'
import type { Spec } from '../../spec/spec.ts'
import { type ChildEvent, type ChildState, transition } from './child.ts'
import { listenerKey } from './listenerkey.ts'
import type { Reload, Request, Scaling } from './operations.ts'

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
  /** By the spec it was started with, then by what it has read itself. */
  startTimeoutMs: number
  /** Likewise. */
  hangTimeoutMs: number
  preparedAt: number | null
  servingAt: number | null
  drainAt: number | null
  /** When its present state has lasted too long; null: never. */
  deadlineAt: number | null
  /** Why it was told to drain; null while it was not. */
  drainReason: StopReason | null
  /** It wants a successor although its generation is right. */
  replaceWanted: ReplaceReason | null
  /** Since when; meaningless without it. */
  replaceWantedAt: number
  /** Who serves in its place since a reload; null for one that was not replaced by a reload. */
  successor: Child | null
  /** Since when a question for a sign of life has no answer; null: none is open. */
  silentSince: number | null
  /** It said at its last sign of life that a debugger may hold it. */
  isDebugged: boolean
  /** It was hung and answers again. */
  isBack: boolean
  /** It has closed its channel: it neither hears nor says anything. */
  hasParted: boolean
  /** It has said that it is leader no more. */
  resigned: boolean
  /** It was given nothing of its group's `env`: what it reads in the start file is what the master would. */
  readonly isUnbiased: boolean
  /** What it has read in the start file. */
  specs: readonly Spec[] | null
  /** Where that is something else than what its reload goes by; null: nowhere. */
  disagreement: string | null
  failure: Failure | null
  /** The last lines it wrote before it was prepared. */
  output: string
  report: DrainReport | null
  /** Its end was a SIGKILL of ours. */
  wasKilled: boolean
  /** It ended in the middle of its drain, and that was not ours. */
  leftEarly: boolean
  /** Its open connections, by its own last word as it ended; null: it has not had one. */
  openAtEnd: number | null
  /** Hardly a file descriptor is left to it, and it does not listen; null while it has room. */
  full: DescriptorUse | null
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

/** What the children of one generation of a group are. */
export interface Variant {
  spec: Spec
  /** The key of the listener that they serve on; null: none. */
  listener: string | null
}

export interface Group extends Variant {
  readonly name: string
  /** How many slots ought to be filled: the start file's number, or what a `scale` made of it. */
  count: number
  /** Those behind `count` leave, and go when they are empty. */
  slots: Slot[]
  /** What a reload under way, or one that stopped halfway, has brought in beside its own. */
  variants: Map<number, Variant>
  /** The newest generation that a reload brought to serve. */
  generation: number
  /** The highest that has ever served in it. */
  servedGeneration: number
  /** The code on disk is known to be bad: nobody is replaced without need. */
  suspended: boolean
  leaderKey: number | null
  /** The start file has it no more: it goes when its last child is gone. */
  isLeaving: boolean
  /** When a stop came to it; null: not yet. */
  stopTurnAt: number | null
}

export interface Stopping {
  readonly askedAt: number
  /** When the deadline below was ordered: with the stop, or by a stricter one after it. */
  orderedAt: number
  graceful: boolean
  timeoutMs: number | null
  force: boolean
}

/** Everything about the master that the policy depends on. */
export interface Conditions {
  /** Of this package, as the master runs it. */
  version: string
  settings: Settings
  /** A first start that fails waits for a reload, instead of ending everything. */
  waitsForChange: boolean
}

export interface Fleet {
  readonly conditions: Conditions
  phase: 'starting' | 'running' | 'stopping' | 'stopped'
  groups: Map<string, Group>
  /** Changed by `enlist` and `discharge` alone. */
  children: Map<number, Child>
  /** The same by `slotKey`, eldest first: the policy asks for them all the time. */
  bySlot: Map<string, Child[]>
  /** The keys of the listeners that the master holds. */
  listeners: Set<string>
  reload: Reload | null
  scaling: Scaling | null
  /** Successors serve, old ones still leave: only the answer is due. */
  settling: (Reload | Scaling)[]
  /** What had come by then was read: what others have not said is judged by it. */
  heardAt: number
  /** The key of the latest reload whose old workers have left; 0: none. */
  answeredReload: number
  waiting: Request[]
  stopping: Stopping | null
  /** Why the first start was given up. */
  startFailure: ReloadFailure | null
  /** The first start has failed, and nothing runs until a reload brings it up. */
  isDormant: boolean
  nextKey: number
}

/** Every address of the specs is taken to be bound. */
export function createFleet(specs: readonly Spec[], conditions: Conditions): Fleet {
  const groups = new Map(specs.map((spec) => [spec.name, createGroup(spec, listenerKey(spec), 1)]))
  const bound = [...groups.values()].map((group) => group.listener).filter((key) => key !== null)
  return {
    conditions,
    phase: 'starting',
    groups,
    children: new Map(),
    bySlot: new Map(),
    listeners: new Set(bound),
    reload: null,
    scaling: null,
    settling: [],
    waiting: [],
    stopping: null,
    startFailure: null,
    isDormant: false,
    nextKey: 1,
    heardAt: 0,
    answeredReload: 0,
  }
}

/** It ends now, and has not said that its drain is over: nobody knows what was under way. Asked before its exit is applied. */
export function leavesEarly({ state, servingAt, drainReason, report }: Child): boolean {
  return state === 'draining' && servingAt !== null && drainReason !== 'crash' && report === null
}

/** What it said that it did not do on its way out; null: it did, or did not say. */
export function stopFaultOf({ name, id, pid, report }: Child): StopFault | null {
  // a worker of a former release says nothing of what was thrown
  const error = report?.hookError ?? null
  return error === null && !report?.hookUnfinished ? null : { worker: slotKey(name, id), pid, error }
}

/** A group whose slots are all to be filled with this generation. */
export function createGroup(spec: Spec, listener: string | null, generation: number): Group {
  const group: Group = {
    name: spec.name,
    spec,
    listener,
    count: spec.count,
    slots: [],
    variants: new Map(),
    generation,
    servedGeneration: generation,
    suspended: false,
    leaderKey: null,
    isLeaving: false,
    stopTurnAt: null,
  }
  growSlots(group, spec.count, generation)
  return group
}

/** Adds slots up to `count`, each to be filled with this generation. Those that are there stay as they are. */
export function growSlots(group: Group, count: number, generation: number): void {
  for (let id = group.slots.length; id < count; id++) group.slots.push(createSlot(id, generation))
}

function createSlot(id: number, target: number): Slot {
  return {
    id,
    target,
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

/** The slots that ought to be filled. */
export function liveSlots(group: Group): Slot[] {
  return group.slots.slice(0, group.count)
}

/** What a child of this generation is: as its reload brought it, or as the group is now. */
export function variantOf(group: Group, generation: number): Variant {
  return group.variants.get(generation) ?? group
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
export function childrenOf(fleet: Fleet, name: string, id: number): readonly Child[] {
  return fleet.bySlot.get(slotKey(name, id)) ?? []
}

export function enlist(fleet: Fleet, child: Child): void {
  fleet.children.set(child.key, child)
  fleet.bySlot.set(slotKey(child.name, child.id), [...childrenOf(fleet, child.name, child.id), child])
}

export function discharge(fleet: Fleet, child: Child): void {
  fleet.children.delete(child.key)
  const rest = childrenOf(fleet, child.name, child.id).filter((other) => other !== child)
  if (rest.length > 0) fleet.bySlot.set(slotKey(child.name, child.id), rest)
  else fleet.bySlot.delete(slotKey(child.name, child.id))
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

/** Who serves in a slot: the youngest of the generation that it ought to run, else the youngest. */
export function currentOf(fleet: Fleet, name: string, id: number): Child | null {
  const serving = childrenOf(fleet, name, id).filter((child) => child.state === 'serving')
  if (serving.length < 2) return serving[0] ?? null
  return chosenOf(serving, fleet.groups.get(name)?.slots[id]?.target)
}

/** Of several that serve in a slot, eldest first: the youngest of this generation, else the youngest. */
export function chosenOf(serving: readonly Child[], generation: number | undefined): Child | null {
  return serving.findLast((child) => child.generation === generation) ?? serving.at(-1) ?? null
}

/** Every slot that ought to be filled serves. */
export function servesFully(fleet: Fleet, group: Group): boolean {
  return liveSlots(group).every((slot) => currentOf(fleet, group.name, slot.id) !== null)
}

/** In how many of its slots somebody serves. */
export function servingOf(fleet: Fleet, group: Group): number {
  return liveSlots(group).filter((slot) => currentOf(fleet, group.name, slot.id) !== null).length
}

/** Two tries, or one that took all the time it had. */
export function hasFailed(slot: Slot): boolean {
  return slot.tries >= 2 || slot.timedOut
}

/** The highest generation that a reload brought to serve, of all groups. */
export function highestGeneration(fleet: Fleet): number {
  const staying = [...fleet.groups.values()].filter((group) => !group.isLeaving)
  return Math.max(1, ...staying.map((group) => group.generation))
}

/** Above all that runs, has served or ought to run in a group, so that no two codes share a number. */
export function nextGeneration(fleet: Fleet, group: Group): number {
  let highest = Math.max(group.generation, group.servedGeneration)
  for (const slot of group.slots) highest = Math.max(highest, slot.target)
  for (const child of fleet.children.values())
    if (child.name === group.name) highest = Math.max(highest, child.generation)
  return highest + 1
}
