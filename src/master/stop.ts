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
  if (fleet.children.size > 0) return
  fleet.phase = 'stopped'
  actions.push({ do: 'stopped' })
}

function stopChild(fleet: Fleet, child: Child, now: number, actions: Action[]): void {
  if (child.state !== 'draining') startDrain(fleet, child, 'stop', now, actions)
  else if (child.drainReason !== 'stop' && child.drainReason !== 'crash') {
    // it drains after a reload already, with that reload's deadline: a stop may shorten it, never lengthen
    child.drainReason = 'stop'
    tightenForStop(fleet, child, now, actions)
  }
}

function tightenForStop(fleet: Fleet, child: Child, now: number, actions: Action[]): void {
  const spec = fleet.groups.get(child.name)?.spec
  const timeoutMs = fleet.stopping?.graceful ? null : (fleet.stopping?.timeoutMs ?? spec?.stopTimeoutMs ?? 0)
  if (timeoutMs === null) return
  const at = now + timeoutMs + LEAVE_TIMEOUT_MS
  child.deadlineAt = child.deadlineAt === null ? at : Math.min(child.deadlineAt, at)
  const leftMs = Math.max(0, child.deadlineAt - LEAVE_TIMEOUT_MS - now)
  actions.push({ do: 'drain', child, reason: 'stop', timeoutMs: leftMs, lingerMs: STOP_LINGER_MS })
}

function forceOut(child: Child, now: number, actions: Action[]): void {
  if (child.state === 'killed') return
  child.state = 'killed'
  child.drainReason ??= 'stop'
  child.deadlineAt = now + LEAVE_TIMEOUT_MS
  actions.push({ do: 'kill', child, why: 'stopped now, on demand' })
}
