/** Timers with a fake clock: their beat, what is awaited, what is left out, and what ends them. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { nextDueAt, type TimerPlan, Timers } from '../../../src/inside/timers.ts'
import type { Connection } from '../../../src/protocols/connection.ts'

const worker = {
  name: 'jobs',
  id: 0,
  generation: 1,
  isLeader: false,
  connections: new Set<Connection>(),
  broadcast: () => 0,
}
let timers: Timers
let errors: string[]

beforeEach(() => {
  vi.useFakeTimers()
  worker.isLeader = false
  timers = new Timers(worker)
  errors = []
  vi.spyOn(console, 'error').mockImplementation((line: string) => void errors.push(line))
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const BASE = { repeats: true, leaderOnly: false, place: 'jobs.ts:1:1' }
const add = (plan: Pick<TimerPlan, 'ms' | 'callback'> & Partial<TimerPlan>) => timers.add({ ...BASE, ...plan })

/** Notes when it was called, and is done after so long. */
function slow(calls: number[], ms: number): () => Promise<void> {
  const begunAt = performance.now()
  return async () => {
    calls.push(performance.now() - begunAt)
    await new Promise((resolve) => setTimeout(resolve, ms))
  }
}

describe('the beat', () => {
  it('is kept by a timer that fires late, and by one that fires a moment too soon', () => {
    expect(nextDueAt(100, 100, 100)).toBe(200)
    expect(nextDueAt(100, 100, 199.5)).toBe(200)
    expect(nextDueAt(100, 100, 99.4)).toBe(200)
  })

  it('leaves out what fell due meanwhile', () => {
    expect(nextDueAt(100, 100, 201)).toBe(300)
    expect(nextDueAt(100, 100, 9_950)).toBe(10_000)
  })
})

it('ticks every so often, and once', async () => {
  const calls: string[] = []
  add({ ms: 100, callback: () => calls.push('every') })
  add({ ms: 250, repeats: false, callback: () => calls.push('once') })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(calls.filter((call) => call === 'every')).toHaveLength(10)
  expect(calls.filter((call) => call === 'once')).toHaveLength(1)
})

it('never overlaps itself: a tick that takes longer leaves out the next', async () => {
  const calls: number[] = []
  add({ ms: 100, callback: slow(calls, 250) })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(calls).toEqual([100, 400, 700, 1_000])
})

it('a throw and a rejection are logged with the place, and the timer goes on', async () => {
  let count = 0
  add({
    ms: 100,
    callback: () => {
      if (++count === 1) throw new Error('thrown')
      if (count === 2) return Promise.reject(new Error('rejected'))
      return undefined
    },
  })
  await vi.advanceTimersByTimeAsync(500)
  expect(count).toBe(5)
  expect(errors.map((line) => line.split('\n')[0])).toEqual([
    `shiftwork: jobs/0 (pid ${process.pid}): the timer of jobs.ts:1:1 threw: Error: thrown`,
    `shiftwork: jobs/0 (pid ${process.pid}): the timer of jobs.ts:1:1 threw: Error: rejected`,
  ])
})

it('a cancelled one ticks no more, cancelled in its own tick, too', async () => {
  let count = 0
  const own = add({ ms: 100, callback: () => ++count === 3 && own.cancel() })
  const slowCalls: number[] = []
  const awaited = add({ ms: 100, callback: slow(slowCalls, 50) })
  await vi.advanceTimersByTimeAsync(120)
  awaited.cancel()
  awaited.cancel()
  await vi.advanceTimersByTimeAsync(1_000)
  expect({ count, slowCalls }).toEqual({ count: 3, slowCalls: [100] })
  expect(own.isCancelled).toBe(true)
})

it('leaderOnly ticks while the process leads, on the same beat', async () => {
  const calls: number[] = []
  add({ ms: 100, leaderOnly: true, callback: slow(calls, 0) })
  await vi.advanceTimersByTimeAsync(250)
  worker.isLeader = true
  await vi.advanceTimersByTimeAsync(250)
  worker.isLeader = false
  await vi.advanceTimersByTimeAsync(250)
  expect(calls).toEqual([300, 400, 500])
})

describe('the end', () => {
  it('cancels all of them, and those that are made afterwards', async () => {
    let count = 0
    add({ ms: 100, callback: () => ++count })
    timers.stop()
    expect(add({ ms: 100, callback: () => ++count }).isCancelled).toBe(true)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(count).toBe(0)
  })

  it('waits for the ticks that run: all of them, or the leader’s', async () => {
    worker.isLeader = true
    const done: string[] = []
    add({ ms: 100, leaderOnly: true, place: 'led', callback: slow([], 200) })
    add({ ms: 100, place: 'any', callback: slow([], 500) })
    await vi.advanceTimersByTimeAsync(100)
    timers.stop()
    void timers.leaderDone().then(() => done.push('led'))
    void timers.drained().then(() => done.push('any'))
    await vi.advanceTimersByTimeAsync(199)
    expect(done).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(done).toEqual(['led'])
    expect(timers.cut()).toEqual({ connections: 0, requests: [] })
    expect(errors).toEqual([`shiftwork: jobs/0 (pid ${process.pid}): the timer of any was not done at the deadline`])
    await vi.advanceTimersByTimeAsync(300)
    expect(done).toEqual(['led', 'any'])
  })
})
