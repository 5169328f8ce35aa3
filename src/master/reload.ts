/**
 * A rolling reload as policy: canaries first, one in every affected group, all prepared and baked
 * before anything old is touched; then the other slots; then the answer, when the old ones have left.
 * Called by `reconcile` only; changes the fleet's data, touches nothing outside.
 */
import type { ReloadFailure, ReloadSummary } from '../ipc/status.ts'
import { needsRestart } from '../spec/difference.ts'
import type { Action } from './actions.ts'
import { isComing } from './child.ts'
import {
  type Child,
  childrenOf,
  currentOf,
  type Fleet,
  type Group,
  hasFailed,
  type Reload,
  retarget,
  type Slot,
  slotKey,
} from './fleet.ts'

/** The slot whose successor tries the new code first. */
const CANARY_ID = 0

export function advanceReload(fleet: Fleet, now: number, actions: Action[]): void {
  if (!fleet.reload && fleet.waiting.length > 0) beginReload(fleet, now, actions)
  const { reload } = fleet
  if (!reload) return
  if (reload.phase === 'canary') advanceCanaries(fleet, reload, now)
  if (reload.phase === 'roll') advanceRoll(fleet, reload, now, actions)
  // it has ended without an event to come: the next one begins now
  if (!fleet.reload && fleet.waiting.length > 0) advanceReload(fleet, now, actions)
}

/** A prepared canary is not admitted before all canaries are baked. */
export function awaitsBake(fleet: Fleet, child: Child): boolean {
  const { reload } = fleet
  return reload?.phase === 'canary' && reload.next.get(child.name) === child.generation
}

/** While canaries bake, the other slots of their groups are not filled: it would be by unproven code. */
export function isHeld(fleet: Fleet, slot: Slot, name: string): boolean {
  const { reload } = fleet
  return reload?.phase === 'canary' && reload.groups.includes(name) && slot.id !== CANARY_ID
}

// ---- begin ---------------------------------------------------------------------------------------------------------

/** All requests that wait become one reload: each of them was asked before this one reads the code. */
function beginReload(fleet: Fleet, now: number, actions: Action[]): void {
  const requests = fleet.waiting.splice(0)
  const all = requests.some((request) => request.groups === null)
  const named = new Set(requests.flatMap((request) => request.groups ?? []))
  const chosen = [...fleet.groups.values()].filter(
    (group) => named.has(group.spec.name) || (all && group.spec.reloadable),
  )
  const timeouts = requests.map((request) => request.timeoutMs).filter((timeoutMs) => timeoutMs !== null)
  const next = new Map(chosen.map((group) => [group.spec.name, nextGeneration(fleet, group)]))
  const reload: Reload = {
    ids: requests.map((request) => request.id),
    groups: chosen.map((group) => group.spec.name),
    graceful: requests.some((request) => request.graceful),
    timeoutMs: timeouts.length > 0 ? Math.max(...timeouts) : null,
    startedAt: now,
    next,
    previous: new Map(),
    phase: 'canary',
    specs: null,
    version: null,
    summary: emptySummary(fleet, next),
    leaving: new Set(),
  }
  for (const group of chosen) prepareGroup(reload, group)
  fleet.reload = reload
  actions.push({ do: 'reload-began', groups: reload.groups })
}

function prepareGroup(reload: Reload, group: Group): void {
  for (const slot of group.slots) reload.previous.set(slotKey(group.spec.name, slot.id), slot.target)
  const canary = group.slots[CANARY_ID]
  const generation = reload.next.get(group.spec.name)
  if (canary && generation !== undefined) retarget(canary, generation)
}

/** Above all that runs or ought to run, so that no two codes share a number. */
function nextGeneration(fleet: Fleet, group: Group): number {
  let highest = group.generation
  for (const slot of group.slots) highest = Math.max(highest, slot.target)
  for (const child of fleet.children.values())
    if (child.name === group.spec.name) highest = Math.max(highest, child.generation)
  return highest + 1
}

function emptySummary(fleet: Fleet, next: ReadonlyMap<string, number>): ReloadSummary {
  const kept = [...fleet.groups.keys()].filter((name) => !next.has(name))
  return {
    result: 'done',
    generation: highestGeneration(fleet),
    durationMs: 0,
    error: null,
    replaced: [],
    kept,
    applied: [],
    needsRestart: [],
  }
}

// ---- canaries ------------------------------------------------------------------------------------------------------

function advanceCanaries(fleet: Fleet, reload: Reload, now: number): void {
  const groups = groupsOf(fleet, reload)
  const failed = groups.map((group) => group.slots[CANARY_ID]).find((slot) => slot !== undefined && hasFailed(slot))
  if (failed) {
    reject(fleet, reload, failed.lastFailure)
    return
  }
  if (!groups.every((group) => isBaked(fleet, reload, group, now))) return
  reload.phase = 'roll'
  for (const group of groups) {
    const generation = reload.next.get(group.spec.name) ?? group.generation
    group.generation = generation
    for (const slot of group.slots) if (slot.id !== CANARY_ID) retarget(slot, generation)
  }
}

function isBaked(fleet: Fleet, reload: Reload, group: Group, now: number): boolean {
  const generation = reload.next.get(group.spec.name)
  return childrenOf(fleet, group.spec.name, CANARY_ID).some(
    (child) =>
      child.generation === generation &&
      child.state === 'prepared' &&
      child.preparedAt !== null &&
      now >= child.preparedAt + group.spec.bakeMs,
  )
}

/** Nothing old was touched: the canaries end, every target is what it was. */
function reject(fleet: Fleet, reload: Reload, failure: ReloadFailure | null): void {
  for (const group of groupsOf(fleet, reload)) {
    group.suspended = true
    const canary = group.slots[CANARY_ID]
    if (canary) retarget(canary, previousOf(reload, group, canary))
  }
  endServing(fleet, reload, 'rejected', failure)
}

// ---- the roll ------------------------------------------------------------------------------------------------------

function advanceRoll(fleet: Fleet, reload: Reload, now: number, actions: Action[]): void {
  let isComplete = true
  for (const group of groupsOf(fleet, reload))
    for (const slot of group.slots) {
      const generation = reload.next.get(group.spec.name)
      if (currentOf(fleet, group.spec.name, slot.id)?.generation === generation) continue
      isComplete = false
      if (!hasFailed(slot)) continue
      stopRoll(fleet, reload, slot.lastFailure, now)
      return
    }
  if (!isComplete) return
  for (const group of groupsOf(fleet, reload)) adopt(reload, group)
  endServing(fleet, reload, 'done', null)
  actions.push({ do: 'reload-served', groups: reload.groups, generation: reload.summary.generation })
}

/** The code is proven: recycling may go on, and what only the master uses of the new spec takes effect. */
function adopt(reload: Reload, group: Group): void {
  group.suspended = false
  const spec = reload.specs?.find((candidate) => candidate.name === group.spec.name)
  if (!spec) return
  const { startTimeoutMs, stopTimeoutMs, stopDelayMs, bakeMs, maxRequests, env } = spec
  group.spec = { ...group.spec, startTimeoutMs, stopTimeoutMs, stopDelayMs, bakeMs, maxRequests, env }
}

/** A later slot failed: it and all that wait keep what they run. */
function stopRoll(fleet: Fleet, reload: Reload, failure: ReloadFailure | null, now: number): void {
  for (const group of groupsOf(fleet, reload)) {
    const generation = reload.next.get(group.spec.name)
    group.suspended = true
    for (const slot of group.slots) {
      if (currentOf(fleet, group.spec.name, slot.id)?.generation === generation) continue
      const retryAt = Math.max(slot.retryAt, now)
      retarget(slot, previousOf(reload, group, slot))
      slot.retryAt = retryAt
    }
  }
  endServing(fleet, reload, 'mixed', failure)
}

// ---- the end -------------------------------------------------------------------------------------------------------

/** The next operation may begin; the answer waits for those that leave. */
function endServing(fleet: Fleet, reload: Reload, result: ReloadSummary['result'], error: ReloadFailure | null): void {
  const running = [...fleet.groups.values()].map((group) => group.spec)
  reload.summary.result = result
  reload.summary.error = error
  reload.summary.generation = highestGeneration(fleet)
  reload.summary.needsRestart = reload.specs ? needsRestart(running, reload.specs) : []
  if (reload.version !== null && reload.version !== fleet.version)
    reload.summary.needsRestart.push(`Shiftwork: ${fleet.version} → ${reload.version}`)
  fleet.reload = null
  if (result !== 'cancelled') for (const group of groupsOf(fleet, reload)) collectLeaving(fleet, reload, group)
  fleet.settling.push(reload)
}

/** Every child of the group that is not the one that serves its slot, or is about to. */
function collectLeaving(fleet: Fleet, reload: Reload, group: Group): void {
  for (const slot of group.slots) {
    const current = currentOf(fleet, group.spec.name, slot.id)
    for (const child of childrenOf(fleet, group.spec.name, slot.id)) {
      const isWanted = child === current || (isComing(child.state) && child.generation === slot.target)
      if (!isWanted) reload.leaving.add(child.key)
    }
  }
}

/** Answers every reload whose old children (or ended canaries) are gone; a stop cancels the rest. */
export function settleReloads(fleet: Fleet, now: number, actions: Action[]): void {
  if (fleet.phase === 'stopping' || fleet.phase === 'stopped') cancelReloads(fleet, actions)
  for (const reload of [...fleet.settling]) {
    for (const key of reload.leaving) if (!fleet.children.has(key)) reload.leaving.delete(key)
    if (reload.leaving.size > 0) continue
    fleet.settling.splice(fleet.settling.indexOf(reload), 1)
    for (const group of groupsOf(fleet, reload)) noteFilled(fleet, reload, group)
    reload.summary.durationMs = Math.round(now - reload.startedAt)
    actions.push({ do: 'answer', ids: reload.ids, summary: reload.summary })
  }
}

/** A slot that was empty when its successor came has nobody whose exit would tell of the change. */
function noteFilled(fleet: Fleet, reload: Reload, group: Group): void {
  const { replaced } = reload.summary
  const { name } = group.spec
  for (const { id } of group.slots) {
    const current = currentOf(fleet, name, id)
    if (current?.generation !== reload.next.get(name) || replaced.some((row) => row.name === name && row.id === id))
      continue
    const startMs = Math.round((current?.preparedAt ?? 0) - (current?.startedAt ?? 0))
    const fresh = { oldPid: null, newPid: current?.pid ?? 0, startMs, drainMs: 0 }
    replaced.push({ name, id, ...fresh, connectionsMoved: 0, connectionsCut: 0 })
  }
}

function cancelReloads(fleet: Fleet, actions: Action[]): void {
  if (fleet.reload) endServing(fleet, fleet.reload, 'cancelled', null)
  const waiting = fleet.waiting.splice(0)
  if (waiting.length === 0) return
  const summary = { ...emptySummary(fleet, new Map()), result: 'cancelled' as const }
  actions.push({ do: 'answer', ids: waiting.map((request) => request.id), summary })
}

function highestGeneration(fleet: Fleet): number {
  return Math.max(...[...fleet.groups.values()].map((group) => group.generation))
}

function groupsOf(fleet: Fleet, reload: Reload): Group[] {
  return reload.groups.map((name) => fleet.groups.get(name)).filter((group) => group !== undefined)
}

function previousOf(reload: Reload, group: Group, slot: Slot): number {
  return reload.previous.get(slotKey(group.spec.name, slot.id)) ?? group.generation
}
