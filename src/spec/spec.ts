/**
 * What a start file says about its workers, as plain data that can be sent over a wire and compared:
 * one spec per group. Made by `check`; read by the master, the workers and the command line.
 */
import type { Address } from '../address.ts'

/** One group of equal processes. */
export interface Spec {
  name: string
  address: Address | null
  count: number
  reloadable: boolean
  startTimeoutMs: number
  stopTimeoutMs: number
  stopDelayMs: number
  /** How long a worker's event loop may be blocked; 0: for ever. */
  hangTimeoutMs: number
  bakeMs: number
  backlog: number
  user: string | null
  group: string | null
  socketMode: number | null
  socketOwner: string | null
  /** Names of the groups that must serve before this one starts, and stop after it. */
  after: string[]
  healthCheck: HealthCheck | null
  maxRequests: number
  maxMemoryBytes: number
  maxLifetimeMs: number
  /** What its processes have started is ended with them. */
  sweepChildren: boolean
  env: Record<string, string>
}

/** How a worker proves that it can serve; 0 stands for never. */
export interface HealthCheck {
  /** What is requested of the worker's own server; null: its function is called. */
  path: string | null
  /** For one try. */
  timeoutMs: number
  /** How many more tries, `retryDelayMs` apart, before it has failed. */
  retries: number
  retryDelayMs: number
  /** Checked again and again, so far apart, while the worker serves. */
  everyMs: number
}

/** Its processes are given nothing beside what the master has. */
export function isWithoutEnv({ env }: Spec): boolean {
  return Object.keys(env).length === 0
}

/** The options that are data; the hooks, `tls` and `server` stay with the Worker in its process. */
export const DEFAULTS = {
  count: 1,
  reloadable: true,
  startTimeoutMs: 30_000,
  stopTimeoutMs: 25_000,
  stopDelayMs: 0,
  hangTimeoutMs: 10_000,
  bakeMs: 1_000,
  backlog: 511,
  healthCheck: { timeoutMs: 2_000, retries: 2, retryDelayMs: 500, everyMs: 0 },
  maxRequests: 0,
  maxMemoryBytes: 0,
  maxLifetimeMs: 0,
  sweepChildren: true,
} as const

/** The most workers of a group. */
export const MAX_COUNT = 1_024
/** The longest time that Node.js can wait for: 24 days. */
export const MAX_TIMER_MS = 2 ** 31 - 1

/** Every name that may stand in the options. */
export const OPTION_NAMES = [
  'name',
  'count',
  'reloadable',
  'startTimeoutMs',
  'stopTimeoutMs',
  'stopDelayMs',
  'hangTimeoutMs',
  'bakeMs',
  'backlog',
  'user',
  'group',
  'socketMode',
  'socketOwner',
  'after',
  'healthCheck',
  'maxRequests',
  'maxMemoryBytes',
  'maxLifetimeMs',
  'sweepChildren',
  'maxMessageBytes',
  'maxSendBufferBytes',
  'idleTimeoutMs',
  'heartbeat',
  'protocol',
  'webSocket',
  'env',
  'tls',
  'server',
] as const
