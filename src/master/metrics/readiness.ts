/** Whether the fleet as a whole can take traffic, for load balancers and Kubernetes. Pure. */
import type { Fleet, Group } from '../policy/fleet.ts'

export interface Readiness {
  isReady: boolean
  /** One line: what is missing. */
  text: string
}

/** Ready: the first start is over, no stop was asked, and every group has a worker that serves. */
export function readinessOf(fleet: Fleet): Readiness {
  if (fleet.phase === 'stopping' || fleet.phase === 'stopped') return { isReady: false, text: 'stopping' }
  const served = servedSlots(fleet)
  const groups = [...fleet.groups.values()]
    .filter((group) => isDue(fleet, group))
    .map(({ name, count }) => ({ name, count, served: served.get(name)?.size ?? 0 }))
  if (fleet.phase === 'starting') {
    const late = groups.filter((group) => group.served < group.count)
    const counts = late.map((group) => `${group.name} serves with ${group.served} of ${group.count}`)
    return { isReady: false, text: ['starting', ...counts].join(', ') }
  }
  const missing = groups.filter((group) => group.served === 0).map((group) => group.name)
  if (missing.length > 0) return { isReady: false, text: `no worker serves: ${missing.join(', ')}` }
  return { isReady: true, text: 'ready' }
}

/** A group that leaves is not missed, and one that a reload under way brings in is not yet. */
function isDue({ reload }: Fleet, group: Group): boolean {
  return !group.isLeaving && reload?.topology?.added.includes(group.name) !== true
}

function servedSlots(fleet: Fleet): Map<string, Set<number>> {
  const served = new Map<string, Set<number>>()
  for (const child of fleet.children.values()) {
    if (child.state !== 'serving') continue
    const ids = served.get(child.name) ?? new Set<number>()
    served.set(child.name, ids.add(child.id))
  }
  return served
}
