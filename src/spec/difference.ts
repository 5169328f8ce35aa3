/** What one start file says otherwise than another, in words. Used by a reload, its dry run and `status`. Pure. */
import { formatAddress } from '../address.ts'
import type { Settings } from './settings.ts'
import type { Spec } from './spec.ts'

export interface Difference {
  key: (typeof STRUCTURE)[number]
  /** `count 1 → 2` */
  text: string
}

/** What people need to be told of. Timeouts, limits and `env` change with the workers, without a word. */
const STRUCTURE = [
  'address',
  'count',
  'reloadable',
  'after',
  'backlog',
  'user',
  'group',
  'socketMode',
  'socketOwner',
] as const

export function differencesOf(before: Spec, after: Spec): Difference[] {
  return STRUCTURE.flatMap((key) => {
    const was = textOf(before, key)
    const is = textOf(after, key)
    return was === is ? [] : [{ key, text: `${key} ${was} → ${is}` }]
  })
}

function textOf(spec: Spec, key: (typeof STRUCTURE)[number]): string {
  if (key === 'address') return spec.address ? formatAddress(spec.address) : 'none'
  if (key === 'after') return spec.after.length > 0 ? spec.after.join(', ') : 'none'
  return String(spec[key] ?? 'none')
}

/** What `runAll` is given is the master's, which has read it once: a sentence for each change. */
export function settingsNeedRestart(running: Settings, next: Settings): string[] {
  const names = Object.keys(running) as (keyof Settings)[]
  return names
    .filter((name) => JSON.stringify(running[name]) !== JSON.stringify(next[name]))
    .map((name) => `runAll: ${name} has changed`)
}
