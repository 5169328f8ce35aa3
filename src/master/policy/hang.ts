/**
 * Who has stopped answering. The master asks every worker that serves, again and again, for a sign of
 * life; a worker whose event loop is blocked gives none. Policy, called by `events` and `reconcile`.
 *
 * What cannot answer for another reason is not hung: a process that was stopped by a signal, one that
 * a debugger holds, and all of them while the master itself was asleep.
 */
import type { Action } from './actions.ts'
import { type Child, type Fleet, LEAVE_TIMEOUT_MS, move } from './fleet.ts'
import { startDrain } from './retire.ts'

/** A hung worker is replaced at once; so long it may still come back and finish what others wait for. */
export const HUNG_GRACE_MS = 1_000
/** A limit is looked at so many times. */
const LOOKS = 10
const SHORTEST_PERIOD_MS = 100
const LONGEST_PERIOD_MS = 1_000
/** A timer may be so late on a busy machine; later than that, the master did not run. */
const LATE_MS = 1_000

/** How often to ask for a sign of life, in milliseconds; null: never. */
export function beatPeriodMs(fleet: Fleet): number | null {
  const shortestMs = shortestLimitMs(fleet)
  if (shortestMs === Number.POSITIVE_INFINITY) return null
  return Math.min(LONGEST_PERIOD_MS, Math.max(SHORTEST_PERIOD_MS, shortestMs / LOOKS))
}

/** A timer of the master that is so late, in milliseconds, is to be told as a sleep. */
export function sleepMs(fleet: Fleet): number {
  return tooLateMs(shortestLimitMs(fleet))
}

function shortestLimitMs(fleet: Fleet): number {
  return Math.min(...[...fleet.children.values()].map((child) => child.hangTimeoutMs).filter((ms) => ms > 0))
}

/** Who did not run for half of a limit cannot tell that others have been silent for all of it. */
function tooLateMs(limitMs: number): number {
  return Math.min(LATE_MS, limitMs / 2)
}

/** Those that must answer: whoever serves, and whoever may drain for as long as it likes. */
export function isWatched(child: Child): boolean {
  if (child.hangTimeoutMs === 0 || child.hasParted) return false
  return child.state === 'serving' || (child.state === 'draining' && child.deadlineAt === null)
}

/** They were asked; an earlier question that has no answer yet counts from when it was put. */
export function noteAsked(fleet: Fleet, keys: readonly number[], stopped: readonly number[], now: number): void {
  for (const key of keys) {
    const child = fleet.children.get(key)
    if (child) child.silentSince ??= now
  }
  for (const child of fleet.children.values())
    if (child.silentSince !== null && (child.isDebugged || stopped.includes(child.key))) child.silentSince = now
}

export function noteAlive(child: Child, isDebugged: boolean): void {
  child.silentSince = null
  child.isDebugged = isDebugged
  if (child.state === 'hung') child.isBack = true
}

/** The master was stopped, or the whole machine was: nobody has been late meanwhile. */
export function noteSleep(fleet: Fleet, sleptMs: number, now: number): void {
  for (const child of fleet.children.values()) {
    if (child.silentSince !== null && sleptMs >= tooLateMs(child.hangTimeoutMs)) child.silentSince = now
    if (child.deadlineAt !== null && sleptMs >= LATE_MS) child.deadlineAt += sleptMs
  }
}

/** When a worker will have been silent for too long; null: it is not silent. */
export function hungAt(child: Child): number | null {
  if (child.silentSince === null || !isWatched(child)) return null
  return child.silentSince + child.hangTimeoutMs
}

/** @param count counts the failure, as for any worker that ends by itself. */
export function enforceHangs(fleet: Fleet, now: number, count: (child: Child) => void, actions: Action[]): void {
  for (const child of [...fleet.children.values()]) {
    if (child.isBack && child.state === 'hung') startDrain(fleet, child, 'hang', now, actions)
    const dueAt = hungAt(child)
    if (dueAt === null || fleet.heardAt < dueAt) continue
    const why = `hung: its event loop has not answered for ${child.hangTimeoutMs} ms (hangTimeoutMs)`
    if (child.state === 'draining') giveUp(child, why, now, actions)
    else declareHung(child, why, { now, count }, actions)
  }
}

function declareHung(
  child: Child,
  why: string,
  { now, count }: { now: number; count: (child: Child) => void },
  actions: Action[],
): void {
  if (!move(child, 'hang')) return
  child.failure = { message: why, stack: why }
  child.drainReason = 'hang'
  child.deadlineAt = now + HUNG_GRACE_MS
  count(child)
  actions.push({ do: 'hung', child })
}

function giveUp(child: Child, why: string, now: number, actions: Action[]): void {
  if (!move(child, 'deadline')) return
  child.deadlineAt = now + LEAVE_TIMEOUT_MS
  actions.push({ do: 'kill', child, why })
}
