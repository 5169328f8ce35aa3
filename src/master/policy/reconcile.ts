/**
 * The policy: what ought to be done about the fleet as it is. Run after every event and timer by the
 * supervisor, who acts on what it returns. It changes the fleet's data (targets, phases, states) as
 * it decides, reads no clock and touches nothing outside; so any order of events can be tried on it.
 */
import type { StopReason } from '../../ipc/messages.ts'
import type { Action } from './actions.ts'
import { settle } from './answers.ts'
import { bringUp } from './bringup.ts'
import { isComing } from './child.ts'
import { countHang, failByMaster } from './events.ts'
import {
  type Child,
  childrenOf,
  currentOf,
  type Fleet,
  type Group,
  hasFailed,
  LEAVE_TIMEOUT_MS,
  liveSlots,
  move,
  type Slot,
  servesFully,
} from './fleet.ts'
import { enforceHangs, hungAt } from './hang.ts'
import { advanceReload, beginReload, namesGone } from './reload.ts'
import { capDraining, startDrain } from './retire.ts'
import { advanceScale, beginScale } from './scale.ts'
import { stopAll } from './stop.ts'
import { bakeMsOf, isKept, overtakenAt } from './succession.ts'

/**
 * Decides what is to be done now.
 * @param heardAt what had come by then was read: a worker's silence is judged by that time, not by this one.
 */
export function reconcile(fleet: Fleet, now: number, heardAt: number = now): Action[] {
  const actions: Action[] = []
  fleet.heardAt = heardAt
  if (fleet.phase === 'stopped') {
    // whoever asks now gets an answer, too
    settle(fleet, now, actions)
    return actions
  }
  enforceDeadlines(fleet, now, actions)
  enforceHangs(fleet, now, (child) => countHang(fleet, child, now), actions)
  if (fleet.phase === 'starting') endFirstStart(fleet, now, actions)
  if (fleet.phase === 'stopping') stopAll(fleet, now, actions)
  else operate(fleet, now, actions)
  settle(fleet, now, actions)
  if (fleet.phase === 'stopping' && fleet.children.size === 0) {
    fleet.phase = 'stopped'
    actions.push({ do: 'stopped' })
  }
  return actions
}

function operate(fleet: Fleet, now: number, actions: Action[]): void {
  if (fleet.phase === 'running') advanceOperations(fleet, now, actions)
  // before the last that listens on it leaves: what the kernel has queued is still accepted
  releaseListeners(fleet, actions)
  for (const group of [...fleet.groups.values()]) reconcileGroup(fleet, group, now, actions)
}

/** One after the other, as long as they end without an event to come. */
function advanceOperations(fleet: Fleet, now: number, actions: Action[]): void {
  do {
    if (!fleet.reload && !fleet.scaling) beginNext(fleet, now, actions)
    if (fleet.reload) advanceReload(fleet, fleet.reload, now, actions)
    if (fleet.scaling) advanceScale(fleet, fleet.scaling, now, actions)
  } while (!fleet.reload && !fleet.scaling && fleet.waiting.length > 0)
}

function beginNext(fleet: Fleet, now: number, actions: Action[]): void {
  const [first] = fleet.waiting
  if (!first) return
  if (first.kind === 'scale') {
    fleet.waiting.shift()
    beginScale(fleet, first, now, actions)
    return
  }
  const end = fleet.waiting.findIndex((request) => request.kind !== 'reload')
  const waiting = fleet.waiting.splice(0, end < 0 ? fleet.waiting.length : end)
  const reloads = waiting.filter((request) => request.kind === 'reload')
  // a name that is gone since it was asked for is the failure of those who have said it, and of nobody else
  const failing = reloads.filter((request) => namesGone(fleet, request))
  const others = reloads.filter((request) => !failing.includes(request))
  if (failing.length > 0) fleet.waiting.unshift(...others)
  beginReload(fleet, failing.length > 0 ? failing : others, now, actions)
}

/** What no group listens on any more, and no reload under way is about to. */
function releaseListeners(fleet: Fleet, actions: Action[]): void {
  const needed = new Set<string | null>(fleet.reload?.binding)
  for (const group of fleet.groups.values()) {
    if (group.isLeaving) continue
    needed.add(group.listener)
    for (const { listener } of group.variants.values()) needed.add(listener)
  }
  for (const { listener } of fleet.reload?.topology?.variants.values() ?? []) needed.add(listener)
  for (const key of fleet.listeners) {
    if (needed.has(key)) continue
    fleet.listeners.delete(key)
    actions.push({ do: 'close-listener', key })
  }
}

// ---- deadlines -----------------------------------------------------------------------------------------------------

function enforceDeadlines(fleet: Fleet, now: number, actions: Action[]): void {
  for (const child of [...fleet.children.values()]) {
    if (child.disagreement !== null && isComing(child.state)) {
      failByMaster(fleet, child, disagreementText(child.disagreement), now)
      startDrain(fleet, child, 'cancelled', now, actions)
    }
    if (child.deadlineAt === null || fleet.heardAt < child.deadlineAt) continue
    const { state } = child
    if (!move(child, 'deadline')) continue
    child.deadlineAt = now + LEAVE_TIMEOUT_MS
    const why = lateness(child, state)
    if (isComing(state)) {
      failByMaster(fleet, child, why, now)
      markTimedOut(fleet, child)
    }
    actions.push({ do: 'kill', child, why })
  }
}

function disagreementText(where: string): string {
  return `the start file says something else than a moment ago (${where}): it was changed, or says something else in each process`
}

function markTimedOut(fleet: Fleet, child: Child): void {
  const slot = fleet.groups.get(child.name)?.slots[child.id]
  if (slot && slot.target === child.generation) slot.timedOut = true
}

function lateness(child: Child, state: Child['state']): string {
  const { startTimeoutMs } = child
  if (state === 'starting')
    return `not ready ${startTimeoutMs} ms after its start (startTimeoutMs): ${whereItIs(child)}`
  if (state === 'admitted') return `did not listen within ${startTimeoutMs} ms (startTimeoutMs)`
  if (state === 'hung' && child.failure) return child.failure.message
  if (state === 'killed') return 'still there after SIGKILL'
  return 'did not leave after its drain'
}

/** What it said last is that it has read the start file. */
function whereItIs({ name, specs }: Child): string {
  if (specs === null) return 'the start file was not read to its end, runAll()'
  const hasCheck = specs.find((spec) => spec.name === name)?.healthCheck != null
  return `the start file was read, ${hasCheck ? 'onWorkerStart or the health check' : 'onWorkerStart'} has not settled`
}

// ---- the first start -----------------------------------------------------------------------------------------------

/** The start is over when every slot serves, or when one has failed. */
function endFirstStart(fleet: Fleet, now: number, actions: Action[]): void {
  const groups = [...fleet.groups.values()]
  if (groups.every((group) => servesFully(fleet, group))) {
    fleet.phase = 'running'
    actions.push({ do: 'started' })
    return
  }
  const failed = groups.flatMap(liveSlots).find(hasFailed)
  if (!failed) return
  fleet.startFailure = failed.lastFailure
  if (fleet.conditions.waitsForChange) {
    fleet.phase = 'running'
    fleet.isDormant = true
  } else {
    fleet.phase = 'stopping'
    fleet.stopping = { askedAt: now, orderedAt: now, graceful: false, timeoutMs: null, force: false }
  }
  actions.push({ do: 'start-failed' })
}

// ---- one group -----------------------------------------------------------------------------------------------------

function reconcileGroup(fleet: Fleet, group: Group, now: number, actions: Action[]): void {
  // first all that end: each makes room for one that comes
  for (const slot of group.slots) retireOld(fleet, group, slot, now, actions)
  for (const slot of group.slots) {
    if (slot.id < group.count) bringUp(fleet, group, slot, now, actions)
    capDraining(fleet, group, slot, now, actions)
  }
  chooseLeader(fleet, group, actions)
  forgetEmpty(fleet, group)
}

/** Slots that are not wanted any more go with their last child, and a group with its last slot. */
function forgetEmpty(fleet: Fleet, group: Group): void {
  while (group.slots.length > group.count && childrenOf(fleet, group.name, group.slots.length - 1).length === 0)
    group.slots.pop()
  if (group.isLeaving && group.slots.length === 0) fleet.groups.delete(group.name)
}

/** A serving child whose successor serves drains; a coming child that is not wanted any more ends. */
function retireOld(fleet: Fleet, group: Group, slot: Slot, now: number, actions: Action[]): void {
  const current = currentOf(fleet, group.name, slot.id)
  for (const child of childrenOf(fleet, group.name, slot.id)) {
    const reason = isComing(child.state) ? endReason(fleet, group, slot, child) : leaveReason(fleet, group, slot, child)
    if (reason === null) continue
    if (reason === 'reload') child.successor = child === current ? null : current
    startDrain(fleet, child, reason, now, actions)
  }
}

/** Why one that has not served yet is not wanted any more; null: it is. */
function endReason(fleet: Fleet, group: Group, slot: Slot, child: Child): StopReason | null {
  if (fleet.isDormant && !fleet.reload) return 'cancelled'
  return slot.id >= group.count || child.generation !== slot.target ? 'cancelled' : null
}

/** Why one that serves is to leave; null: it is not. */
function leaveReason(fleet: Fleet, group: Group, slot: Slot, child: Child): StopReason | null {
  if (child.state !== 'serving') return null
  if (fleet.isDormant && !fleet.reload) return 'cancelled'
  if (slot.id >= group.count) return group.isLeaving ? 'reload' : 'scale'
  const current = currentOf(fleet, group.name, slot.id)
  if (!current || child === current || isKept(fleet, group, child)) return null
  if (child.generation === current.generation) return 'recycle'
  return child.generation < current.generation ? 'reload' : 'cancelled'
}

// ---- leader --------------------------------------------------------------------------------------------------------

/** Keeps the leader as long as it serves; a new one only when the old has said that it resigned, or is gone. */
function chooseLeader(fleet: Fleet, group: Group, actions: Action[]): void {
  const leader = group.leaderKey === null ? undefined : fleet.children.get(group.leaderKey)
  if (leader && !leader.resigned) return
  group.leaderKey = null
  const next = liveSlots(group)
    .map((slot) => currentOf(fleet, group.name, slot.id))
    .find((child) => child !== null)
  if (!next) return
  group.leaderKey = next.key
  actions.push({ do: 'lead', child: next })
}

// ---- when to look again --------------------------------------------------------------------------------------------

/** The next time at which `reconcile` may decide something without an event, `now` at once; null: never. */
export function nextWakeAt(fleet: Fleet, now: number): number | null {
  let wakeAt = Number.POSITIVE_INFINITY
  const consider = (at: number | null): void => {
    if (at !== null && at > now) wakeAt = Math.min(wakeAt, at)
  }
  const considerHeard = (at: number | null): void => {
    if (at !== null && at > fleet.heardAt) wakeAt = Math.min(wakeAt, Math.max(at, now))
  }
  for (const child of fleet.children.values()) {
    considerHeard(child.deadlineAt)
    considerHeard(hungAt(child))
    const group = fleet.groups.get(child.name)
    if (group && child.state === 'prepared' && child.preparedAt !== null)
      considerHeard(child.preparedAt + bakeMsOf(fleet.reload, group))
  }
  if (fleet.reload) consider(overtakenAt(fleet.reload))
  for (const group of fleet.groups.values()) {
    for (const slot of group.slots) consider(slot.retryAt)
    if (fleet.stopping) consider(fleet.stopping.askedAt + group.spec.stopDelayMs)
  }
  return wakeAt === Number.POSITIVE_INFINITY ? null : wakeAt
}
