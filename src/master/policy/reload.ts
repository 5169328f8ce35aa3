/**
 * A reload as policy: canaries first, all prepared and baked before anything old is touched; then the
 * other slots, group after group in the order of `after`; then the answer, when the old ones have left.
 * Rolling, one canary proves its group; atomic, every slot has one. What the start file changes about
 * the fleet itself takes effect with it. Called by `reconcile` only; changes the fleet's data.
 */

import type { ReloadFailure } from '../../ipc/status.ts'
import { isWithoutEnv } from '../../spec/spec.ts'
import type { Action } from './actions.ts'
import { emptySummary, endServing } from './answers.ts'
import { isComing } from './child.ts'
import {
  childrenOf,
  type Fleet,
  type Group,
  hasFailed,
  liveSlots,
  nextGeneration,
  retarget,
  type Slot,
  servingOf,
  slotKey,
} from './fleet.ts'
import type { Reload, ReloadRequest } from './operations.ts'
import { growTo, reshape } from './reshape.ts'
import { retireExtra, startDrain } from './retire.ts'
import {
  groupsOf,
  isBaked,
  isUntouched,
  missing,
  nextCount,
  overtakenAt,
  previousOf,
  provingSlots,
} from './succession.ts'
import { missingError } from './topology.ts'

export function advanceReload(fleet: Fleet, reload: Reload, now: number, actions: Action[]): void {
  if (reload.failure) {
    reject(fleet, reload, reload.failure, now, actions)
    return
  }
  if (reload.phase === 'gate' && reload.isGateOpen) openCanaries(fleet, reload, actions)
  if (reload.phase === 'canary') advanceCanaries(fleet, reload, now, actions)
  if (reload.phase === 'roll') advanceRoll(fleet, reload, now, actions)
}

// ---- begin ---------------------------------------------------------------------------------------------------------

/** One before it in the queue may have ended a group that was there when it was named. */
export function namesGone(fleet: Fleet, { groups }: ReloadRequest): boolean {
  return !fleet.isDormant && (groups ?? []).some((name) => fleet.groups.get(name)?.isLeaving !== false)
}

/** All of these become one reload: each of them was asked before this one reads the code. */
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
  const gone = isFull ? undefined : [...named].find((name) => !next.has(name))
  const reload: Reload = {
    kind: 'reload',
    key: fleet.nextKey++,
    asks: requests.map(({ id, wait }) => ({ id, wait })),
    isFull,
    groups: chosen.map((group) => group.name),
    graceful: requests.some((request) => request.graceful),
    timeoutMs: timeouts.length > 0 ? Math.max(...timeouts) : null,
    keepsOwnTime: timeouts.length < requests.length,
    strategy: requests.some((request) => request.strategy === 'atomic') ? 'atomic' : 'rolling',
    surge: surges.length > 0 ? Math.max(...surges) : null,
    bakeMs: isWatch ? 0 : null,
    isWatch,
    startedAt: now,
    next,
    previous: new Map(),
    phase: 'gate',
    isGateOpen: !needsGate,
    failure: gone === undefined ? null : missingError(gone),
    isOfCode: gone === undefined,
    read: null,
    unread: null,
    topology: null,
    binding: new Set(),
    counts: new Map(chosen.map((group) => [group.name, group.count])),
    served: new Map(),
    servedBefore: new Map(chosen.map((group) => [group.name, servingOf(fleet, group)])),
    touched: new Set(),
    summary: emptySummary(fleet, next),
    leaving: new Set(),
  }
  fleet.reload = reload
  actions.push({ do: 'reload-began', ids: requests.map(({ id }) => id), groups: reload.groups })
  if (needsGate && gone === undefined) actions.push({ do: 'open-gate', reload: reload.key })
}

function openCanaries(fleet: Fleet, reload: Reload, actions: Action[]): void {
  reload.phase = 'canary'
  for (const group of groupsOf(fleet, reload)) {
    for (const slot of group.slots) reload.previous.set(slotKey(group.name, slot.id), slot.target)
    const generation = reload.next.get(group.name)
    if (generation !== undefined) for (const slot of provingSlots(fleet, reload, group)) retarget(slot, generation)
  }
  // no successor will tell what the start file says
  const isTold = !fleet.isDormant && groupsOf(fleet, reload).some((group) => isWithoutEnv(group.spec))
  if (!isTold) actions.push({ do: 'read-start-file', reload: reload.key })
}

// ---- canaries ------------------------------------------------------------------------------------------------------

function advanceCanaries(fleet: Fleet, reload: Reload, now: number, actions: Action[]): void {
  if (reload.read && !reload.topology) reshape(fleet, reload, reload.read.specs, now, actions)
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
  if (isOvertaken(fleet, reload, now)) {
    overtake(fleet, reload, now, actions)
    return
  }
  if (reload.unread && proving.every((one) => isPrepared(fleet, reload, one))) {
    reject(fleet, reload, reload.unread, now, actions)
    return
  }
  if (!reload.topology || reload.binding.size > 0) return
  const isProven = ({ group, slot }: (typeof proving)[number]): boolean =>
    childrenOf(fleet, group.name, slot.id).some(
      (child) => child.generation === reload.next.get(group.name) && isBaked(fleet, reload, group, child),
    )
  if (!proving.every(isProven)) return
  beginRoll(fleet, reload)
}

/** Code that a person has changed again while it does not become ready: they need not wait for its deadline. */
function isOvertaken(fleet: Fleet, reload: Reload, now: number): boolean {
  const at = overtakenAt(reload)
  if (at === null || now < at) return false
  return fleet.waiting.some((request) => request.kind === 'reload' && request.isWatch)
}

function overtake(fleet: Fleet, reload: Reload, now: number, actions: Action[]): void {
  const message = 'a file has changed again before this code was ready'
  reject(fleet, reload, { worker: 'watch', message, stack: message, output: '' }, now, actions)
}

function isPrepared(fleet: Fleet, reload: Reload, { group, slot }: { group: Group; slot: Slot }): boolean {
  const generation = reload.next.get(group.name)
  return childrenOf(fleet, group.name, slot.id).some(
    (child) => child.generation === generation && child.state === 'prepared',
  )
}

/** Nothing old has left: the successors end, also those that serve already, and every target is what it was. */
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
  group.suspended ||= reload.isOfCode
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
  for (const group of groupsOf(fleet, reload)) adopt(reload, group)
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

/** All of it runs the new code: it is what the start file says of it. */
function adopt(reload: Reload, group: Group): void {
  const variant = reload.topology?.variants.get(group.name)
  group.suspended = false
  group.count = nextCount(reload, group)
  if (variant) Object.assign(group, { spec: variant.spec, listener: variant.listener })
  group.variants.clear()
}

/** A later slot failed: it and all that wait keep what they run. */
function stopRoll(fleet: Fleet, reload: Reload, failure: ReloadFailure | null, now: number, actions: Action[]): void {
  for (const group of groupsOf(fleet, reload)) {
    const left = missing(fleet, reload, group)
    if (left.length === 0) {
      adopt(reload, group)
      continue
    }
    if (reload.topology?.added.includes(group.name)) {
      dismiss(group)
      continue
    }
    group.suspended = true
    group.count = reload.counts.get(group.name) ?? group.count
    for (const slot of left) {
      const retryAt = Math.max(slot.retryAt, now)
      retarget(slot, previousOf(reload, group, slot))
      slot.retryAt = retryAt
    }
    takeGeneration(group)
    forgetUnused(reload, group)
  }
  endServing(fleet, reload, { result: 'mixed', error: failure, now }, actions)
  for (const name of reload.groups) retireExtraOf(fleet, name, now, actions)
}

/** Nobody is to run it: what only it listens on is let go of. */
function forgetUnused(reload: Reload, group: Group): void {
  const generation = reload.next.get(group.name)
  const isUsed = liveSlots(group).some((slot) => slot.target === generation)
  if (generation !== undefined && !isUsed) group.variants.delete(generation)
}

function retireExtraOf(fleet: Fleet, name: string, now: number, actions: Action[]): void {
  const group = fleet.groups.get(name)
  if (group) retireExtra(fleet, group, now, actions)
}
