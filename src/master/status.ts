/** What `status` says: the fleet's own data, the workers' own numbers, and the process table's. Called by the master's main. */

import { formatAddress } from '../address.ts'
import type { WorkerStats } from '../ipc/messages.ts'
import { blankProcess, type GroupStatus, type ProcessStatus, type ReloadSummary, type Status } from '../ipc/status.ts'
import { cpuMsOf, isStopped, rssBytesOf } from '../os/processes.ts'
import type { ChildState } from './child.ts'
import { type Child, childrenOf, type Fleet, type Group, type Slot } from './fleet.ts'
import type { Listener } from './listeners.ts'
import type { Supervisor } from './supervisor.ts'

/** A worker that has not answered by then is blocked: its numbers are null. */
const STATS_TIMEOUT_MS = 300

export interface MasterFacts {
  entry: string
  startedAt: Date
  daemon: boolean
  watching: boolean
  warnings: () => string[]
  listeners: ReadonlyMap<string, Listener>
  lastReload: () => ReloadSummary | null
  metrics: string | null
}

interface Sample {
  /** Told the same each time: two clocks never agree to the millisecond. */
  startedAt: string
  atMs: number
  cpuMs: number
  requests: number
  loopActiveMs: number
  loopIdleMs: number
}

/** Rates (processor time, requests a second) are since the previous status, the first time since the start. */
export class StatusReporter {
  readonly #supervisor: Supervisor
  readonly #facts: MasterFacts
  readonly #samples = new Map<number, Sample>()

  constructor(supervisor: Supervisor, facts: MasterFacts) {
    this.#supervisor = supervisor
    this.#facts = facts
  }

  async report(): Promise<Status> {
    const answers = await this.#supervisor.askStats(STATS_TIMEOUT_MS)
    const { fleet } = this.#supervisor
    for (const key of this.#samples.keys()) if (!fleet.children.has(key)) this.#samples.delete(key)
    const groups = [...fleet.groups.values()].map((group) => this.#group(fleet, group, answers))
    return {
      version: 1,
      master: {
        pid: process.pid,
        startedAt: this.#facts.startedAt.toISOString(),
        state: masterState(fleet),
        generation: Math.max(...[...fleet.groups.values()].map((group) => group.generation)),
        node: process.version,
        entry: this.#facts.entry,
        daemon: this.#facts.daemon,
        watching: this.#facts.watching,
        rssBytes: process.memoryUsage.rss(),
        metrics: this.#facts.metrics,
        warnings: [...this.#facts.warnings(), ...suspended(fleet)],
      },
      lastReload: this.#facts.lastReload(),
      groups,
    }
  }

  #group(fleet: Fleet, group: Group, answers: Answers): GroupStatus {
    const { spec } = group
    const processes = group.slots.flatMap((slot) => this.#slot(fleet, group, slot, answers))
    const port = this.#facts.listeners.get(spec.name)?.port ?? undefined
    return {
      name: spec.name,
      listen: spec.address ? [formatAddress(spec.address, port)] : [],
      count: spec.count,
      reloadable: spec.reloadable,
      after: spec.after,
      user: spec.user,
      state: groupState(group, processes),
      processes,
    }
  }

  #slot(fleet: Fleet, group: Group, slot: Slot, answers: Answers): ProcessStatus[] {
    const children = childrenOf(fleet, group.spec.name, slot.id)
    const rows = children.map((child) => this.#process(group, slot, child, answers.get(child.key)))
    const isEmpty = children.every((child) => child.state === 'draining' || child.state === 'killed')
    return isEmpty ? [...rows, emptySlot(slot)] : rows
  }

  #process(group: Group, slot: Slot, child: Child, answer: Answer | undefined): ProcessStatus {
    const nowMs = performance.now()
    const before = this.#samples.get(child.key) ?? firstSample(child, nowMs)
    const cpuMs = cpuMsOf(child.pid)
    const spanMs = Math.max(1, nowMs - before.atMs)
    const stats = answer?.stats ?? null
    this.#samples.set(child.key, {
      startedAt: before.startedAt,
      atMs: nowMs,
      cpuMs: cpuMs ?? before.cpuMs,
      requests: stats?.requests ?? before.requests,
      loopActiveMs: stats?.loopActiveMs ?? before.loopActiveMs,
      loopIdleMs: stats?.loopIdleMs ?? before.loopIdleMs,
    })
    return {
      pid: child.pid,
      id: child.id,
      generation: child.generation,
      state: isStopped(child.pid) ? 'stopped' : shownState(child.state),
      leader: group.leaderKey === child.key && !child.resigned,
      startedAt: before.startedAt,
      rssBytes: rssBytesOf(child.pid),
      heapUsedBytes: stats?.heapUsedBytes ?? null,
      cpuPercent: cpuMs === null ? null : round((100 * (cpuMs - before.cpuMs)) / spanMs, 1),
      connections: stats?.connections ?? null,
      requests: stats?.requests ?? null,
      requestsPerSecond: stats ? round((1000 * (stats.requests - before.requests)) / spanMs, 1) : null,
      eventLoopUtilization: stats ? round(utilization(before, stats), 3) : null,
      eventLoopDelayMs: answer ? round(answer.tookMs, 1) : null,
      restarts: slot.restarts,
      lastExit: slot.lastExit,
    }
  }
}

function firstSample(child: Child, nowMs: number): Sample {
  const startedAt = new Date(Date.now() - (nowMs - child.startedAt)).toISOString()
  return { startedAt, atMs: child.startedAt, cpuMs: 0, requests: 0, loopActiveMs: 0, loopIdleMs: 0 }
}

/** 0 idle to 1 busy. */
function utilization(before: Sample, now: WorkerStats): number {
  const activeMs = now.loopActiveMs - before.loopActiveMs
  return activeMs / Math.max(activeMs, activeMs + now.loopIdleMs - before.loopIdleMs, 1)
}

type Answer = { stats: WorkerStats; tookMs: number }
type Answers = ReadonlyMap<number, Answer>

function emptySlot(slot: Slot): ProcessStatus {
  const { id, target, restarts, lastExit } = slot
  return { ...blankProcess({ pid: null, id, generation: target, state: 'backoff' }), restarts, lastExit }
}

function shownState(state: ChildState): ProcessStatus['state'] {
  if (state === 'admitted') return 'prepared'
  return state === 'killed' || state === 'exited' ? 'draining' : state
}

function masterState(fleet: Fleet): Status['master']['state'] {
  if (fleet.phase === 'stopped') return 'stopping'
  if (fleet.phase !== 'running') return fleet.phase
  return fleet.reload || fleet.settling.length > 0 ? 'reloading' : 'running'
}

function groupState(group: Group, processes: readonly ProcessStatus[]): GroupStatus['state'] {
  const serving = processes.filter((row) => row.state === 'serving')
  const served = new Set(serving.map((row) => row.id)).size
  if (served < group.spec.count) return processes.some((row) => row.state === 'backoff') ? 'backoff' : 'degraded'
  return new Set(serving.map((row) => row.generation)).size > 1 ? 'mixed' : 'ok'
}

function suspended(fleet: Fleet): string[] {
  const names = [...fleet.groups.values()].filter((group) => group.suspended).map((group) => group.spec.name)
  if (names.length === 0) return []
  return [`${names.join(', ')}: the code on disk failed its reload: recycling waits for a good reload`]
}

function round(value: number, digits: number): number {
  const factor = 10 ** digits
  return Math.round(value * factor) / factor
}
