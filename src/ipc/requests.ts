/**
 * What a command line may ask of the master, one member a command, and the one place where a request
 * that came over the wire is believed.
 */
import { MAX_COUNT, MAX_TIMER_MS } from '../spec/spec.ts'
import type { WireCommand } from './commands.ts'

/** Raised when an older worker or command line could no longer talk to a newer master. */
export const WIRE_VERSION = 2

/** What a master of any version says of a request that it does not know: it may be of another one. */
export const UNKNOWN_REQUEST = 'This is not a request that I know'

export interface ReloadOrder {
  /** None: every reloadable group. */
  groups: string[]
  /** No deadline for connections that are still busy. */
  graceful: boolean
  /** Replaces every `stopTimeoutMs`; null: the groups' own. */
  timeoutMs: number | null
  strategy: 'rolling' | 'atomic'
  /** How many workers of a group are replaced at a time; null: a quarter of it, at least one. */
  surge: number | null
  /** When it is answered: when the old ones have left, or as soon as every successor serves. */
  wait: 'done' | 'serving'
  /** Also groups that are not reloadable, when they are named. */
  force: boolean
}

export interface Count {
  name: string
  count: number
}

export type Question =
  | { command: 'status' }
  | { command: 'stop'; graceful: boolean; timeoutMs: number | null }
  | ({ command: 'reload' } & ReloadOrder)
  /** What a reload would do; nothing is touched. */
  | ({ command: 'plan' } & ReloadOrder)
  | { command: 'scale'; counts: Count[] }
  /** Of these groups; none: of all. */
  | { command: 'connections'; groups: string[] }
  /** What SIGUSR1 means, for one that no signal reaches. */
  | { command: 'reopen' }

export type ControlRequest = Question & { version: number }

/** Questions of their own on the wire, though they are typed as `reload --dry-run` and `logs --reopen`. */
export type AskedCommand = WireCommand | 'plan' | 'reopen'

/** The request, or null for anything else. */
export function parseRequest(value: unknown): ControlRequest | null {
  if (typeof value !== 'object' || value === null) return null
  const fields = value as Record<string, unknown>
  if (fields['version'] !== WIRE_VERSION) return null
  const parse = PARSERS[fields['command'] as AskedCommand] as ((fields: Fields) => Question | null) | undefined
  const question = Object.hasOwn(PARSERS, String(fields['command'])) ? parse?.(fields) : null
  return question ? { version: WIRE_VERSION, ...question } : null
}

type Fields = Record<string, unknown>

const PARSERS = {
  status: () => ({ command: 'status' }),
  reopen: () => ({ command: 'reopen' }),
  stop: ({ graceful, timeoutMs }) =>
    typeof graceful === 'boolean' && isTimeout(timeoutMs) ? { command: 'stop', graceful, timeoutMs } : null,
  reload: (fields) => parseOrder('reload', fields),
  plan: (fields) => parseOrder('plan', fields),
  scale: ({ counts }) => (isCounts(counts) ? { command: 'scale', counts } : null),
  connections: ({ groups }) => (isNames(groups) ? { command: 'connections', groups } : null),
} as const satisfies Record<AskedCommand, (fields: Fields) => Question | null>

function parseOrder(command: 'reload' | 'plan', fields: Fields): Question | null {
  const { groups, graceful, timeoutMs, strategy, surge, wait, force } = fields
  if (!isNames(groups)) return null
  if (typeof graceful !== 'boolean' || typeof force !== 'boolean' || !isTimeout(timeoutMs)) return null
  if (strategy !== 'rolling' && strategy !== 'atomic') return null
  if (wait !== 'done' && wait !== 'serving') return null
  if (surge !== null && !isPositive(surge)) return null
  return { command, groups, graceful, timeoutMs, strategy, surge, wait, force }
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string')
}

function isTimeout(value: unknown): value is number | null {
  return value === null || (typeof value === 'number' && value >= 0 && value <= MAX_TIMER_MS)
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1
}

/** Each name once. */
function isCounts(value: unknown): value is Count[] {
  if (!Array.isArray(value) || !value.every(isCount)) return false
  return new Set(value.map(({ name }) => name)).size === value.length
}

function isCount(value: unknown): value is Count {
  if (typeof value !== 'object' || value === null) return false
  const { name, count } = value as Record<string, unknown>
  return typeof name === 'string' && isPositive(count) && count <= MAX_COUNT
}
