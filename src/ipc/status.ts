/** What `status` and `reload` print with `--json`, and the control socket carries: the numbers of a fleet as plain data. */
/** What was thrown, or why a process ended. */
export interface Failure {
  message: string
  stack: string
}

export interface Replaced {
  name: string
  id: number
  oldPid: number | null
  newPid: number
  startMs: number
  drainMs: number
  connectionsMoved: number
  connectionsCut: number
}

export interface ReloadFailure extends Failure {
  /** `web/0` */
  worker: string
  /** The last lines that the failing worker wrote. */
  output: string
}

export interface ReloadSummary {
  result: 'done' | 'rejected' | 'mixed' | 'cancelled'
  generation: number
  durationMs: number
  error: ReloadFailure | null
  replaced: Replaced[]
  kept: string[]
  needsRestart: string[]
}

export interface LastExit {
  code: number | null
  signal: string | null
  reason: string
  at: string
}

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
  restarts: number
  lastExit: LastExit | null
}

export interface GroupStatus {
  name: string
  listen: string[]
  count: number
  reloadable: boolean
  user: string | null
  state: 'ok' | 'degraded' | 'mixed' | 'backoff'
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
  rssBytes: number | null
  warnings: string[]
}

export interface Status {
  version: 1
  master: MasterStatus
  lastReload: ReloadSummary | null
  groups: GroupStatus[]
}

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
    restarts: 0,
    lastExit: null,
  }
}
