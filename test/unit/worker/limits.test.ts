/** The limits of a worker's life, with a fake clock: reported once each, not before their time, and not after the end. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { MAX_TIMER_MS } from '../../../src/spec/spec.ts'
import { type Limited, spread, watchLimits } from '../../../src/worker/limits.ts'

const MIB = 1024 * 1024
const NONE: Limited = { maxRequests: 0, maxMemoryBytes: 0, maxLifetimeMs: 0 }

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

function watch(limits: Partial<Limited>) {
  const reports: [string, string | null][] = []
  const traffic = { requests: 0, onRequest: null as (() => void) | null }
  const stop = watchLimits({ ...NONE, ...limits }, traffic, (why, detail) => reports.push([why, detail]))
  const request = (times: number): void => {
    for (let i = 0; i < times; i++) {
      traffic.requests++
      traffic.onRequest?.()
    }
  }
  return { reports, traffic, stop, request }
}

function holdMib(mib: number): void {
  vi.spyOn(process.memoryUsage, 'rss').mockReturnValue(mib * MIB)
}

it('without limits nothing is watched', () => {
  const { traffic } = watch({})
  expect(traffic.onRequest).toBe(null)
  expect(vi.getTimerCount()).toBe(0)
})

it('spreads by up to a tenth', () => {
  expect([0, 0.5, 1].map((chance) => spread(1_000, chance))).toEqual([1_000, 1_050, 1_100])
})

it('maxRequests: not before so many, by a tenth more at the latest, once', () => {
  const { reports, request, traffic } = watch({ maxRequests: 100 })
  request(99)
  expect(reports).toEqual([])
  request(11)
  expect(reports).toEqual([['maxRequests', expect.stringMatching(/^1(0\d|10) requests$/)]])
  request(1_000)
  expect(reports).toHaveLength(1)
  expect(traffic.onRequest).toBe(null)
})

it('maxMemoryBytes: seen within a second or so, once', () => {
  holdMib(50)
  const { reports } = watch({ maxMemoryBytes: 100 * MIB })
  vi.advanceTimersByTime(10_000)
  expect(reports).toEqual([])
  holdMib(101)
  vi.advanceTimersByTime(1_000)
  expect(reports).toEqual([['maxMemoryBytes', '101 MiB of memory']])
  vi.advanceTimersByTime(10_000)
  expect(reports).toHaveLength(1)
  expect(vi.getTimerCount()).toBe(0)
})

it('maxMemoryBytes below what a fresh worker holds is said, and does not replace it all the time', () => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  holdMib(60)
  const { reports } = watch({ maxMemoryBytes: 50 * MIB })
  expect(printed.mock.calls.join()).toContain('holds 60 MiB as it begins to serve, more than maxMemoryBytes (50 MiB)')
  vi.advanceTimersByTime(59_000)
  expect(reports).toEqual([])
  vi.advanceTimersByTime(2_000)
  expect(reports).toHaveLength(1)
})

it('maxLifetimeMs: not before its time, by a tenth more at the latest, once', () => {
  const { reports } = watch({ maxLifetimeMs: 10_000 })
  vi.advanceTimersByTime(9_999)
  expect(reports).toEqual([])
  vi.advanceTimersByTime(1_001)
  expect(reports).toEqual([['maxLifetimeMs', null]])
  vi.advanceTimersByTime(100_000)
  expect(reports).toHaveLength(1)
})

it('the longest maxLifetimeMs does not overflow into none', () => {
  vi.spyOn(Math, 'random').mockReturnValue(1)
  const { reports } = watch({ maxLifetimeMs: MAX_TIMER_MS })
  vi.advanceTimersByTime(MAX_TIMER_MS - 1)
  expect(reports).toEqual([])
  vi.advanceTimersByTime(1)
  expect(reports).toHaveLength(1)
})

it('a worker that leaves says nothing any more', () => {
  holdMib(50)
  const { reports, stop, request } = watch({ maxRequests: 10, maxMemoryBytes: 100 * MIB, maxLifetimeMs: 5_000 })
  stop()
  holdMib(200)
  request(100)
  vi.advanceTimersByTime(100_000)
  expect(reports).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
})
