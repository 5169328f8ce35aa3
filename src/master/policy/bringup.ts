/**
 * How a slot gets its process: when one may be started, and when it may serve. Policy, called by
 * `reconcile` for each slot that ought to be filled; returns what to do as actions.
 */
import type { Spec } from '../../spec/spec.ts'
import { isWithoutEnv } from '../../spec/spec.ts'
import type { Action } from './actions.ts'
import { isComing } from './child.ts'
import {
  type Child,
  childrenOf,
  currentOf,
  enlist,
  type Fleet,
  type Group,
  liveSlots,
  move,
  type Slot,
  servesFully,
  variantOf,
} from './fleet.ts'
import { isAtomic, isHeld, isTurnOf, mayBeAdmitted } from './succession.ts'

/** Fills an empty slot, or starts a successor where one is due; a prepared one that may serve is told to. */
export function bringUp(fleet: Fleet, group: Group, slot: Slot, now: number, actions: Action[]): void {
  const successor = childrenOf(fleet, group.name, slot.id).find((child) => isComing(child.state))
  if (successor) {
    if (successor.state === 'prepared' && mayBeAdmitted(fleet, group, successor)) admit(group, successor, now, actions)
    return
  }
  if (now < slot.retryAt || !maySpawn(fleet, group, slot, now)) return
  const { spec } = variantOf(group, slot.target)
  actions.push({ do: 'spawn', child: addChild(fleet, { slot, spec, now }), spec })
}

function admit(group: Group, child: Child, now: number, actions: Action[]): void {
  if (!move(child, 'admit')) return
  const { listener } = variantOf(group, child.generation)
  child.deadlineAt = now + child.startTimeoutMs
  actions.push({ do: 'serve', child, listener })
}

function maySpawn(fleet: Fleet, group: Group, slot: Slot, now: number): boolean {
  const current = currentOf(fleet, group.name, slot.id)
  if (isHeld(fleet, group, slot)) return false
  if (!current) return mayStart(fleet, group)
  const outdated = current.generation !== slot.target
  if (outdated) return isTurnOf(fleet, group) && replacementsUnderWay(fleet, group) < surgeOf(fleet, group)
  return replacementsUnderWay(fleet, group) < 1 && current === nextRecycled(fleet, group, now)
}

/** One at a time: who is ill first, then who has waited for longest; one whose successor has just failed holds up nobody. */
function nextRecycled(fleet: Fleet, group: Group, now: number): Child | undefined {
  const due = liveSlots(group)
    .filter((slot) => now >= slot.retryAt)
    .map((slot) => currentOf(fleet, group.name, slot.id))
    .filter((child) => child !== null && isRecycled(fleet, group, child)) as Child[]
  const rank = (child: Child): number => (child.replaceWanted === 'unhealthy' ? 0 : 1)
  return due.sort((a, b) => rank(a) - rank(b) || a.replaceWantedAt - b.replaceWantedAt || a.id - b.id)[0]
}

/** At the first start a group waits for those that it comes after. */
function mayStart(fleet: Fleet, group: Group): boolean {
  if (fleet.phase !== 'starting' && !fleet.isDormant) return true
  return variantOf(group, group.generation).spec.after.every((name) => {
    const other = fleet.groups.get(name)
    return other === undefined || servesFully(fleet, other)
  })
}

/** It wants a successor of its own code: not by code that is known to be bad, unless it is ill itself. */
function isRecycled(fleet: Fleet, group: Group, { replaceWanted }: Child): boolean {
  if (replaceWanted === null || fleet.reload !== null) return false
  return !group.suspended || replaceWanted === 'unhealthy'
}

/** How many slots of a group are replaced at a time: a quarter of them, at least one; atomic: all. */
export function surgeOf(fleet: Fleet, group: Group): number {
  if (isAtomic(fleet, group)) return group.count
  return fleet.reload?.surge ?? quarterOf(group.count)
}

export function quarterOf(count: number): number {
  return Math.max(1, Math.floor(count / 4))
}

function replacementsUnderWay(fleet: Fleet, group: Group): number {
  let count = 0
  for (const slot of group.slots) {
    const coming = childrenOf(fleet, group.name, slot.id).some((child) => isComing(child.state))
    if (coming && currentOf(fleet, group.name, slot.id)) count++
  }
  return count
}

function addChild(fleet: Fleet, { slot, spec, now }: { slot: Slot; spec: Spec; now: number }): Child {
  const child: Child = {
    key: fleet.nextKey++,
    name: spec.name,
    id: slot.id,
    generation: slot.target,
    attempt: slot.tries + 1,
    pid: 0,
    state: 'starting',
    startedAt: now,
    startTimeoutMs: spec.startTimeoutMs,
    hangTimeoutMs: spec.hangTimeoutMs,
    preparedAt: null,
    servingAt: null,
    drainAt: null,
    deadlineAt: now + spec.startTimeoutMs,
    drainReason: null,
    replaceWanted: null,
    replaceWantedAt: 0,
    successor: null,
    silentSince: null,
    isDebugged: false,
    isBack: false,
    hasParted: false,
    resigned: false,
    isUnbiased: isWithoutEnv(spec),
    specs: null,
    disagreement: null,
    failure: null,
    output: '',
    report: null,
    wasKilled: false,
    leftEarly: false,
    openAtEnd: null,
    full: null,
  }
  enlist(fleet, child)
  return child
}
