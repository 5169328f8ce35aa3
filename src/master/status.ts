/** What `status` says: the fleet's own data, the workers' own numbers, and the process table's. Called by the master's main. */

import { formatAddress } from '../address.ts'
import type { WorkerStats } from '../ipc/messages.ts'
import { blankProcess, type GroupStatus, type ProcessStatus, type ReloadSummary, type Status } from '../ipc/status.ts'
import { cpuMsOf, isStopped, ownRssBytes, rssBytesOf } from '../os/processes.ts'
import { outOfDescriptors } from '../words.ts'
import {
  type Child,
  childrenOf,
  type Fleet,
  type Group,
  highestGeneration,
  type Slot,
  slotKey,
} from './policy/fleet.ts'
import type { Preparations } from './preparations.ts'
import { ProcessRates } from './rates.ts'
import type { Supervisor } from './supervisor.ts'

/** A worker that has not answered by then is blocked: its numbers are null. */
const STATS_TIMEOUT_MS = 300

export interface MasterFacts {
  entry: string
  startedAt: Date
  daemon: boolean
  watching: boolean
  logsOpenedAt: () => Date
  warnings: () => string[]
  lastReload: () => ReloadSummary | null
  metrics: string | null
}

/** What is asked of a supervisor. */
export type Watched = Pick<Supervisor, 'fleet' | 'listeners' | 'askStats' | 'startedAtOf'> & {
  readonly preparations: Pick<Preparations, 'closed'>
}

/** Rates (processor time, requests a second, the event loop's) are over about a second, see `rates.ts`. */
export class StatusReporter {
  readonly #supervisor: Watched
  readonly #facts: MasterFacts
  readonly #rates = new Map<number, ProcessRates>()

  constructor(supervisor: Watched, facts: MasterFacts) {
    this.#supervisor = supervisor
    this.#facts = facts
  }

  async report(): Promise<Status> {
    const answers = await this.#supervisor.askStats(STATS_TIMEOUT_MS)
    const { fleet } = this.#supervisor
    for (const key of this.#rates.keys()) if (!fleet.children.has(key)) this.#rates.delete(key)
    const groups = [...fleet.groups.values()].map((group) => this.#group(fleet, group, answers))
    return {
      version: 1,
      master: {
        pid: process.pid,
        startedAt: this.#facts.startedAt.toISOString(),
        state: masterState(fleet),
        generation: highestGeneration(fleet),
        node: process.version,
        entry: this.#facts.entry,
        daemon: this.#facts.daemon,
        watching: this.#facts.watching,
        rssBytes: ownRssBytes(),
        metrics: this.#facts.metrics,
        logsOpenedAt: this.#facts.logsOpenedAt().toISOString(),
        warnings: [...this.#facts.warnings(), ...suspended(fleet), ...full(fleet)],
      },
      lastReload: this.#facts.lastReload(),
      groups,
    }
  }

  #group(fleet: Fleet, group: Group, answers: Answers): GroupStatus {
    const { spec } = group
    const processes = group.slots.flatMap((slot) => this.#slot(fleet, group, slot, answers))
    return {
      name: spec.name,
      listen: this.#addresses(group),
      closed: isStopping(fleet) ? this.#closedOf(group) : [],
      count: group.count,
      reloadable: spec.reloadable,
      after: spec.after,
      user: spec.user,
      state: groupState(fleet, group, processes),
      processes,
    }
  }

  /** More than one while a reload moves it, or has stopped halfway. A socket may speak another protocol than at first. */
  #addresses(group: Group): string[] {
    const serving = [...group.variants].filter(([generation]) => generation <= group.generation)
    const texts = [group, ...serving.map(([, variant]) => variant)].map(({ spec, listener }) => {
      const held = listener === null ? undefined : this.#supervisor.listeners.get(listener)
      return held && spec.address ? formatAddress(spec.address, held.port ?? undefined) : null
    })
    return [...new Set(texts)].filter((text) => text !== null)
  }

  /** A listener that was closed for the stop stands where it stood. */
  #closedOf({ spec, listener }: Group): string[] {
    const { listeners, preparations } = this.#supervisor
    if (listener === null || !spec.address || listeners.has(listener)) return []
    const port = preparations.closed.get(listener)
    return port === undefined ? [] : [formatAddress(spec.address, port ?? undefined)]
  }

  #slot(fleet: Fleet, group: Group, slot: Slot, answers: Answers): ProcessStatus[] {
    const children = childrenOf(fleet, group.spec.name, slot.id)
    const rows = children.map((child) => this.#process(group, slot, child, answers.get(child.key)))
    // nobody comes any more
    if (isStopping(fleet)) return rows
    const isEmpty = children.every(({ state }) => state === 'draining' || state === 'killed' || state === 'hung')
    return isEmpty && slot.id < group.count ? [...rows, emptySlot(slot)] : rows
  }

  #process(group: Group, slot: Slot, child: Child, answer: Answer | undefined): ProcessStatus {
    const nowMs = performance.now()
    const rates = this.#ratesOf(child)
    const cpuMs = cpuMsOf(child.pid)
    const stats = answer?.stats ?? null
    return {
      pid: child.pid,
      id: child.id,
      generation: child.generation,
      state: isStopped(child.pid) ? 'stopped' : shownState(child),
      leader: group.leaderKey === child.key && !child.resigned,
      startedAt: this.#supervisor.startedAtOf(child)?.toISOString() ?? null,
      rssBytes: rssBytesOf(child.pid),
      heapUsedBytes: stats?.heapUsedBytes ?? null,
      cpuPercent: cpuMs === null ? null : round(100 * rates.cpuMs.note(nowMs, cpuMs), 1),
      connections: stats?.connections ?? null,
      requests: stats?.requests ?? null,
      requestsPerSecond: stats ? round(1000 * rates.requests.note(nowMs, stats.requests), 1) : null,
      eventLoopUtilization: stats ? utilization(rates.loopActiveMs.note(nowMs, stats.loopActiveMs)) : null,
      eventLoopDelayMs: answer ? round(answer.tookMs, 1) : null,
      figures: stats?.figures ?? null,
      restarts: slot.restarts,
      lastExit: slot.lastExit,
    }
  }

  #ratesOf(child: Child): ProcessRates {
    const known = this.#rates.get(child.key)
    if (known) return known
    const rates = new ProcessRates(child.startedAt)
    this.#rates.set(child.key, rates)
    return rates
  }
}

type Answer = { stats: WorkerStats; tookMs: number }
type Answers = ReadonlyMap<number, Answer>

function emptySlot(slot: Slot): ProcessStatus {
  const { id, target, restarts, lastExit } = slot
  return { ...blankProcess({ pid: null, id, generation: target, state: 'backoff' }), restarts, lastExit }
}

function shownState({ state, drainReason }: Child): ProcessStatus['state'] {
  if (state === 'admitted') return 'prepared'
  if (state === 'killed' && drainReason === 'hang') return 'hung'
  return state === 'killed' || state === 'exited' ? 'draining' : state
}

function masterState(fleet: Fleet): Status['master']['state'] {
  if (fleet.phase === 'stopped') return 'stopping'
  if (fleet.phase !== 'running') return fleet.phase
  if (fleet.isDormant) return 'starting'
  return fleet.reload || fleet.scaling || fleet.settling.length > 0 ? 'reloading' : 'running'
}

function isStopping({ phase }: Fleet): boolean {
  return phase === 'stopping' || phase === 'stopped'
}

function groupState(fleet: Fleet, group: Group, processes: readonly ProcessStatus[]): GroupStatus['state'] {
  const serving = processes.filter((row) => row.state === 'serving')
  const served = new Set(serving.map((row) => row.id)).size
  if (served < group.count && isStopping(fleet)) return 'stopping'
  if (served < group.count) return processes.some((row) => row.state === 'backoff') ? 'backoff' : 'degraded'
  return new Set(serving.map((row) => row.generation)).size > 1 ? 'mixed' : 'ok'
}

function suspended(fleet: Fleet): string[] {
  if (fleet.isDormant) return ['the first start has failed: nothing runs until a file changes, or a reload']
  const names = [...fleet.groups.values()].filter((group) => group.suspended).map((group) => group.spec.name)
  if (names.length === 0) return []
  return [`${names.join(', ')}: the code on disk failed its reload: recycling waits for a good reload`]
}

function full(fleet: Fleet): string[] {
  return [...fleet.children.values()].flatMap(({ name, id, state, full: use }) =>
    use && state === 'serving'
      ? [`${slotKey(name, id)} ${outOfDescriptors(use)}: accepts nothing until it has some`]
      : [],
  )
}

/** The worker's clock is read a moment before ours. */
function utilization(activeMsPerMs: number): number {
  return round(Math.min(1, activeMsPerMs), 3)
}

function round(value: number, digits: number): number {
  const factor = 10 ** digits
  return Math.round(value * factor) / factor
}
