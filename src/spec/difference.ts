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

/**
 * Where two processes that read one start file have read something else, as `web: env.STARTED_AT`; null: nowhere.
 * To be told of what a start file that was saved meanwhile, or that has another value in each process, says otherwise.
 */
export function disagreementOf(first: readonly Spec[], second: readonly Spec[]): string | null {
  for (const spec of first) {
    const other = second.find(({ name }) => name === spec.name)
    if (!other) return `${spec.name}: the group is not there`
    const key = differingKey(spec, other)
    if (key === 'env') return `${spec.name}: env.${differingKey(spec.env, other.env)}`
    if (key !== null) return `${spec.name}: ${key}`
  }
  const added = second.find(({ name }) => !first.some((spec) => spec.name === name))
  if (added) return `${added.name}: the group is new`
  return first.every(({ name }, index) => second[index]?.name === name) ? null : 'the order of the groups'
}

function differingKey(a: object, b: object): string | null {
  const all = new Map<string, unknown>([...Object.entries(b), ...Object.entries(a)])
  const differs = (key: string): boolean =>
    JSON.stringify((a as Record<string, unknown>)[key]) !== JSON.stringify((b as Record<string, unknown>)[key])
  return [...all.keys()].find(differs) ?? null
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
