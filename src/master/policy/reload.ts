/**
 * A reload as policy: canaries first, all prepared and baked before anything old is touched; then the
 * other slots, group after group in the order of `after`; then the answer, when the old ones have left.
 * Rolling, one canary proves its group; atomic, every slot has one. What the start file changes about
 * the fleet itself takes effect with it. Called by `reconcile` only; changes the fleet's data.
 */
import type { ReloadFailure } from '../../ipc/status.ts'
import type { Action } from './actions.ts'
import { emptySummary, endServing, isUntouched } from './answers.ts'
import { isComing } from './child.ts'
import {
  type Child,
  childrenOf,
  chosenOf,
  createGroup,
  currentOf,
  type Fleet,
  type Group,
  growSlots,
  hasFailed,
  highestGeneration,
  liveSlots,
  nextGeneration,
  retarget,
  type Slot,
  slotKey,
} from './fleet.ts'
import type { Reload, ReloadRequest } from './operations.ts'
import { retireExtra, startDrain } from './retire.ts'
import { missingError, planTopology, type Topology } from './topology.ts'

/** The slot whose successor tries the new code first. */
const CANARY_ID = 0

export function advanceReload(fleet: Fleet, reload: Reload, now: number, actions: Action[]): void {
  if (reload.failure) {
    reject(fleet, reload, reload.failure, now, actions)
    return
  }
  if (reload.phase === 'gate' && reload.isGateOpen) openCanaries(fleet, reload, actions)
  if (reload.phase === 'canary') advanceCanaries(fleet, reload, now, actions)
  if (reload.phase === 'roll') advanceRoll(fleet, reload, now, actions)
}

// ---- questions of reconcile ----------------------------------------------------------------------------------------

/** It belongs to the reload under way, and to the new code. */
function isSuccessor(reload: Reload | null, child: Child): reload is Reload {
  return reload?.next.get(child.name) === child.generation
}

/** A prepared successor waits until all are baked, and for its group's turn; one that fills a gap does not. */
export function mayBeAdmitted(fleet: Fleet, group: Group, child: Child): boolean {
  const { reload } = fleet
  if (!isSuccessor(reload, child)) return true
  if (reload.phase !== 'roll') return false
  const isGap = child.id < (reload.counts.get(child.name) ?? 0) && currentOf(fleet, child.name, child.id) === null
  return isGap || isTurnOf(fleet, group)
}

/** While canaries bake, the other slots of their groups are not filled: it would be by unproven code. */
export function isHeld(fleet: Fleet, group: Group, slot: Slot): boolean {
  const { reload } = fleet
  const isAffected = reload !== null && reload.phase !== 'gate' && reload.groups.includes(group.name)
  if (fleet.isDormant && !isAffected) return true
  return isAffected && reload.phase === 'canary' && !isProving(fleet, reload, group, slot)
}

/** The groups that it comes after have changed over. */
export function isTurnOf(fleet: Fleet, group: Group): boolean {
  const { reload } = fleet
  if (reload?.phase !== 'roll' || !reload.groups.includes(group.name)) return true
  const after = reload.topology?.variants.get(group.name)?.spec.after ?? []
  return after.every((name) => {
    const other = reload.groups.includes(name) ? fleet.groups.get(name) : undefined
    return other === undefined || hasChangedOver(fleet, reload, other)
  })
}

export function isAtomic(fleet: Fleet, group: Group): boolean {
  const { reload } = fleet
  return reload?.strategy === 'atomic' && reload.groups.includes(group.name)
}

/** Atomic: what ran before stays until every successor serves. */
export function isKept(fleet: Fleet, group: Group, child: Child): boolean {
  const { reload } = fleet
  if (!reload || !isAtomic(fleet, group)) return false
  const { name, id } = child
  const old = childrenOf(fleet, name, id).filter(
    (one) => one.state === 'serving' && one.generation !== reload.next.get(name),
  )
  return child === chosenOf(old, reload.previous.get(slotKey(name, id)))
}

/** Where nothing serves there is nothing to protect: a start that has failed is simply done again. */
function isProving(fleet: Fleet, reload: Reload, group: Group, slot: Slot): boolean {
  if (fleet.isDormant) return false
  return reload.strategy === 'atomic' ? slot.id < nextCount(reload, group) : slot.id === CANARY_ID
}

function provingSlots(fleet: Fleet, reload: Reload, group: Group): Slot[] {
  return group.slots.filter((slot) => isProving(fleet, reload, group, slot))
}

function nextCount(reload: Reload, group: Group): number {
  return reload.topology?.counts.get(group.name) ?? group.count
}

function hasChangedOver(fleet: Fleet, reload: Reload, group: Group): boolean {
  return missing(fleet, reload, group).length === 0
}

/** The slots of a group that do not serve the new generation yet. */
function missing(fleet: Fleet, reload: Reload, group: Group): Slot[] {
  const generation = reload.next.get(group.name)
  const slots = group.slots.slice(0, nextCount(reload, group))
  return slots.filter((slot) => currentOf(fleet, group.name, slot.id)?.generation !== generation)
}

export function groupsOf(fleet: Fleet, reload: Reload): Group[] {
  return reload.groups.map((name) => fleet.groups.get(name)).filter((group) => group !== undefined)
}

// ---- begin ---------------------------------------------------------------------------------------------------------

/** All requests that wait become one reload: each of them was asked before this one reads the code. */
export function beginReload(fleet: Fleet, requests: readonly ReloadRequest[], now: number, actions: Action[]): void {
  // where nothing runs there is one thing to do, whatever was named
  const isFull = fleet.isDormant || requests.some((request) => request.groups === null)
  const named = new Set(requests.flatMap((request) => request.groups ?? []))
  const chosen = [...fleet.groups.values()].filter(
    (group) => !group.isLeaving && (named.has(group.name) || (isFull && (group.spec.reloadable || fleet.isDormant))),
  )
  const timeouts = requests.map((request) => request.timeoutMs).filter((timeoutMs) => timeoutMs !== null)
  const surges = requests.map((request) => request.surge).filter((surge) => surge !== null)
  const isWatch = requests.every((request) => request.isWatch)
  const needsGate = fleet.conditions.settings.preReload !== null && !isWatch
  const next = new Map(chosen.map((group) => [group.name, nextGeneration(fleet, group)]))
  // one before it in the queue may have ended a group that was there when it was named
  const gone = isFull ? undefined : [...named].find((name) => !next.has(name))
  const reload: Reload = {
    kind: 'reload',
    asks: requests.map(({ id, wait }) => ({ id, wait })),
    isFull,
    groups: chosen.map((group) => group.name),
    graceful: requests.some((request) => request.graceful),
    timeoutMs: timeouts.length > 0 ? Math.max(...timeouts) : null,
    strategy: requests.some((request) => request.strategy === 'atomic') ? 'atomic' : 'rolling',
    surge: surges.length > 0 ? Math.max(...surges) : null,
    bakeMs: isWatch ? 0 : null,
    startedAt: now,
    next,
    previous: new Map(),
    phase: 'gate',
    isGateOpen: !needsGate,
    failure: gone === undefined ? null : missingError(gone),
    read: null,
    topology: null,
    binding: new Set(),
    counts: new Map(chosen.map((group) => [group.name, group.count])),
    summary: emptySummary(fleet, next),
    leaving: new Set(),
  }
  fleet.reload = reload
  actions.push({ do: 'reload-began', ids: requests.map(({ id }) => id), groups: reload.groups })
  if (needsGate && gone === undefined) actions.push({ do: 'open-gate' })
}

function openCanaries(fleet: Fleet, reload: Reload, actions: Action[]): void {
  reload.phase = 'canary'
  for (const group of groupsOf(fleet, reload)) {
    for (const slot of group.slots) reload.previous.set(slotKey(group.name, slot.id), slot.target)
    const generation = reload.next.get(group.name)
    if (generation !== undefined) for (const slot of provingSlots(fleet, reload, group)) retarget(slot, generation)
  }
  // no successor will tell what the start file says
  if (reload.groups.length === 0 || fleet.isDormant) actions.push({ do: 'read-start-file' })
}

// ---- what the start file says now ----------------------------------------------------------------------------------

function applyTopology(
  fleet: Fleet,
  reload: Reload,
  specs: Parameters<typeof planTopology>[1],
  actions: Action[],
): void {
  const running = [...fleet.groups.values()].filter((group) => !group.isLeaving)
  const topology = planTopology(running, specs, { groups: reload.groups, isFull: reload.isFull }, fleet.listeners)
  reload.topology = topology
  if (topology.missing !== null) {
    reload.failure = missingError(topology.missing)
    return
  }
  for (const name of topology.removed) spare(fleet, reload, name)
  for (const name of topology.added) bringIn(fleet, reload, topology, name)
  if (reload.strategy === 'atomic') for (const group of groupsOf(fleet, reload)) fitToCount(reload, group)
  for (const { key, spec } of topology.binds) {
    reload.binding.add(key)
    actions.push({ do: 'bind', key, spec })
  }
}

/** A group that is to go needs no successors: it serves until those of the others do. */
function spare(fleet: Fleet, reload: Reload, name: string): void {
  const group = fleet.groups.get(name)
  if (group) for (const slot of group.slots) retarget(slot, previousOf(reload, group, slot))
  reload.groups = reload.groups.filter((other) => other !== name)
  reload.next.delete(name)
}

function bringIn(fleet: Fleet, reload: Reload, topology: Topology, name: string): void {
  const variant = topology.variants.get(name)
  if (!variant) return
  const old = fleet.groups.get(name)
  const newest = Math.max(highestGeneration(fleet), ...reload.next.values())
  const generation = old ? Math.max(newest, nextGeneration(fleet, old)) : newest
  const group = createGroup(variant.spec, variant.listener, generation)
  // one of that name still leaves: its children keep their slots, which are filled anew
  if (old) {
    group.slots = [...group.slots, ...old.slots.slice(group.count)]
    group.leaderKey = old.leaderKey
  }
  fleet.groups.set(name, group)
  reload.groups = [...reload.groups, name]
  reload.next.set(name, generation)
}

/** Every slot of the new number proves itself, those beyond it do not. */
function fitToCount(reload: Reload, group: Group): void {
  const generation = reload.next.get(group.name)
  const count = nextCount(reload, group)
  if (generation === undefined) return
  for (const slot of group.slots.slice(count)) retarget(slot, previousOf(reload, group, slot))
  growTo(group, count, generation)
}

function growTo(group: Group, count: number, generation: number): void {
  if (count <= group.count) return
  for (const slot of group.slots.slice(group.count, count)) retarget(slot, generation)
  growSlots(group, count, generation)
  group.count = count
}

// ---- canaries ------------------------------------------------------------------------------------------------------

function advanceCanaries(fleet: Fleet, reload: Reload, now: number, actions: Action[]): void {
  if (reload.read && !reload.topology) applyTopology(fleet, reload, reload.read.specs, actions)
  if (reload.failure) {
    reject(fleet, reload, reload.failure, now, actions)
    return
  }
  const proving = groupsOf(fleet, reload).flatMap((group) =>
    provingSlots(fleet, reload, group).map((slot) => ({ group, slot })),
  )
  const failed = proving.find(({ slot }) => hasFailed(slot))
  if (failed) {
    reject(fleet, reload, failed.slot.lastFailure, now, actions)
    return
  }
  if (!reload.topology || reload.binding.size > 0) return
  if (!proving.every(({ group, slot }) => isBaked(fleet, reload, group, slot, now))) return
  beginRoll(fleet, reload)
}

function isBaked(fleet: Fleet, reload: Reload, group: Group, slot: Slot, now: number): boolean {
  const generation = reload.next.get(group.name)
  return childrenOf(fleet, group.name, slot.id).some(
    (child) =>
      child.generation === generation &&
      child.state === 'prepared' &&
      child.preparedAt !== null &&
      now >= child.preparedAt + bakeMsOf(reload, group),
  )
}

/** How long a canary of the reload must live before it may serve. */
export function bakeMsOf(reload: Reload | null, group: Group): number {
  return reload?.bakeMs ?? group.spec.bakeMs
}

/** Nothing old was touched: the successors end, also those that serve already, and every target is what it was. */
function reject(fleet: Fleet, reload: Reload, failure: ReloadFailure | null, now: number, actions: Action[]): void {
  for (const child of fleet.children.values()) {
    const isNew = child.generation === reload.next.get(child.name)
    if (isNew && (isComing(child.state) || child.state === 'serving'))
      startDrain(fleet, child, 'cancelled', now, actions)
  }
  for (const group of groupsOf(fleet, reload)) {
    if (reload.topology?.added.includes(group.name)) dismiss(group)
    else restore(reload, group)
  }
  const result = fleet.isDormant ? 'failed' : 'rejected'
  // the newest reason is the one to be told when it is given up
  if (fleet.isDormant) fleet.startFailure = failure ?? fleet.startFailure
  endServing(fleet, reload, { result, error: failure, now }, actions)
}

function restore(reload: Reload, group: Group): void {
  const generation = reload.next.get(group.name)
  group.suspended = true
  group.count = reload.counts.get(group.name) ?? group.count
  if (generation !== undefined) group.variants.delete(generation)
  for (const slot of group.slots) {
    const previous = previousOf(reload, group, slot)
    if (slot.target !== previous) retarget(slot, previous)
  }
  takeGeneration(group)
}

/** The newest that is left in its slots, after a reload that did not succeed. */
function takeGeneration(group: Group): void {
  group.generation = Math.max(...liveSlots(group).map((slot) => slot.target))
}

/** A group that does not come after all. */
function dismiss(group: Group): void {
  group.isLeaving = true
  group.count = 0
}

// ---- the roll ------------------------------------------------------------------------------------------------------

function beginRoll(fleet: Fleet, reload: Reload): void {
  reload.phase = 'roll'
  for (const group of groupsOf(fleet, reload)) {
    const generation = reload.next.get(group.name) ?? group.generation
    const variant = reload.topology?.variants.get(group.name)
    group.generation = generation
    if (variant) group.variants.set(generation, variant)
    growTo(group, nextCount(reload, group), generation)
    for (const slot of group.slots.slice(0, nextCount(reload, group)))
      if (slot.target !== generation) retarget(slot, generation)
  }
}

function advanceRoll(fleet: Fleet, reload: Reload, now: number, actions: Action[]): void {
  const left = groupsOf(fleet, reload).flatMap((group) => missing(fleet, reload, group))
  const failed = left.find(hasFailed)
  if (failed && (reload.strategy === 'atomic' || fleet.isDormant || isUntouched(fleet, reload)))
    reject(fleet, reload, failed.lastFailure, now, actions)
  else if (failed) stopRoll(fleet, reload, failed.lastFailure, now, actions)
  else if (left.length === 0) finish(fleet, reload, now, actions)
}

/** The code is proven: what the start file says is what the fleet is. */
function finish(fleet: Fleet, reload: Reload, now: number, actions: Action[]): void {
  for (const group of groupsOf(fleet, reload)) {
    const variant = reload.topology?.variants.get(group.name)
    group.suspended = false
    group.count = nextCount(reload, group)
    if (variant) Object.assign(group, { spec: variant.spec, listener: variant.listener })
    group.variants.clear()
  }
  for (const name of reload.topology?.removed ?? []) {
    const group = fleet.groups.get(name)
    if (group) dismiss(group)
  }
  endServing(fleet, reload, { result: 'done', error: null, now }, actions)
  for (const name of [...reload.groups, ...(reload.topology?.removed ?? [])]) retireExtraOf(fleet, name, now, actions)
  actions.push({ do: 'reload-served', groups: reload.groups, generation: reload.summary.generation })
  if (!fleet.isDormant) return
  fleet.isDormant = false
  fleet.startFailure = null
  actions.push({ do: 'started' })
}

/** A later slot failed: it and all that wait keep what they run. */
function stopRoll(fleet: Fleet, reload: Reload, failure: ReloadFailure | null, now: number, actions: Action[]): void {
  for (const group of groupsOf(fleet, reload)) {
    const left = missing(fleet, reload, group)
    const isNew = reload.topology?.added.includes(group.name) === true
    if (isNew && left.length > 0) dismiss(group)
    if (isNew) continue
    group.suspended = true
    group.count = reload.counts.get(group.name) ?? group.count
    for (const slot of left) {
      const retryAt = Math.max(slot.retryAt, now)
      retarget(slot, previousOf(reload, group, slot))
      slot.retryAt = retryAt
    }
    takeGeneration(group)
  }
  endServing(fleet, reload, { result: 'mixed', error: failure, now }, actions)
  for (const name of reload.groups) retireExtraOf(fleet, name, now, actions)
}

function retireExtraOf(fleet: Fleet, name: string, now: number, actions: Action[]): void {
  const group = fleet.groups.get(name)
  if (group) retireExtra(fleet, group, now, actions)
}

function previousOf(reload: Reload, group: Group, slot: Slot): number {
  return reload.previous.get(slotKey(group.name, slot.id)) ?? slot.target
}
