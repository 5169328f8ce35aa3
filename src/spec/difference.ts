/** What one start file says otherwise than another. Used by a reload and by `status`. Pure. */
import type { Spec } from './spec.ts'

/**
 * What a new start file changes that a reload does not apply, a sentence each. Numbers that only the
 * master uses (timeouts, `bakeMs`) are not in it: they take effect with the reload.
 */
export function needsRestart(running: readonly Spec[], next: readonly Spec[]): string[] {
  const differences: string[] = []
  const after = new Map(next.map((spec) => [spec.name, spec]))
  const before = new Set(running.map((spec) => spec.name))
  for (const old of running) {
    const fresh = after.get(old.name)
    if (!fresh) {
      differences.push(`${old.name}: removed from the start file`)
      continue
    }
    for (const key of STRUCTURE) {
      const was = structureText(old, key)
      const is = structureText(fresh, key)
      if (was !== is) differences.push(`${old.name}: ${key} ${was} → ${is}`)
    }
  }
  for (const spec of next) if (!before.has(spec.name)) differences.push(`${spec.name}: new in the start file`)
  return differences
}

const STRUCTURE = ['address', 'count', 'reloadable', 'backlog', 'user', 'group', 'socketMode', 'socketOwner'] as const

function structureText(spec: Spec, key: (typeof STRUCTURE)[number]): string {
  if (key === 'address') return spec.address?.text ?? 'none'
  return String(spec[key] ?? 'none')
}
