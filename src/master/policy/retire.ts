/**
 * How a child is sent away: the drain and its deadline, whoever ordered it. Policy, called by
 * `reconcile`, `reload` and `stop`; changes the fleet's data and returns what to do as actions.
 */
import type { StopReason } from '../../ipc/messages.ts'
import type { Action } from './actions.ts'
import { isComing } from './child.ts'
import { type Child, childrenOf, type Fleet, type Group, LEAVE_TIMEOUT_MS, move, type Slot } from './fleet.ts'
import type { Reload } from './operations.ts'

/** How long an idle connection may stay when everything stops. */
export const STOP_LINGER_MS = 1_000
const MAX_DRAINING_PER_SLOT = 2

/** Tells a child to finish and leave; the reload or stop under way says how long it may take. */
export function startDrain(fleet: Fleet, child: Child, reason: StopReason, now: number, actions: Action[]): void {
  const before = child.state
  if (!move(child, 'drain')) return
  const spec = fleet.groups.get(child.name)?.spec
  const operation = reason === 'stop' ? fleet.stopping : reason === 'reload' ? reloadOf(fleet, child) : null
  const full = operation?.graceful ? null : timeoutOf(operation, spec?.stopTimeoutMs ?? 0)
  const timeoutMs =
    isComing(before) && before !== 'admitted' ? Math.min(full ?? LEAVE_TIMEOUT_MS, LEAVE_TIMEOUT_MS) : full
  child.drainAt = now
  child.drainReason ??= reason
  child.deadlineAt = timeoutMs === null ? null : now + timeoutMs + LEAVE_TIMEOUT_MS
  const lingerMs = reason === 'stop' ? STOP_LINGER_MS : null
  actions.push({ do: 'drain', child, reason, timeoutMs, lingerMs })
}

/**
 * Sends away all children of slots that are not wanted any more, at once: the operation that comes next
 * may want the slots again, but not them. @returns those that leave.
 */
export function retireExtra(fleet: Fleet, group: Group, now: number, actions: Action[]): Child[] {
  const extra = [...fleet.children.values()].filter((child) => child.name === group.name && child.id >= group.count)
  for (const child of extra) {
    const reason = isComing(child.state) ? 'cancelled' : group.isLeaving ? 'reload' : 'scale'
    if (isComing(child.state) || child.state === 'serving') startDrain(fleet, child, reason, now, actions)
  }
  return extra
}

interface Deadline {
  timeoutMs: number | null
  keepsOwnTime?: boolean
}

function timeoutOf(operation: Deadline | null, ownMs: number): number {
  const asked = operation?.timeoutMs ?? null
  if (asked === null) return ownMs
  return operation?.keepsOwnTime ? Math.max(asked, ownMs) : asked
}

function reloadOf(fleet: Fleet, child: Child): Reload | null {
  const settling = fleet.settling.find((operation) => operation.leaving.has(child.key))
  if (settling?.kind === 'reload') return settling
  return fleet.reload?.groups.includes(child.name) ? fleet.reload : null
}

/** More than two old children in one slot: the one that has drained for longest is cut. */
export function capDraining(fleet: Fleet, group: Group, slot: Slot, now: number, actions: Action[]): void {
  const draining = childrenOf(fleet, group.name, slot.id)
    .filter((child) => child.state === 'draining')
    .sort((a, b) => (a.drainAt ?? 0) - (b.drainAt ?? 0))
  for (const child of draining.slice(0, Math.max(0, draining.length - MAX_DRAINING_PER_SLOT))) {
    const at = now + LEAVE_TIMEOUT_MS
    if (child.deadlineAt !== null && child.deadlineAt <= at) continue
    child.deadlineAt = at
    actions.push({ do: 'drain', child, reason: child.drainReason ?? 'reload', timeoutMs: 0, lingerMs: 0 })
  }
}
