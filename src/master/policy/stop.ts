/**
 * A stop as policy: every child drains, group by group: when its `stopDelayMs` is over, and those that
 * come after it are gone. Called by `reconcile`.
 */
import type { Action } from './actions.ts'
import { isComing } from './child.ts'
import { type Child, type Fleet, type Group, LEAVE_TIMEOUT_MS, type Stopping } from './fleet.ts'
import { STOP_LINGER_MS, startDrain } from './retire.ts'

export function stopAll(fleet: Fleet, now: number, actions: Action[]): void {
  const stopping = fleet.stopping
  if (!stopping) return
  giveTurns(fleet, stopping, now)
  for (const group of fleet.groups.values()) {
    const isDue = group.stopTurnAt !== null
    const children = [...fleet.children.values()].filter((child) => child.name === group.name)
    for (const child of children) {
      if (stopping.force) forceOut(child, now, actions)
      else if (isDue || isComing(child.state)) stopChild(fleet, child, now, actions)
    }
    if (isDue) closeListeners(fleet, group, actions)
  }
}

/** Groups that were reloaded one by one may wait for each other by now: then all have their turn. */
function giveTurns(fleet: Fleet, stopping: Stopping, now: number): void {
  const living = new Set([...fleet.children.values()].map((child) => child.name))
  const groups = [...fleet.groups.values()].filter((group) => living.has(group.name))
  const due = groups.filter((group) => group.stopTurnAt !== null || isTurnOf(fleet, stopping, group, now))
  const isOver = groups.every((group) => now >= stopping.askedAt + group.spec.stopDelayMs)
  for (const group of due.length === 0 && isOver ? groups : due) group.stopTurnAt ??= now
  // nobody is left in it: only its listener goes
  for (const group of fleet.groups.values()) if (!living.has(group.name)) group.stopTurnAt ??= now
}

/** When its `stopDelayMs` is over and all that come after it are gone. */
function isTurnOf(fleet: Fleet, stopping: Stopping, group: Group, now: number): boolean {
  if (fleet.startFailure !== null || stopping.force) return true
  if (now < stopping.askedAt + group.spec.stopDelayMs) return false
  const living = new Set([...fleet.children.values()].map((child) => child.name))
  return ![...fleet.groups.values()].some((other) => other.spec.after.includes(group.name) && living.has(other.name))
}

function closeListeners(fleet: Fleet, group: Group, actions: Action[]): void {
  const keys = [group.listener, ...[...group.variants.values()].map((variant) => variant.listener)]
  for (const key of keys) {
    if (key === null || !fleet.listeners.delete(key)) continue
    actions.push({ do: 'close-listener', key })
  }
}

function stopChild(fleet: Fleet, child: Child, now: number, actions: Action[]): void {
  // it will be killed in a moment, or drains by itself
  if (child.state === 'hung') return
  if (child.state !== 'draining') {
    startDrain(fleet, child, 'stop', now, actions)
    return
  }
  const wasToldOfStop = child.drainReason === 'stop'
  const isUpToDate = wasToldOfStop && (child.drainAt ?? 0) >= (fleet.stopping?.orderedAt ?? 0)
  if (isUpToDate) return
  // it hears no order any more, or leaves in a moment
  if (child.drainReason === 'crash') {
    child.deadlineAt = Math.min(child.deadlineAt ?? Number.POSITIVE_INFINITY, stopDeadline(fleet, child))
    return
  }
  // it drains since a reload or an earlier stop: a deadline is brought nearer, never put off
  const before = child.deadlineAt ?? Number.POSITIVE_INFINITY
  const deadlineAt = Math.min(before, stopDeadline(fleet, child))
  if (wasToldOfStop && deadlineAt === before) return
  child.drainReason = 'stop'
  child.deadlineAt = deadlineAt === Number.POSITIVE_INFINITY ? null : deadlineAt
  const timeoutMs = child.deadlineAt === null ? null : Math.max(0, child.deadlineAt - LEAVE_TIMEOUT_MS - now)
  actions.push({ do: 'drain', child, reason: 'stop', timeoutMs, lingerMs: STOP_LINGER_MS })
}

/** When a child must be gone by the stop under way; infinite with a graceful one. */
function stopDeadline(fleet: Fleet, child: Child): number {
  const { stopping } = fleet
  const group = fleet.groups.get(child.name)
  if (!stopping || !group || stopping.graceful) return Number.POSITIVE_INFINITY
  const beganAt = Math.max(stopping.orderedAt, group.stopTurnAt ?? 0)
  return beganAt + (stopping.timeoutMs ?? group.spec.stopTimeoutMs) + LEAVE_TIMEOUT_MS
}

function forceOut(child: Child, now: number, actions: Action[]): void {
  if (child.state === 'killed') return
  child.state = 'killed'
  child.drainReason ??= 'stop'
  child.deadlineAt = now + LEAVE_TIMEOUT_MS
  actions.push({ do: 'kill', child, why: 'stopped now, on demand' })
}
