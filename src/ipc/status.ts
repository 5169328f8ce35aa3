/** What `status`, `reload` and `scale` print with `--json`, and the control socket carries: a fleet as plain data. */

/** What was thrown, or why a process ended. */
export interface Failure {
  message: string
  stack: string
}

/** What a worker that was told to leave did not bring to its end. */
export interface StopFault {
  /** `web/0` */
  worker: string
  pid: number
  /** What its `onWorkerStop` threw; null: that had not settled when its time was over. */
  error: string | null
}

export interface Replaced {
  name: string
  id: number
  oldPid: number | null
  newPid: number
  startMs: number
  /** null: it still drains, and nobody waited for it (`--wait serving`). */
  drainMs: number | null
  connectionsMoved: number
  connectionsCut: number
  /** It had to be killed: nobody knows what it had open. */
  killed: boolean
  /** It ended before it had said that its drain was over, by its own code or by somebody's signal: the same. */
  leftEarly: boolean
  /** null: its `onWorkerStop` has done its work, as far as is known. */
  stopFault: StopFault | null
}

export interface ReloadFailure extends Failure {
  /** `web/0` */
  worker: string
  /** The last lines that the failing worker wrote. */
  output: string
}

/** Where a group of a reload stands. */
export interface Standing {
  name: string
  count: number
  /** Workers that serve when it is answered, of any generation. */
  serving: number
  /** How many did when the reload began. */
  servedBefore: number
  /** The ids of those that served its new code when its part was done. */
  fresh: number[]
  /** Its new code has served, if only for a moment. */
  hasServed: boolean
}

export interface ReloadSummary {
  /** `failed`: nothing ran before it, after a first start that failed, and nothing does now. */
  result: 'done' | 'rejected' | 'mixed' | 'cancelled' | 'failed'
  generation: number
  durationMs: number
  error: ReloadFailure | null
  replaced: Replaced[]
  kept: string[]
  /** What the start file says otherwise than before and the reload has brought about, a sentence each. */
  applied: string[]
  needsRestart: string[]
  /** Its groups, without those that it has ended. */
  standing: Standing[]
}

/** What a reload would do, as `--dry-run` shows it. */
export interface ReloadPlan {
  /** `rejected`: the start file cannot be loaded, or what it asks for cannot be had. */
  result: 'possible' | 'rejected'
  strategy: 'rolling' | 'atomic'
  preReload: string | null
  /** Groups whose workers are replaced, in the order in which they serve: those of one stage together. */
  stages: { name: string; count: number; surge: number; isNew: boolean }[][]
  kept: string[]
  applied: string[]
  needsRestart: string[]
  error: ReloadFailure | null
}

/** What `scale` came to. */
export interface Scaled {
  result: 'done' | 'failed' | 'cancelled'
  groups: { name: string; from: number; to: number }[]
  durationMs: number
  error: ReloadFailure | null
}

export interface LastExit {
  code: number | null
  signal: string | null
  reason: string
  at: string
}

/** What the user's code says of its process, by `onStatus`. */
export type Figures = Record<string, number | string | boolean>

export interface ProcessStatus {
  pid: number | null
  id: number
  generation: number
  state: 'starting' | 'prepared' | 'serving' | 'draining' | 'backoff' | 'hung' | 'stopped'
  leader: boolean
  startedAt: string | null
  rssBytes: number | null
  heapUsedBytes: number | null
  cpuPercent: number | null
  connections: number | null
  requests: number | null
  requestsPerSecond: number | null
  eventLoopUtilization: number | null
  eventLoopDelayMs: number | null
  figures: Figures | null
  restarts: number
  lastExit: LastExit | null
}

export interface GroupStatus {
  name: string
  listen: string[]
  /** Where it listened before everything stops. */
  closed: string[]
  count: number
  reloadable: boolean
  /** The groups that must serve before this one. */
  after: string[]
  user: string | null
  /** `stopping`: everything stops, and not every worker serves any more. */
  state: 'ok' | 'degraded' | 'mixed' | 'backoff' | 'stopping'
  processes: ProcessStatus[]
}

export interface MasterStatus {
  pid: number
  startedAt: string
  state: 'starting' | 'running' | 'reloading' | 'stopping' | 'frozen'
  generation: number
  node: string
  entry: string
  daemon: boolean
  /** Reloads when a file changes. */
  watching: boolean
  rssBytes: number | null
  /** Where it answers `/metrics`, `/live` and `/ready`; null: nowhere. */
  metrics: string | null
  /** At the start, or after a rotation. */
  logsOpenedAt: string
  warnings: string[]
}

export interface Status {
  version: 1
  master: MasterStatus
  lastReload: ReloadSummary | null
  groups: GroupStatus[]
}

type OrUnknown<Row, Key extends keyof Row> = Omit<Row, Key> & { [Name in Key]: Row[Name] | null }

/**
 * What `status` prints: what the master says or, when it is frozen, what the process table shows of it. Null is what
 * that does not show; `count` and `state` of a group are such things, its `processes` are all that live.
 */
export interface SeenStatus extends Omit<Status, 'master' | 'groups'> {
  master: SeenMaster
  groups: SeenGroup[]
}

export type SeenMaster = OrUnknown<
  MasterStatus,
  'startedAt' | 'generation' | 'node' | 'daemon' | 'watching' | 'logsOpenedAt'
>

export type SeenGroup = OrUnknown<
  Omit<GroupStatus, 'processes'>,
  'listen' | 'closed' | 'count' | 'reloadable' | 'after' | 'state'
> & { processes: SeenProcess[] }

/** `stopped` is what the process table does show of a state. */
export type SeenProcess = OrUnknown<ProcessStatus, 'state' | 'leader' | 'restarts'>

/** A process of which nothing more is known than its place. */
export function blankProcess(at: Pick<ProcessStatus, 'pid' | 'id' | 'generation' | 'state'>): ProcessStatus {
  return {
    ...at,
    leader: false,
    startedAt: null,
    rssBytes: null,
    heapUsedBytes: null,
    cpuPercent: null,
    connections: null,
    requests: null,
    requestsPerSecond: null,
    eventLoopUtilization: null,
    eventLoopDelayMs: null,
    figures: null,
    restarts: 0,
    lastExit: null,
  }
}
