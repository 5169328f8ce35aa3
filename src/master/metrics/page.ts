/**
 * What the metrics say: a status and the counters as families of samples. Called by the metrics
 * server. Labels are the group and the slot, never the pid, which is another after each reload: old
 * and new of one slot are one series. A number that is not known is left out, never 0. Pure.
 */
import type { GroupStatus, MasterStatus, ProcessStatus, Status } from '../../ipc/status.ts'
import type { Counters, GroupCounts, ReloadResult, SlotCounts } from './counters.ts'
import type { Family, Sample } from './exposition.ts'

export interface Page {
  /** Of this package. */
  version: string
  status: Status
  /** The generation of each group. */
  generations: ReadonlyMap<string, number>
  counters: Counters
}

export function families(page: Page): Family[] {
  const groups = page.status.groups.map((status) => {
    return { status, generation: page.generations.get(status.name) ?? null, counts: page.counters.group(status.name) }
  })
  return [
    ...masterFamilies(page),
    ...reloadFamilies(page.counters),
    ...GROUP_METRICS.map((metric) => ({ ...heading(metric), samples: groups.flatMap(metric.samples) })),
    ...SLOT_METRICS.map((metric) => ({
      ...heading(metric),
      samples: groups.flatMap((group) => perSlot(group, metric)),
    })),
    gauge('worker_figure', 'Numbers that onStatus of the user gives, by name.', groups.flatMap(perFigure)),
    ...COUNTER_METRICS.map((metric) => ({
      ...heading({ ...metric, type: 'counter' }),
      samples: groups.flatMap((group) => perCounted(group, metric)),
    })),
  ]
}

type Heading = Omit<Family, 'samples'>

function heading({ name, help, type }: Heading): Heading {
  return { name: `shiftwork_${name}`, help, type }
}

// ---- the master ----------------------------------------------------------------------------------------------------

/** `frozen` is missing: a frozen master answers nobody. */
const MASTER_STATES = ['starting', 'running', 'reloading', 'stopping'] as const satisfies MasterStatus['state'][]
const RELOAD_RESULTS = ['done', 'rejected', 'mixed', 'cancelled', 'failed'] as const satisfies ReloadResult[]

function masterFamilies({ version, status: { master } }: Page): Family[] {
  return [
    gauge('build_info', 'Always 1; the versions of Shiftwork and of Node.js.', [
      { labels: { version, node: master.node }, value: 1 },
    ]),
    gauge('master_start_time_seconds', 'When the master started, in seconds since 1970.', [
      plain(Date.parse(master.startedAt) / 1000),
    ]),
    gauge('master_resident_memory_bytes', 'Resident memory of the master.', known(master.rssBytes)),
    gauge(
      'master_state',
      '1 for the state that the master is in, 0 for the others.',
      oneOf('state', MASTER_STATES, master.state),
    ),
    gauge('master_warnings', 'Warnings that status shows.', [plain(master.warnings.length)]),
  ]
}

function reloadFamilies({ reloads, lastReload }: Counters): Family[] {
  return [
    {
      ...heading({ name: 'reloads_total', help: 'Reloads that ended, by result.', type: 'counter' }),
      samples: RELOAD_RESULTS.map((result) => ({ labels: { result }, value: reloads[result] })),
    },
    gauge('last_reload_timestamp_seconds', 'When the last reload ended, in seconds since 1970.', [
      ...(lastReload ? [plain(lastReload.endedAt / 1000)] : []),
    ]),
    gauge('last_reload_duration_seconds', 'How long the last reload took, until the old workers had left.', [
      ...(lastReload ? [plain(lastReload.durationMs / 1000)] : []),
    ]),
    gauge(
      'last_reload_result',
      '1 for the result of the last reload, 0 for the others.',
      lastReload ? oneOf('result', RELOAD_RESULTS, lastReload.result) : [],
    ),
  ]
}

function gauge(name: string, help: string, samples: Sample[]): Family {
  return { ...heading({ name, help, type: 'gauge' }), samples }
}

function plain(value: number): Sample {
  return { labels: {}, value }
}

function known(value: number | null): Sample[] {
  return value === null ? [] : [plain(value)]
}

function oneOf(label: string, values: readonly string[], current: string): Sample[] {
  return values.map((value) => ({ labels: { [label]: value }, value: Number(value === current) }))
}

// ---- groups --------------------------------------------------------------------------------------------------------

interface GroupFacts {
  status: GroupStatus
  generation: number | null
  counts: GroupCounts
}

type GroupMetric = Heading & { samples: (group: GroupFacts) => Sample[] }

const WORKER_STATES = {
  starting: true,
  prepared: true,
  serving: true,
  draining: true,
  backoff: true,
  hung: true,
  stopped: true,
} as const satisfies Record<ProcessStatus['state'], true>

const GROUP_METRICS: readonly GroupMetric[] = [
  {
    name: 'group_generation',
    help: 'The newest generation that a reload brought to serve.',
    type: 'gauge',
    samples: ({ status: { name }, generation }) => (generation === null ? [] : [ofGroup(name, generation)]),
  },
  {
    name: 'group_workers_wanted',
    help: 'How many workers the group ought to have.',
    type: 'gauge',
    samples: ({ status }) => [ofGroup(status.name, status.count)],
  },
  {
    name: 'group_workers',
    help: 'Workers by state; backoff: a slot without a process that waits for its next start.',
    type: 'gauge',
    samples: ({ status }) =>
      Object.keys(WORKER_STATES).map((state) => {
        const value = status.processes.filter((row) => row.state === state).length
        return { labels: { group: status.name, state }, value }
      }),
  },
  {
    name: 'group_connections_cut_total',
    help: 'Connections closed by force at a deadline.',
    type: 'counter',
    samples: ({ status, counts }) => [ofGroup(status.name, counts.connectionsCut)],
  },
  {
    name: 'group_kills_total',
    help: 'Worker processes that the master killed.',
    type: 'counter',
    samples: ({ status, counts }) => [ofGroup(status.name, counts.kills)],
  },
]

function ofGroup(group: string, value: number): Sample {
  return { labels: { group }, value }
}

// ---- workers: what is so now ---------------------------------------------------------------------------------------

/** Of the processes of one slot, of which there are two while an old one leaves. */
type SlotMetric = Heading & { value: (rows: readonly ProcessStatus[]) => number | null }

const SLOT_METRICS: readonly SlotMetric[] = [
  {
    name: 'worker_generation',
    help: 'The generation that the worker runs.',
    type: 'gauge',
    value: (rows) => currentOf(rows)?.generation ?? null,
  },
  {
    name: 'worker_start_time_seconds',
    help: 'When its process was started, in seconds since 1970.',
    type: 'gauge',
    value: (rows) => scaled(startOf(currentOf(rows)), 1000),
  },
  {
    name: 'worker_leader',
    help: '1 for the leader of the group.',
    type: 'gauge',
    value: (rows) => Number(rows.some((row) => row.leader)),
  },
  {
    name: 'worker_resident_memory_bytes',
    help: 'Resident memory, of old and new together while both live.',
    type: 'gauge',
    value: (rows) => sumOf(rows, 'rssBytes'),
  },
  {
    name: 'worker_heap_used_bytes',
    help: 'JavaScript heap in use, of old and new together while both live.',
    type: 'gauge',
    value: (rows) => sumOf(rows, 'heapUsedBytes'),
  },
  {
    name: 'worker_connections',
    help: 'Open connections, of old and new together while both live.',
    type: 'gauge',
    value: (rows) => sumOf(rows, 'connections'),
  },
  {
    name: 'worker_event_loop_utilization_ratio',
    help: 'Busy share of the event loop since the last collection, 0 to 1.',
    type: 'gauge',
    value: (rows) => currentOf(rows)?.eventLoopUtilization ?? null,
  },
  {
    name: 'worker_event_loop_delay_seconds',
    help: 'How long the worker took to answer the master at this collection.',
    type: 'gauge',
    value: (rows) => scaled(currentOf(rows)?.eventLoopDelayMs ?? null, 1000),
  },
]

function perSlot({ status }: GroupFacts, { value }: SlotMetric): Sample[] {
  return [...bySlot(status)].flatMap(([id, rows]) => {
    const now = value(rows)
    return now === null ? [] : [ofWorker(status.name, id, now)]
  })
}

/** The processes of each slot; one that is empty has none. */
function bySlot({ processes }: GroupStatus): Map<number, ProcessStatus[]> {
  const slots = new Map<number, ProcessStatus[]>()
  for (const row of processes) {
    const rows = slots.get(row.id) ?? []
    if (row.pid !== null) rows.push(row)
    slots.set(row.id, rows)
  }
  return slots
}

/**
 * Of old and new together while both live, the one that serves: whether figures of the user's may be added up is not
 * known.
 */
function perFigure({ status }: GroupFacts): Sample[] {
  return [...bySlot(status)].flatMap(([id, rows]) =>
    Object.entries(currentOf(rows)?.figures ?? {}).flatMap(([figure, value]) =>
      typeof value === 'number' ? [{ labels: { group: status.name, worker: String(id), figure }, value }] : [],
    ),
  )
}

/** The one that serves, or, when none does, the youngest. */
function currentOf(rows: readonly ProcessStatus[]): ProcessStatus | null {
  return rows.findLast((row) => row.state === 'serving') ?? rows.at(-1) ?? null
}

function startOf(row: ProcessStatus | null): number | null {
  return row?.startedAt ? Date.parse(row.startedAt) : null
}

/**
 * A sum from which a blocked worker's part is missing would be a lie: it is left out. One that has not
 * served yet has no part.
 */
function sumOf(rows: readonly ProcessStatus[], key: 'rssBytes' | 'heapUsedBytes' | 'connections'): number | null {
  const saying = rows.filter((row) => row[key] !== null || (row.state !== 'starting' && row.state !== 'prepared'))
  if (saying.length === 0) return null
  return saying.reduce<number | null>((sum, row) => {
    const value = row[key]
    return sum === null || value === null ? null : sum + value
  }, 0)
}

function scaled(value: number | null, by: number): number | null {
  return value === null ? null : value / by
}

function ofWorker(group: string, id: number, value: number): Sample {
  return { labels: { group, worker: String(id) }, value }
}

// ---- workers: what was counted -------------------------------------------------------------------------------------

const COUNTER_METRICS: readonly { name: string; help: string; value: (counts: SlotCounts) => number }[] = [
  {
    name: 'worker_requests_total',
    help: 'Requests begun, those of replaced processes included.',
    value: (counts) => counts.requests,
  },
  {
    name: 'worker_cpu_seconds_total',
    help: 'Processor time, user and system, that of replaced processes included.',
    value: (counts) => counts.cpuMs / 1000,
  },
  {
    name: 'worker_crashes_total',
    help: 'Processes that ended unasked after they had served.',
    value: (counts) => counts.crashes,
  },
  {
    name: 'worker_failed_starts_total',
    help: 'Processes that ended unasked before they served.',
    value: (counts) => counts.failedStarts,
  },
]

/** Also of slots that were scaled away: what was counted stays counted. */
function perCounted({ status, counts }: GroupFacts, { value }: (typeof COUNTER_METRICS)[number]): Sample[] {
  return [...counts.slots].sort(([a], [b]) => a - b).map(([id, slot]) => ofWorker(status.name, id, value(slot)))
}
