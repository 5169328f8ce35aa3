/**
 * The policy: what ought to be done about the fleet as it is. Run after every event and timer by the
 * supervisor, who acts on what it returns. It changes the fleet's data (targets, phases, states) as
 * it decides, reads no clock and touches nothing outside; so any order of events can be tried on it.
 */
import type { Action } from './actions.ts'
import { isComing } from './child.ts'
import { failByMaster } from './events.ts'
import {
  type Child,
  childrenOf,
  currentOf,
  type Fleet,
  type Group,
  hasFailed,
  LEAVE_TIMEOUT_MS,
  move,
  type Slot,
} from './fleet.ts'
import { advanceReload, awaitsBake, isHeld, settleReloads } from './reload.ts'
import { capDraining, startDrain } from './retire.ts'
import { stopAll } from './stop.ts'

export function reconcile(fleet: Fleet, now: number): Action[] {
  const actions: Action[] = []
  if (fleet.phase === 'stopped') {
    // whoever asks now gets an answer, too
    settleReloads(fleet, now, actions)
    return actions
  }
  enforceDeadlines(fleet, now, actions)
  if (fleet.phase === 'starting') endFirstStart(fleet, now, actions)
  if (fleet.phase === 'running') advanceReload(fleet, now, actions)
  if (fleet.phase === 'stopping') stopAll(fleet, now, actions)
  else for (const group of fleet.groups.values()) reconcileGroup(fleet, group, now, actions)
  settleReloads(fleet, now, actions)
  if (fleet.phase === 'stopping' && fleet.children.size === 0) {
    fleet.phase = 'stopped'
    actions.push({ do: 'stopped' })
  }
  return actions
}

// ---- deadlines -----------------------------------------------------------------------------------------------------

function enforceDeadlines(fleet: Fleet, now: number, actions: Action[]): void {
  for (const child of [...fleet.children.values()]) {
    if (child.disagrees && isComing(child.state)) {
      failByMaster(fleet, child, 'the start file changed during the reload', now)
      startDrain(fleet, child, 'cancelled', now, actions)
    }
    if (child.deadlineAt === null || now < child.deadlineAt) continue
    const { state } = child
    if (!move(child, 'deadline')) continue
    child.deadlineAt = now + LEAVE_TIMEOUT_MS
    const why = lateness(fleet, child, state)
    if (isComing(state)) {
      failByMaster(fleet, child, why, now)
      markTimedOut(fleet, child)
    }
    actions.push({ do: 'kill', child, why })
  }
}

function markTimedOut(fleet: Fleet, child: Child): void {
  const slot = fleet.groups.get(child.name)?.slots[child.id]
  if (slot && slot.target === child.generation) slot.timedOut = true
}

function lateness(fleet: Fleet, child: Child, state: Child['state']): string {
  const spec = fleet.groups.get(child.name)?.spec
  if (state === 'starting') return `not ready ${spec?.startTimeoutMs ?? 0} ms after its start (startTimeoutMs)`
  if (state === 'admitted') return `did not listen within ${spec?.startTimeoutMs ?? 0} ms (startTimeoutMs)`
  if (state === 'killed') return 'still there after SIGKILL'
  return 'did not leave after its drain'
}

// ---- the first start -----------------------------------------------------------------------------------------------

/** The start is over when every slot serves, or when one has failed. */
function endFirstStart(fleet: Fleet, now: number, actions: Action[]): void {
  if (everySlotServes(fleet)) {
    fleet.phase = 'running'
    actions.push({ do: 'started' })
    return
  }
  for (const group of fleet.groups.values())
    for (const slot of group.slots) {
      if (!hasFailed(slot)) continue
      fleet.startFailure = slot.lastFailure
      fleet.phase = 'stopping'
      fleet.stopping = { askedAt: now, orderedAt: now, graceful: false, timeoutMs: null, force: false }
      actions.push({ do: 'start-failed' })
      return
    }
}

function everySlotServes(fleet: Fleet): boolean {
  for (const group of fleet.groups.values())
    for (const slot of group.slots) if (!currentOf(fleet, group.spec.name, slot.id)) return false
  return true
}

// ---- one group -----------------------------------------------------------------------------------------------------

function reconcileGroup(fleet: Fleet, group: Group, now: number, actions: Action[]): void {
  // first all that end: each makes room for one that comes
  for (const slot of group.slots) retireOld(fleet, group, slot, now, actions)
  for (const slot of group.slots) {
    bringUp(fleet, group, slot, now, actions)
    capDraining(fleet, group, slot, now, actions)
  }
  chooseLeader(fleet, group, actions)
}

/** A serving child whose successor serves drains; a coming child that is not wanted any more ends. */
function retireOld(fleet: Fleet, group: Group, slot: Slot, now: number, actions: Action[]): void {
  const current = currentOf(fleet, group.spec.name, slot.id)
  for (const child of childrenOf(fleet, group.spec.name, slot.id)) {
    if (child.state === 'serving' && child !== current) {
      const reason = child.generation === current?.generation ? 'recycle' : 'reload'
      if (reason === 'reload') child.successor = current
      startDrain(fleet, child, reason, now, actions)
    } else if (isComing(child.state) && child.generation !== slot.target) {
      startDrain(fleet, child, 'cancelled', now, actions)
    }
  }
}

function bringUp(fleet: Fleet, group: Group, slot: Slot, now: number, actions: Action[]): void {
  const successor = childrenOf(fleet, group.spec.name, slot.id).find((child) => isComing(child.state))
  if (successor) {
    if (successor.state === 'prepared' && !awaitsBake(fleet, successor)) admit(group, successor, now, actions)
    return
  }
  if (now < slot.retryAt || !maySpawn(fleet, group, slot)) return
  actions.push({ do: 'spawn', child: addChild(fleet, group, slot, now), spec: group.spec })
}

function admit(group: Group, child: Child, now: number, actions: Action[]): void {
  if (!move(child, 'admit')) return
  child.deadlineAt = now + group.spec.startTimeoutMs
  actions.push({ do: 'serve', child })
}

function maySpawn(fleet: Fleet, group: Group, slot: Slot): boolean {
  const current = currentOf(fleet, group.spec.name, slot.id)
  if (isHeld(fleet, slot, group.spec.name)) return false
  if (!current) return true
  const outdated = current.generation < slot.target
  // a fault does not wait for a good reload: the old one stays until a successor has proven itself
  const mayRecycle = !group.suspended || current.replaceWanted === 'unhealthy'
  const recycled = current.replaceWanted !== null && mayRecycle && fleet.reload === null
  if (!outdated && !recycled) return false
  return replacementsUnderWay(fleet, group) < (outdated ? surgeOf(group) : 1)
}

/** How many slots of a group are replaced at a time: a quarter of them, at least one. */
export function surgeOf(group: Group): number {
  return Math.max(1, Math.floor(group.spec.count / 4))
}

function replacementsUnderWay(fleet: Fleet, group: Group): number {
  let count = 0
  for (const slot of group.slots) {
    const coming = childrenOf(fleet, group.spec.name, slot.id).some((child) => isComing(child.state))
    if (coming && currentOf(fleet, group.spec.name, slot.id)) count++
  }
  return count
}

function addChild(fleet: Fleet, group: Group, slot: Slot, now: number): Child {
  const child: Child = {
    key: fleet.nextKey++,
    name: group.spec.name,
    id: slot.id,
    generation: slot.target,
    attempt: slot.tries + 1,
    pid: 0,
    state: 'starting',
    startedAt: now,
    preparedAt: null,
    servingAt: null,
    drainAt: null,
    deadlineAt: now + group.spec.startTimeoutMs,
    drainReason: null,
    replaceWanted: null,
    successor: null,
    resigned: false,
    disagrees: false,
    failure: null,
    output: '',
    report: null,
  }
  fleet.children.set(child.key, child)
  return child
}

// ---- leader --------------------------------------------------------------------------------------------------------

/** Keeps the leader as long as it serves; a new one only when the old has said that it resigned, or is gone. */
function chooseLeader(fleet: Fleet, group: Group, actions: Action[]): void {
  const leader = group.leaderKey === null ? undefined : fleet.children.get(group.leaderKey)
  if (leader && !leader.resigned) return
  group.leaderKey = null
  const next = group.slots.map((slot) => currentOf(fleet, group.spec.name, slot.id)).find((child) => child !== null)
  if (!next) return
  group.leaderKey = next.key
  actions.push({ do: 'lead', child: next })
}

// ---- when to look again --------------------------------------------------------------------------------------------

/** The next time at which `reconcile` may decide something without an event; null: never. */
export function nextWakeAt(fleet: Fleet, now: number): number | null {
  let wakeAt = Number.POSITIVE_INFINITY
  const consider = (at: number | null): void => {
    if (at !== null && at > now) wakeAt = Math.min(wakeAt, at)
  }
  for (const child of fleet.children.values()) {
    consider(child.deadlineAt)
    const bakeMs = fleet.groups.get(child.name)?.spec.bakeMs ?? 0
    if (child.state === 'prepared' && child.preparedAt !== null) consider(child.preparedAt + bakeMs)
  }
  for (const group of fleet.groups.values()) {
    for (const slot of group.slots) consider(slot.retryAt)
    if (fleet.stopping) consider(fleet.stopping.askedAt + group.spec.stopDelayMs)
  }
  return wakeAt === Number.POSITIVE_INFINITY ? null : wakeAt
}
