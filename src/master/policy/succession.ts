/**
 * Who of a group takes over from whom in the reload under way, and when: questions that `reconcile` and
 * `reload` ask. Pure; changes nothing.
 */
import { type Child, childrenOf, chosenOf, currentOf, type Fleet, type Group, type Slot, slotKey } from './fleet.ts'
import type { Reload } from './operations.ts'

/** The slot whose successor tries the new code first. */
const CANARY_ID = 0
/** How long a change that is watched for may take to become ready while the next one waits. */
const PATIENCE_MS = 5_000

/** It belongs to the reload under way, and to the new code. */
function isSuccessor(reload: Reload | null, child: Child): reload is Reload {
  return reload?.next.get(child.name) === child.generation
}

/** No successor of it has served: whatever has failed since, all is as it was. */
export function isUntouched(fleet: Fleet, reload: Reload): boolean {
  return !groupsOf(fleet, reload).some(({ name }) => reload.touched.has(name))
}

/** It was ready for as long as a canary has to live. */
export function isBaked(fleet: Fleet, reload: Reload, group: Group, { state, preparedAt }: Child): boolean {
  // it may have died, and that lies unread
  return state === 'prepared' && preparedAt !== null && fleet.heardAt >= preparedAt + bakeMsOf(reload, group)
}

/** A prepared successor waits until all are baked, and for its group's turn; one that fills a gap does not. */
export function mayBeAdmitted(fleet: Fleet, group: Group, child: Child): boolean {
  const { reload } = fleet
  if (!isSuccessor(reload, child)) return true
  if (reload.phase !== 'roll') return false
  const isGap = child.id < (reload.counts.get(child.name) ?? 0) && currentOf(fleet, child.name, child.id) === null
  if (isGap) return true
  // a canary that died on its way to serve was none: the next one proves itself as it had to
  const isProven = fleet.isDormant || reload.touched.has(group.name) || isBaked(fleet, reload, group, child)
  return isProven && isTurnOf(fleet, group)
}

/**
 * While canaries bake, the other slots of their groups are not filled, by unproven code, as long as
 * somebody serves: a group without anybody is started from what is there, as after any crash.
 */
export function isHeld(fleet: Fleet, group: Group, slot: Slot): boolean {
  const { reload } = fleet
  const isAffected = reload !== null && reload.phase !== 'gate' && reload.groups.includes(group.name)
  if (fleet.isDormant && !isAffected) return true
  if (!isAffected || reload.phase !== 'canary' || isProving(fleet, reload, group, slot)) return false
  return fleet.isDormant || reload.topology?.added.includes(group.name) === true || serves(fleet, group)
}

function serves(fleet: Fleet, group: Group): boolean {
  return group.slots.some((slot) => currentOf(fleet, group.name, slot.id) !== null)
}

/** The groups that it comes after have changed over. */
export function isTurnOf(fleet: Fleet, group: Group): boolean {
  const { reload } = fleet
  if (reload?.phase !== 'roll' || !reload.groups.includes(group.name)) return true
  const after = reload.topology?.variants.get(group.name)?.spec.after ?? []
  return after.every((name) => {
    const other = reload.groups.includes(name) ? fleet.groups.get(name) : undefined
    return other === undefined || hasChangedOver(fleet, reload, other)
  })
}

export function isAtomic(fleet: Fleet, group: Group): boolean {
  const { reload } = fleet
  return reload?.strategy === 'atomic' && reload.groups.includes(group.name)
}

/** Atomic: what ran before stays until every successor serves. */
export function isKept(fleet: Fleet, group: Group, child: Child): boolean {
  const { reload } = fleet
  if (!reload || !isAtomic(fleet, group)) return false
  const { name, id } = child
  const old = childrenOf(fleet, name, id).filter(
    (one) => one.state === 'serving' && one.generation !== reload.next.get(name),
  )
  return child === chosenOf(old, reload.previous.get(slotKey(name, id)))
}

/** Where nothing serves there is nothing to protect: a start that has failed is simply done again. */
function isProving(fleet: Fleet, reload: Reload, group: Group, slot: Slot): boolean {
  if (fleet.isDormant) return false
  return reload.strategy === 'atomic' ? slot.id < nextCount(reload, group) : slot.id === CANARY_ID
}

export function provingSlots(fleet: Fleet, reload: Reload, group: Group): Slot[] {
  return group.slots.filter((slot) => isProving(fleet, reload, group, slot))
}

export function nextCount(reload: Reload, group: Group): number {
  return reload.topology?.counts.get(group.name) ?? group.count
}

function hasChangedOver(fleet: Fleet, reload: Reload, group: Group): boolean {
  return missing(fleet, reload, group).length === 0
}

/** The slots of a group that do not serve the new generation yet. */
export function missing(fleet: Fleet, reload: Reload, group: Group): Slot[] {
  const generation = reload.next.get(group.name)
  const slots = group.slots.slice(0, nextCount(reload, group))
  return slots.filter((slot) => currentOf(fleet, group.name, slot.id)?.generation !== generation)
}

export function groupsOf(fleet: Fleet, reload: Reload): Group[] {
  return reload.groups.map((name) => fleet.groups.get(name)).filter((group) => group !== undefined)
}

/** What a slot ran before the reload. */
export function previousOf(reload: Reload, group: Group, slot: Slot): number {
  return reload.previous.get(slotKey(group.name, slot.id)) ?? slot.target
}

/** How long a canary of the reload must live before it may serve. */
export function bakeMsOf(reload: Reload | null, group: Group): number {
  return reload?.bakeMs ?? group.spec.bakeMs
}

/** When a later change may overtake it; null: never. */
export function overtakenAt(reload: Reload): number | null {
  return reload.isWatch && reload.phase === 'canary' ? reload.startedAt + PATIENCE_MS : null
}
