/** What a view may have seen, for tests: a fleet with what is told of it. */
import type { Scene } from '../../../src/cli/picture.ts'
import {
  blankProcess,
  type GroupStatus,
  type ProcessStatus,
  type ReloadSummary,
  type SeenStatus,
  type Status,
} from '../../../src/ipc/status.ts'

export const NOW = Date.parse('2026-03-04T12:00:00')

export function row(id: number, changes: Partial<ProcessStatus> = {}): ProcessStatus {
  return {
    ...blankProcess({ pid: 1_234_560 + id, id, generation: 3, state: 'serving' }),
    leader: id === 0,
    startedAt: new Date(NOW - 250_000).toISOString(),
    rssBytes: 54 * 1024 * 1024,
    heapUsedBytes: 8 * 1024 * 1024,
    cpuPercent: 3.4,
    connections: 25,
    requests: 123_456,
    requestsPerSecond: 321.54,
    eventLoopUtilization: 0.1,
    eventLoopDelayMs: 1.4,
    ...changes,
  }
}

export function group(name: string, processes: ProcessStatus[], changes: Partial<GroupStatus> = {}): GroupStatus {
  const slots = new Set(processes.map((process) => process.id)).size
  const fixed = {
    listen: ['http://0.0.0.0:8080'],
    closed: [],
    count: slots,
    reloadable: true,
    after: [],
    user: null,
  } as const
  return { name, ...fixed, listen: [...fixed.listen], closed: [], after: [], state: 'ok', processes, ...changes }
}

export function status(groups: GroupStatus[], master: Partial<Status['master']> = {}): Status {
  return {
    version: 1,
    master: {
      pid: 1_234_500,
      startedAt: new Date(NOW - 25_500_000).toISOString(),
      state: 'running',
      generation: 3,
      node: 'v20.20.2',
      entry: '/srv/app/current/start.ts',
      daemon: true,
      watching: false,
      metrics: null,
      logsOpenedAt: '2026-03-04T04:55:00Z',
      rssBytes: 60 * 1024 * 1024,
      warnings: [],
      ...master,
    },
    lastReload: null,
    groups,
  }
}

export function reload(changes: Partial<ReloadSummary> = {}): ReloadSummary {
  const fixed = { result: 'done', generation: 3, durationMs: 2_340, error: null } as const
  return { ...fixed, replaced: [], kept: [], applied: [], needsRestart: [], standing: [], ...changes }
}

export function scene(of: SeenStatus, changes: Partial<Scene> = {}): Scene {
  const times = { nowMs: NOW, stateSinceMs: null, reloadedAtMs: null }
  return { status: of, master: 'speaks', problem: [], footer: 'q quits   every 1 s', ...times, ...changes }
}

/** A site of two groups that serves in peace. */
export function peace(): Status {
  const jobs = { listen: [], connections: null }
  const quiet = { connections: 0, requests: 0, requestsPerSecond: 0 }
  return {
    ...status([
      group('web', [row(0), row(1), row(2), row(3)]),
      group('jobs', [row(4, { id: 0, ...quiet })], { listen: jobs.listen }),
    ]),
    lastReload: reload(),
  }
}

/** The same in the middle of a reload: one replaced, its old one still draining, one starting. */
export function rolling(): Status {
  const fresh = { generation: 4, startedAt: new Date(NOW - 3_200).toISOString() }
  const web = [
    row(0, { state: 'draining', leader: false, connections: 2, requestsPerSecond: 0 }),
    row(0, { ...fresh, pid: 1_234_600 }),
    row(1),
    row(1, { ...fresh, pid: 1_234_601, state: 'starting', connections: 0, requests: 0, requestsPerSecond: 0 }),
    row(2),
    row(3),
  ]
  const before = peace()
  const [, jobs] = before.groups
  return {
    ...status([group('web', web, { state: 'mixed' }), ...(jobs ? [jobs] : [])], { state: 'reloading' }),
    lastReload: reload(),
  }
}
