/**
 * What has happened since the master started, counted from the supervisor's notices, for the metrics.
 * A slot's counts go on when its process is replaced: what the old one counted is carried over, so
 * that old and new are one number while both live. No clock and no I/O.
 */
import type { ReloadSummary } from '../../ipc/status.ts'
import type { Notice } from '../notices.ts'
import type { Child } from '../policy/fleet.ts'

export interface SlotCounts {
  requests: number
  cpuMs: number
  /** Processes that ended unasked after they had served. */
  crashes: number
  /** Processes that ended before they served, and were not told to. */
  failedStarts: number
}

export interface GroupCounts {
  /** By id, also of slots that are no more. */
  slots: Map<number, SlotCounts>
  connectionsCut: number
  kills: number
}

export type ReloadResult = ReloadSummary['result']

export interface LastReload {
  result: ReloadResult
  durationMs: number
  /** When it ended, as `Date.now()` says it. */
  endedAt: number
}

/** What one living process has counted, as far as it has said. */
interface Live {
  readonly slot: SlotCounts
  requests: number
  cpuMs: number
  wasKilled: boolean
}

export class Counters {
  readonly reloads: Record<ReloadResult, number> = { done: 0, rejected: 0, mixed: 0, cancelled: 0, failed: 0 }
  lastReload: LastReload | null = null
  readonly #groups = new Map<string, GroupCounts>()
  readonly #live = new Map<number, Live>()

  /** @param now as `Date.now()` says it. */
  note(notice: Notice, now: number): void {
    switch (notice.type) {
      case 'child':
        if (notice.what === 'spawned') this.#begin(notice.child)
        return
      case 'stats':
        this.#raise(notice.child.key, notice.stats.requests, notice.stats.cpuMs)
        return
      case 'kill':
        this.#noteKill(notice.child)
        return
      case 'left':
        this.#noteLeft(notice.child)
        return
      case 'reload-ended': {
        const { result, durationMs } = notice.summary
        this.reloads[result]++
        if (notice.isLatest) this.lastReload = { result, durationMs, endedAt: now }
        return
      }
    }
  }

  /** Processor time as the process table tells it: also that of a worker that does not answer. */
  noteCpu(key: number, cpuMs: number): void {
    this.#raise(key, 0, cpuMs)
  }

  /** The group's counts, those of living processes included; a copy. */
  group(name: string): GroupCounts {
    const { slots, connectionsCut, kills } = this.#group(name)
    return { slots: new Map([...slots].map(([id, counts]) => [id, this.#total(counts)])), connectionsCut, kills }
  }

  #total(slot: SlotCounts): SlotCounts {
    const total = { ...slot }
    for (const live of this.#live.values()) {
      if (live.slot !== slot) continue
      total.requests += live.requests
      total.cpuMs += live.cpuMs
    }
    return total
  }

  #begin(child: Child): void {
    this.#live.set(child.key, { slot: this.#slot(child), requests: 0, cpuMs: 0, wasKilled: false })
  }

  /** A late answer, or one of a coarser clock, takes nothing back. */
  #raise(key: number, requests: number, cpuMs: number): void {
    const live = this.#live.get(key)
    if (!live) return
    live.requests = Math.max(live.requests, requests)
    live.cpuMs = Math.max(live.cpuMs, cpuMs)
  }

  /** One process is killed once, however often it takes. */
  #noteKill(child: Child): void {
    const live = this.#live.get(child.key)
    if (!live || live.wasKilled) return
    live.wasKilled = true
    this.#group(child.name).kills++
  }

  #noteLeft(child: Child): void {
    const live = this.#live.get(child.key)
    if (!live) return
    this.#live.delete(child.key)
    live.slot.requests += live.requests
    live.slot.cpuMs += live.cpuMs
    this.#group(child.name).connectionsCut += child.report?.connectionsCut ?? 0
    if (child.drainReason !== null && child.drainReason !== 'crash') return
    if (child.servingAt === null) live.slot.failedStarts++
    else live.slot.crashes++
  }

  #group(name: string): GroupCounts {
    const known = this.#groups.get(name)
    if (known) return known
    const fresh: GroupCounts = { slots: new Map(), connectionsCut: 0, kills: 0 }
    this.#groups.set(name, fresh)
    return fresh
  }

  #slot(child: Child): SlotCounts {
    const { slots } = this.#group(child.name)
    const known = slots.get(child.id)
    if (known) return known
    const fresh: SlotCounts = { requests: 0, cpuMs: 0, crashes: 0, failedStarts: 0 }
    slots.set(child.id, fresh)
    return fresh
  }
}
