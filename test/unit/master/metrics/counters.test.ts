/** What is counted, and what is carried over when a process is replaced. */
import { describe, expect, it } from 'vitest'
import type { ReloadSummary } from '../../../../src/ipc/status.ts'
import type { SlotCounts } from '../../../../src/master/metrics/counters.ts'
import { Counters } from '../../../../src/master/metrics/counters.ts'
import type { Notice } from '../../../../src/master/notices.ts'
import type { Child } from '../../../../src/master/policy/fleet.ts'

let nextKey = 1

function child(changes: Partial<Child> = {}): Child {
  return {
    key: nextKey++,
    name: 'web',
    id: 0,
    generation: 1,
    attempt: 1,
    pid: 100,
    state: 'serving',
    startedAt: 0,
    startTimeoutMs: 30_000,
    hangTimeoutMs: 10_000,
    wasKilled: false,
    leftEarly: false,
    openAtEnd: null,
    silentSince: null,
    isDebugged: false,
    isBack: false,
    full: null,
    preparedAt: 1,
    servingAt: 2,
    drainAt: null,
    deadlineAt: null,
    drainReason: null,
    replaceWanted: null,
    replaceWantedAt: 0,
    successor: null,
    hasParted: false,
    resigned: false,
    isUnbiased: true,
    specs: null,
    disagreement: null,
    failure: null,
    output: '',
    report: null,
    ...changes,
  }
}

function feed(counters: Counters, ...notices: Notice[]): void {
  for (const notice of notices) counters.note(notice, 1_000)
}

const spawned = (of: Child): Notice => ({ type: 'child', what: 'spawned', child: of, detail: null })
const left = (of: Child): Notice => ({ type: 'left', child: of, code: 0, signal: null })
const kill = (of: Child): Notice => ({ type: 'kill', child: of, why: 'late' })
const stats = (of: Child, requests: number, cpuMs = 0): Notice => ({
  type: 'stats',
  child: of,
  stats: { requests, cpuMs, connections: 0, heapUsedBytes: 0, loopActiveMs: 0, loopIdleMs: 0, figures: null },
})

function slot(counters: Counters, id = 0): SlotCounts | undefined {
  return counters.group('web').slots.get(id)
}

describe('requests and processor time of a slot', () => {
  it('are those of its process, as it last said', () => {
    const counters = new Counters()
    const first = child()
    feed(counters, spawned(first))
    expect(slot(counters)).toEqual({ requests: 0, cpuMs: 0, crashes: 0, failedStarts: 0 })
    feed(counters, stats(first, 5, 10), stats(first, 8, 30))
    expect(slot(counters)).toMatchObject({ requests: 8, cpuMs: 30 })
  })

  it('are the sum while old and new live, and the same when the old one is gone', () => {
    const counters = new Counters()
    const old = child()
    const fresh = child({ generation: 2 })
    feed(counters, spawned(old), stats(old, 100, 1_000), spawned(fresh), stats(fresh, 3, 50), stats(old, 101, 1_001))
    expect(slot(counters)).toMatchObject({ requests: 104, cpuMs: 1_051 })
    old.drainReason = 'reload'
    feed(counters, left(old))
    expect(slot(counters)).toMatchObject({ requests: 104, cpuMs: 1_051, crashes: 0 })
  })

  it('never go backwards: not by an answer that comes late, nor by a coarser clock', () => {
    const counters = new Counters()
    const first = child()
    feed(counters, spawned(first), stats(first, 10, 17), stats(first, 9, 16))
    counters.noteCpu(first.key, 10)
    expect(slot(counters)).toMatchObject({ requests: 10, cpuMs: 17 })
    counters.noteCpu(first.key, 20)
    expect(slot(counters)).toMatchObject({ requests: 10, cpuMs: 20 })
  })

  it('are not counted twice by what a process that has left still said', () => {
    const counters = new Counters()
    const first = child()
    feed(counters, spawned(first), stats(first, 10, 10), left(first), stats(first, 10, 10), left(first))
    counters.noteCpu(first.key, 99)
    expect(slot(counters)).toEqual({ requests: 10, cpuMs: 10, crashes: 1, failedStarts: 0 })
  })

  it('are apart for each slot and group, and stay when the slot is scaled away', () => {
    const counters = new Counters()
    const [a, b, other] = [child(), child({ id: 1 }), child({ name: 'api' })]
    feed(counters, spawned(a), spawned(b), spawned(other), stats(a, 1), stats(b, 2), stats(other, 3))
    b.drainReason = 'scale'
    feed(counters, left(b))
    expect([slot(counters, 0)?.requests, slot(counters, 1)?.requests]).toEqual([1, 2])
    expect(counters.group('api').slots.get(0)?.requests).toBe(3)
  })

  it('cannot be changed through what was read', () => {
    const counters = new Counters()
    const first = child()
    feed(counters, spawned(first), stats(first, 1))
    const read = slot(counters)
    if (read) read.requests = 99
    counters.group('web').slots.clear()
    expect(slot(counters)?.requests).toBe(1)
  })
})

describe('an end', () => {
  it.each([
    ['by itself, serving', {}, { crashes: 1, failedStarts: 0 }],
    ['an uncaught exception', { drainReason: 'crash' }, { crashes: 1, failedStarts: 0 }],
    ['before it served', { servingAt: null }, { crashes: 0, failedStarts: 1 }],
    ['given up by the master at its start', { servingAt: null, drainReason: 'crash' }, { crashes: 0, failedStarts: 1 }],
    ['a reload', { drainReason: 'reload' }, { crashes: 0, failedStarts: 0 }],
    ['a canary that is not wanted', { servingAt: null, drainReason: 'cancelled' }, { crashes: 0, failedStarts: 0 }],
    ['a stop', { drainReason: 'stop' }, { crashes: 0, failedStarts: 0 }],
    ['recycling', { drainReason: 'recycle' }, { crashes: 0, failedStarts: 0 }],
  ] as const)('%s', (_, changes, counted) => {
    const counters = new Counters()
    const first = child(changes)
    feed(counters, spawned(first), left(first))
    expect(slot(counters)).toMatchObject(counted)
  })

  it('adds the connections that were cut to its group', () => {
    const counters = new Counters()
    for (const connectionsCut of [2, 0, 3]) {
      const old = child({
        drainReason: 'reload',
        report: { connectionsCut, cut: [], hookUnfinished: false, hookError: null },
      })
      feed(counters, spawned(old), left(old))
    }
    expect(counters.group('web').connectionsCut).toBe(5)
  })

  it('by a kill that took two signals is one kill', () => {
    const counters = new Counters()
    const [first, second] = [child(), child({ id: 1 })]
    feed(counters, spawned(first), spawned(second), kill(first), kill(first), left(first), kill(second))
    expect(counters.group('web').kills).toBe(2)
  })
})

it('counts reloads by result and knows the last one', () => {
  const counters = new Counters()
  expect(counters.lastReload).toBeNull()
  const results = ['done', 'rejected', 'done', 'mixed'] as const
  for (const [index, result] of results.entries()) {
    const summary: ReloadSummary = {
      result,
      generation: 1,
      durationMs: 10 * index,
      error: null,
      replaced: [],
      kept: [],
      applied: [],
      needsRestart: [],
      standing: [],
    }
    counters.note({ type: 'reload-ended', summary, isLatest: true }, 1_000 + index)
  }
  expect(counters.reloads).toEqual({ done: 2, rejected: 1, mixed: 1, cancelled: 0, failed: 0 })
  expect(counters.lastReload).toEqual({ result: 'mixed', durationMs: 30, endedAt: 1_003 })
})

it('makes nothing of the other notices', () => {
  const counters = new Counters()
  const first = child()
  feed(counters, { type: 'started' }, { type: 'leader', child: first }, { type: 'stopping' }, { type: 'stopped' })
  feed(counters, kill(first), left(first), stats(first, 5))
  expect(counters.group('web')).toEqual({ slots: new Map(), connectionsCut: 0, kills: 0 })
})
