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

/** What a master is beside its groups: what it has read and loaded once. */
export interface Origin {
  settings: Settings
  /** Of this package. */
  version: string
}

/** A sentence for each of that which is another one by now. */
export function originNeedsRestart(running: Origin, next: Origin): string[] {
  const names = Object.keys(running.settings) as (keyof Settings)[]
  const sentences = names
    .filter((name) => JSON.stringify(running.settings[name]) !== JSON.stringify(next.settings[name]))
    .map((name) => `runAll: ${name} has changed`)
  return running.version === next.version
    ? sentences
    : [...sentences, `Shiftwork: ${running.version} → ${next.version}`]
}
