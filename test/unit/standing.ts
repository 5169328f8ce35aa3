/**
 * What must hold of a group at any moment, whatever happened: how many may come, serve and drain, and
 * who leads. Each function returns the sentence for what is wrong, or null. Used by the inspector.
 */

import { surgeOf } from '../../src/master/policy/bringup.ts'
import { isComing } from '../../src/master/policy/child.ts'
import { type Child, childrenOf, currentOf, type Group, LEAVE_TIMEOUT_MS } from '../../src/master/policy/fleet.ts'
import type { SimWorker } from './simworker.ts'
import type { World } from './world.ts'

/** Atomic: old and new serve beside each other until every successor does. */
function isAtomic(group: Group, { fleet }: World): boolean {
  return fleet.reload?.strategy === 'atomic' && fleet.reload.groups.includes(group.name)
}

export function faultOf(group: Group, world: World): string | null {
  const { fleet } = world
  const { name, count } = group
  let active = 0
  for (const slot of group.slots) {
    const children = childrenOf(fleet, name, slot.id)
    const coming = children.filter((child) => isComing(child.state)).length
    const serving = children.filter((child) => child.state === 'serving').length
    active += coming + serving
    if (coming > 1) return `${coming} successors at once in ${name}/${slot.id}`
    if (fleet.stopping) continue
    if (serving > 1 && !isAtomic(group, world)) return `${serving} serve at once in ${name}/${slot.id}`
    const crowd = crowdOf(children, world.now)
    if (crowd > 0) return `${crowd} drain at once in ${name}/${slot.id}`
  }
  // a stop takes everybody as they are, also in the middle of an atomic reload
  if (!fleet.stopping && active > count + surgeOf(fleet, group)) return `${active} children come or serve in ${name}`
  return fleet.stopping ? null : leaderFault(group, world)
}

/** Two may take their time; the one that has drained for longest of three is cut, and killed soon after. */
function crowdOf(children: readonly Child[], now: number): number {
  const draining = children
    .filter((child) => child.state === 'draining')
    .sort((a, b) => (a.drainAt ?? 0) - (b.drainAt ?? 0))
  const endless = draining
    .slice(0, -2)
    .filter((child) => (child.deadlineAt ?? Number.POSITIVE_INFINITY) > now + LEAVE_TIMEOUT_MS)
  return endless.length > 0 ? draining.length : 0
}

function leaderFault(group: Group, { fleet }: World): string | null {
  const leader = group.leaderKey === null ? null : fleet.children.get(group.leaderKey)
  if (leader === undefined) return `the leader of ${group.name} is nobody`
  const serves = group.slots.some((slot) => currentOf(fleet, group.name, slot.id))
  return serves && (leader === null || leader.resigned) ? `${group.name} serves without a leader` : null
}

/** Asks the workers themselves: two of one group that both believe that they lead. */
export function rivalry(workers: readonly SimWorker[]): string | null {
  const leaders = new Map<string, number>()
  for (const { child, isLeader } of workers) {
    if (!isLeader) continue
    const other = leaders.get(child.name)
    if (other !== undefined) return `#${other} and #${child.key} both believe that they lead ${child.name}`
    leaders.set(child.name, child.key)
  }
  return null
}
