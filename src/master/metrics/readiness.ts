/** Whether the fleet as a whole can take traffic, for load balancers and Kubernetes. Pure. */
import type { Child, Fleet, Group } from '../policy/fleet.ts'

export interface Readiness {
  isReady: boolean
  /** One line: what is missing. */
  text: string
}

/**
 * Ready: the first start is over, no stop was asked, and every group has a worker that serves.
 * @param isStopped tells, by its pid, of a process that was stopped by a signal: it serves as little as `status` says.
 */
export function readinessOf(fleet: Fleet, isStopped: (pid: number) => boolean): Readiness {
  if (fleet.phase === 'stopping' || fleet.phase === 'stopped') return { isReady: false, text: 'stopping' }
  const groups = [...fleet.groups.values()].filter((group) => isDue(fleet, group))
  const serves = (child: Child): boolean => child.state === 'serving' && !isStopped(child.pid)
  const children = ({ name }: Group): Child[] => [...fleet.children.values()].filter((child) => child.name === name)
  if (fleet.phase === 'starting') {
    const counts = groups.flatMap((group) => {
      const served = new Set(
        children(group)
          .filter(serves)
          .map(({ id }) => id),
      ).size
      return served < group.count ? [`${group.name} serves with ${served} of ${group.count}`] : []
    })
    return { isReady: false, text: ['starting', ...counts].join(', ') }
  }
  const missing = groups.filter((group) => !children(group).some(serves)).map((group) => group.name)
  if (missing.length > 0) return { isReady: false, text: `no worker serves: ${missing.join(', ')}` }
  return { isReady: true, text: 'ready' }
}

/** A group that leaves is not missed, and one that a reload under way brings in is not yet. */
function isDue({ reload }: Fleet, group: Group): boolean {
  return !group.isLeaving && reload?.topology?.added.includes(group.name) !== true
}
