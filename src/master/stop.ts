/** A stop as policy: every child drains, group by group when its `stopDelayMs` is over. Called by `reconcile`. */
import type { Action } from './actions.ts'
import { isComing } from './child.ts'
import { type Child, type Fleet, LEAVE_TIMEOUT_MS } from './fleet.ts'
import { STOP_LINGER_MS, startDrain } from './retire.ts'

export function stopAll(fleet: Fleet, now: number, actions: Action[]): void {
  const stopping = fleet.stopping
  if (!stopping) return
  for (const group of fleet.groups.values()) {
    const due = fleet.startFailure !== null || stopping.force || now >= stopping.askedAt + group.spec.stopDelayMs
    const children = [...fleet.children.values()].filter((child) => child.name === group.spec.name)
    for (const child of children) {
      if (stopping.force) forceOut(child, now, actions)
      else if (due || isComing(child.state)) stopChild(fleet, child, now, actions)
    }
    if (due && group.isOpen) {
      group.isOpen = false
      actions.push({ do: 'close-listener', name: group.spec.name })
    }
  }
}

function stopChild(fleet: Fleet, child: Child, now: number, actions: Action[]): void {
  if (child.state !== 'draining') {
    startDrain(fleet, child, 'stop', now, actions)
    return
  }
  const wasToldOfStop = child.drainReason === 'stop'
  const isUpToDate = wasToldOfStop && (child.drainAt ?? 0) >= (fleet.stopping?.orderedAt ?? 0)
  if (isUpToDate || child.drainReason === 'crash') return
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
  const spec = fleet.groups.get(child.name)?.spec
  if (!stopping || !spec || stopping.graceful) return Number.POSITIVE_INFINITY
  const beganAt = Math.max(stopping.orderedAt, fleet.startFailure ? 0 : stopping.askedAt + spec.stopDelayMs)
  return beganAt + (stopping.timeoutMs ?? spec.stopTimeoutMs) + LEAVE_TIMEOUT_MS
}

function forceOut(child: Child, now: number, actions: Action[]): void {
  if (child.state === 'killed') return
  child.state = 'killed'
  child.drainReason ??= 'stop'
  child.deadlineAt = now + LEAVE_TIMEOUT_MS
  actions.push({ do: 'kill', child, why: 'stopped now, on demand' })
}
