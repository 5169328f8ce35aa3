/** What the page of metrics says, and that it never says one thing twice. */
import { describe, expect, it } from 'vitest'
import { blankProcess, type GroupStatus, type ProcessStatus, type Status } from '../../../../src/ipc/status.ts'
import { Counters } from '../../../../src/master/metrics/counters.ts'
import { exposition } from '../../../../src/master/metrics/exposition.ts'
import { families } from '../../../../src/master/metrics/page.ts'
import type { Child } from '../../../../src/master/policy/fleet.ts'
import {
  checkByPromtool,
  countSeriesByPython,
  hasPromtool,
  hasPythonClient,
  parseExposition,
} from '../../../helpers/prometheus.ts'
import { Random } from '../../random.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

function row(changes: Partial<ProcessStatus> = {}): ProcessStatus {
  return {
    ...blankProcess({ pid: 101, id: 0, generation: 3, state: 'serving' }),
    leader: true,
    startedAt: '2026-03-04T12:00:00.500Z',
    rssBytes: 50_000_000,
    heapUsedBytes: 9_000_000,
    connections: 7,
    requests: 12,
    eventLoopUtilization: 0.25,
    eventLoopDelayMs: 1.5,
    ...changes,
  }
}

function group(changes: Partial<GroupStatus> = {}): GroupStatus {
  return {
    name: 'web',
    listen: ['http://127.0.0.1:8080'],
    closed: [],
    count: 1,
    reloadable: true,
    after: [],
    user: null,
    state: 'ok',
    processes: [row()],
    ...changes,
  }
}

function status(groups: GroupStatus[]): Status {
  return {
    version: 1,
    master: {
      pid: 100,
      startedAt: '2026-03-04T11:00:00.250Z',
      state: 'running',
      generation: 3,
      node: 'v20.20.2',
      entry: '/srv/start.ts',
      daemon: false,
      watching: false,
      rssBytes: 60_000_000,
      metrics: 'http://127.0.0.1:9100',
      logsOpenedAt: '2026-03-04T04:55:00Z',
      warnings: ['one'],
    },
    lastReload: null,
    groups,
  }
}

/** A worker of the stage, counted as a process of this group and slot. */
function counted(counters: Counters, name = 'web', id = 0): Child {
  const stage = Stage.started(spec(name, { count: id + 1 }))
  const child = { ...stage.child(name, id), key: ++key }
  counters.note({ type: 'child', what: 'spawned', child, detail: null }, 0)
  return child
}
let key = 1_000

function requests(counters: Counters, child: Child, count: number, cpuMs = 0): void {
  const stats = {
    requests: count,
    cpuMs,
    connections: 0,
    heapUsedBytes: 0,
    loopActiveMs: 0,
    loopIdleMs: 0,
    figures: null,
  }
  counters.note({ type: 'stats', child, stats }, 0)
}

function page(groups: GroupStatus[], counters = new Counters()): string {
  const generations = new Map(groups.map(({ name }) => [name, 3]))
  return exposition(families({ version: '0.2.0', status: status(groups), generations, counters }))
}

function valuesOf(text: string): Record<string, number> {
  return Object.fromEntries(parseExposition(text).values)
}

it('is this, for one worker after one reload', () => {
  const counters = new Counters()
  requests(counters, counted(counters), 12, 250)
  const summary = { result: 'done' as const, durationMs: 1_250 }
  const rest = { generation: 3, error: null, replaced: [], kept: [], applied: [], needsRestart: [], standing: [] }
  counters.note({ type: 'reload-ended', summary: { ...summary, ...rest }, isLatest: true }, 1_772_625_600_500)
  const samples = page([group()], counters)
    .split('\n')
    .filter((line) => !line.startsWith('#'))
  expect(samples).toEqual([
    'shiftwork_build_info{version="0.2.0",node="v20.20.2"} 1',
    'shiftwork_master_start_time_seconds 1772622000.25',
    'shiftwork_master_resident_memory_bytes 60000000',
    'shiftwork_master_state{state="starting"} 0',
    'shiftwork_master_state{state="running"} 1',
    'shiftwork_master_state{state="reloading"} 0',
    'shiftwork_master_state{state="stopping"} 0',
    'shiftwork_master_warnings 1',
    'shiftwork_reloads_total{result="done"} 1',
    'shiftwork_reloads_total{result="rejected"} 0',
    'shiftwork_reloads_total{result="mixed"} 0',
    'shiftwork_reloads_total{result="cancelled"} 0',
    'shiftwork_reloads_total{result="failed"} 0',
    'shiftwork_last_reload_timestamp_seconds 1772625600.5',
    'shiftwork_last_reload_duration_seconds 1.25',
    'shiftwork_last_reload_result{result="done"} 1',
    'shiftwork_last_reload_result{result="rejected"} 0',
    'shiftwork_last_reload_result{result="mixed"} 0',
    'shiftwork_last_reload_result{result="cancelled"} 0',
    'shiftwork_last_reload_result{result="failed"} 0',
    'shiftwork_group_generation{group="web"} 3',
    'shiftwork_group_workers_wanted{group="web"} 1',
    'shiftwork_group_workers{group="web",state="starting"} 0',
    'shiftwork_group_workers{group="web",state="prepared"} 0',
    'shiftwork_group_workers{group="web",state="serving"} 1',
    'shiftwork_group_workers{group="web",state="draining"} 0',
    'shiftwork_group_workers{group="web",state="backoff"} 0',
    'shiftwork_group_workers{group="web",state="hung"} 0',
    'shiftwork_group_workers{group="web",state="stopped"} 0',
    'shiftwork_group_connections_cut_total{group="web"} 0',
    'shiftwork_group_kills_total{group="web"} 0',
    'shiftwork_worker_generation{group="web",worker="0"} 3',
    'shiftwork_worker_start_time_seconds{group="web",worker="0"} 1772625600.5',
    'shiftwork_worker_leader{group="web",worker="0"} 1',
    'shiftwork_worker_resident_memory_bytes{group="web",worker="0"} 50000000',
    'shiftwork_worker_heap_used_bytes{group="web",worker="0"} 9000000',
    'shiftwork_worker_connections{group="web",worker="0"} 7',
    'shiftwork_worker_event_loop_utilization_ratio{group="web",worker="0"} 0.25',
    'shiftwork_worker_event_loop_delay_seconds{group="web",worker="0"} 0.0015',
    'shiftwork_worker_requests_total{group="web",worker="0"} 12',
    'shiftwork_worker_cpu_seconds_total{group="web",worker="0"} 0.25',
    'shiftwork_worker_crashes_total{group="web",worker="0"} 0',
    'shiftwork_worker_failed_starts_total{group="web",worker="0"} 0',
    '',
  ])
})

it('says nothing of a reload before the first one', () => {
  const text = page([group()])
  expect(text).not.toContain('last_reload')
  expect(text).toContain('shiftwork_reloads_total{result="done"} 0\n')
})

describe('two processes in one slot', () => {
  const old = row({ pid: 101, generation: 3, state: 'draining', leader: false, connections: 4, eventLoopDelayMs: 9 })
  const fresh = row({ pid: 102, generation: 4, connections: 5, eventLoopDelayMs: 2 })

  it('are one series: what they hold is added up, what they are is that of the one that serves', () => {
    const values = valuesOf(page([group({ processes: [old, fresh] })]))
    expect(values).toMatchObject({
      'shiftwork_worker_generation{group="web",worker="0"}': 4,
      'shiftwork_worker_leader{group="web",worker="0"}': 1,
      'shiftwork_worker_resident_memory_bytes{group="web",worker="0"}': 100_000_000,
      'shiftwork_worker_connections{group="web",worker="0"}': 9,
      'shiftwork_worker_event_loop_delay_seconds{group="web",worker="0"}': 0.002,
      'shiftwork_group_workers{group="web",state="serving"}': 1,
      'shiftwork_group_workers{group="web",state="draining"}': 1,
    })
  })

  it('of which one does not answer have no sum, unless it is one that has not served yet', () => {
    const silent = { heapUsedBytes: null, connections: null, eventLoopUtilization: null, eventLoopDelayMs: null }
    const blocked = valuesOf(page([group({ processes: [{ ...old, ...silent }, fresh] })]))
    expect(blocked).not.toHaveProperty(['shiftwork_worker_connections{group="web",worker="0"}'])
    expect(blocked).not.toHaveProperty(['shiftwork_worker_heap_used_bytes{group="web",worker="0"}'])
    const starting = row({ ...silent, pid: 103, state: 'starting', generation: 5 })
    const coming = valuesOf(page([group({ processes: [fresh, starting] })]))
    expect(coming).toMatchObject({
      'shiftwork_worker_connections{group="web",worker="0"}': 5,
      'shiftwork_worker_generation{group="web",worker="0"}': 4,
    })
  })
})

it('has the numbers of the user’s code, of the process that serves', () => {
  const figures = { clients: 12, 'a "b"': 0.5, mode: 'late', isFull: true }
  const old = row({ pid: 99, state: 'draining', figures: { clients: 99, gone: 1 } })
  const text = page([group({ count: 2, processes: [old, row({ figures }), row({ pid: 102, id: 1 })] })])
  expect(text.split('\n').filter((line) => line.includes('figure'))).toEqual([
    '# HELP shiftwork_worker_figure Numbers that onStatus of the user gives, by name.',
    '# TYPE shiftwork_worker_figure gauge',
    'shiftwork_worker_figure{group="web",worker="0",figure="clients"} 12',
    'shiftwork_worker_figure{group="web",worker="0",figure="a \\"b\\""} 0.5',
  ])
  expect(page([group()])).not.toContain('figure')
})

it('leaves out what a blocked worker cannot say, and never says 0 for it', () => {
  const silent = { heapUsedBytes: null, connections: null, requests: null }
  const blocked = row({ ...silent, eventLoopUtilization: null, eventLoopDelayMs: null })
  const names = Object.keys(valuesOf(page([group({ processes: [blocked] })])))
  const about = names.filter((name) => name.startsWith('shiftwork_worker_'))
  expect(about).toEqual([
    'shiftwork_worker_generation{group="web",worker="0"}',
    'shiftwork_worker_start_time_seconds{group="web",worker="0"}',
    'shiftwork_worker_leader{group="web",worker="0"}',
    'shiftwork_worker_resident_memory_bytes{group="web",worker="0"}',
  ])
})

it('shows a slot without a process as one that waits, with its counts', () => {
  const counters = new Counters()
  const child = counted(counters)
  requests(counters, child, 30)
  counters.note({ type: 'left', child, code: 1, signal: null }, 0)
  const empty = blankProcess({ pid: null, id: 0, generation: 3, state: 'backoff' })
  const values = valuesOf(page([group({ processes: [empty] })], counters))
  expect(values).toMatchObject({
    'shiftwork_group_workers{group="web",state="backoff"}': 1,
    'shiftwork_group_workers{group="web",state="serving"}': 0,
    'shiftwork_worker_leader{group="web",worker="0"}': 0,
    'shiftwork_worker_requests_total{group="web",worker="0"}': 30,
    'shiftwork_worker_crashes_total{group="web",worker="0"}': 1,
  })
  expect(values).not.toHaveProperty(['shiftwork_worker_generation{group="web",worker="0"}'])
  expect(values).not.toHaveProperty(['shiftwork_worker_resident_memory_bytes{group="web",worker="0"}'])
})

/** Groups with any processes in any states, several in a slot, any number unknown. */
function randomPage(random: Random): string {
  const states = ['starting', 'prepared', 'serving', 'draining', 'backoff', 'hung', 'stopped'] as const
  const counters = new Counters()
  const names = ['web', 'api', 'größe', 'a.b-c_d'].slice(0, random.int(1, 4))
  const groups = names.map((name) => {
    const processes = Array.from({ length: random.int(0, 7) }, () => {
      const id = random.int(0, 2)
      const state = random.pick(states)
      if (random.chance(0.7)) requests(counters, counted(counters, name, id), random.int(0, 1_000_000))
      const number = (): number | null => (random.chance(0.3) ? null : random.int(0, 1e9) / 7)
      return row({
        id,
        state,
        pid: state === 'backoff' ? null : 100,
        connections: number(),
        rssBytes: number(),
        heapUsedBytes: number(),
        eventLoopDelayMs: number(),
        figures: random.chance(0.5) ? { queued: random.int(0, 9), 'größe \\ "': random.int(0, 9), mode: 'a' } : null,
        startedAt: random.chance(0.2) ? null : '2026-03-04T12:00:00.500Z',
      })
    })
    return group({ name, processes })
  })
  return page(groups, counters)
}

const PAGES = Array.from({ length: 60 }, (_, seed) => randomPage(new Random(seed)))

it('is right whatever the fleet looks like: no series twice, no family in two places', () => {
  for (const text of PAGES) expect(parseExposition(text).values.size).toBeGreaterThan(12)
})

it.skipIf(!hasPythonClient)('is read by Prometheus’ Python client, which finds as many series', () => {
  expect(countSeriesByPython(PAGES)).toEqual(PAGES.map((text) => parseExposition(text).values.size))
})

it.skipIf(!hasPromtool)('pleases promtool: names, units and types are as Prometheus wants them', () => {
  expect(checkByPromtool(PAGES.at(-1) ?? '')).toBe('')
})
