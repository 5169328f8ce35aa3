/**
 * What is asked of a fleet, and what is under way because of it, as plain data. One operation at a
 * time changes the fleet; what waits keeps its order.
 */
import type { Count, ReloadOrder } from '../../ipc/requests.ts'
import type { ReloadFailure, ReloadSummary, Scaled } from '../../ipc/status.ts'
import type { Settings } from '../../spec/settings.ts'
import type { Spec } from '../../spec/spec.ts'
import type { Topology } from './topology.ts'

export interface ReloadRequest extends Omit<ReloadOrder, 'groups' | 'force'> {
  kind: 'reload'
  id: number
  /** null: every reloadable group. */
  groups: string[] | null
  /** A file changed, and a person waits: no bake, and no command before it. */
  isWatch: boolean
}

/** A reload of everything, as a signal asks for it. */
export const PLAIN_RELOAD: Omit<ReloadRequest, 'kind' | 'id'> = {
  groups: null,
  graceful: false,
  timeoutMs: null,
  strategy: 'rolling',
  surge: null,
  wait: 'done',
  isWatch: false,
}

export interface ScaleRequest {
  kind: 'scale'
  id: number
  /** The numbers; or one more (1) or less (-1) in every reloadable group. */
  to: Count[] | 1 | -1
}

export type Request = ReloadRequest | ScaleRequest

export interface Reload {
  readonly kind: 'reload'
  /** Never used twice: what comes late is for another one. */
  readonly key: number
  /** The requests that this reload answers. */
  readonly asks: { id: number; wait: ReloadOrder['wait'] }[]
  /** Every reloadable group was asked for: groups may come and go. */
  readonly isFull: boolean
  /** Those whose processes it replaces, or brings up. */
  groups: string[]
  readonly graceful: boolean
  readonly timeoutMs: number | null
  /** Somebody asked without a word about time: nobody is cut before the group's own deadline. */
  readonly keepsOwnTime: boolean
  readonly strategy: ReloadOrder['strategy']
  readonly surge: number | null
  /** null: the groups' own. */
  readonly bakeMs: number | null
  /** Only changed files asked for it. */
  readonly isWatch: boolean
  /** False: it was asked for what is not there, and no code is tried. */
  readonly isOfCode: boolean
  readonly startedAt: number
  /** Each group's generation after it. */
  readonly next: Map<string, number>
  /** What each slot ran before it, by `slotKey`. */
  readonly previous: Map<string, number>
  /** gate: a command must succeed first · canary: new code proves itself · roll: it takes over */
  phase: 'gate' | 'canary' | 'roll'
  /** What the start file says now, as its first successor read it that could. */
  read: Reading | null
  /** Why a process that does nothing else could not read it. A successor that cannot either tells more. */
  unread: ReloadFailure | null
  /** What that changes; null: nobody has read it yet. */
  topology: Topology | null
  /** The command before it has succeeded, or there is none. */
  isGateOpen: boolean
  /** What ends it before anything is touched, other than a worker that fails. */
  failure: ReloadFailure | null
  /** Listeners that it needs and that are not held yet. */
  binding: Set<string>
  /** How many workers each group had, by name: restored when it does not succeed. */
  readonly counts: Map<string, number>
  /** And how many when its part was done: what is added after that is another operation's. */
  readonly served: Map<string, number>
  /** How many workers of each group served when it began. */
  readonly servedBefore: ReadonlyMap<string, number>
  /** The groups whose new code has served: whatever becomes of it, they are untouched no more. */
  readonly touched: Set<string>
  summary: ReloadSummary
  /** Children whose exit the answer waits for. */
  leaving: Set<number>
}

/** A start file as one process has read it. */
export interface Reading {
  specs: Spec[]
  settings: Settings
  /** Of this package. */
  version: string
}

export interface Scaling {
  readonly kind: 'scale'
  readonly ids: number[]
  readonly startedAt: number
  summary: Scaled
  leaving: Set<number>
}
