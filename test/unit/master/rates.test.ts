/** Rates that do not depend on who else asks, or how often. */
import { describe, expect, it } from 'vitest'
import { Rate } from '../../../src/master/rates.ts'

/** A counter that grows by 2 a millisecond until 10 000, by 5 from then on. */
function counter(atMs: number): number {
  return atMs <= 10_000 ? 2 * atMs : 20_000 + 5 * (atMs - 10_000)
}

/** The rates that those get who ask at these times. */
function ratesAt(times: readonly number[]): number[] {
  const rate = new Rate(0)
  return times.map((atMs) => rate.note(atMs, counter(atMs)))
}

describe('Rate', () => {
  it('is since the start of the process the first time', () => {
    expect(ratesAt([4_000])).toEqual([2])
    expect(ratesAt([20_000])).toEqual([3.5])
    expect(ratesAt([50])).toEqual([2])
  })

  it('is since the last question for one who asks every second, or more rarely', () => {
    expect(ratesAt([10_000, 11_000, 12_000, 60_000])).toEqual([2, 5, 5, 5])
  })

  it('takes a question that comes a little early for one of every second', () => {
    expect(ratesAt([10_000, 10_990, 11_985])).toEqual([2, 5, 5])
  })

  it('is not over the moment between two who ask one after the other', () => {
    const rate = new Rate(0)
    expect(rate.note(1_000, 10)).toBe(0.01)
    expect(rate.note(2_000, 20)).toBe(0.01)
    // one more request in the millisecond since: a thousand a second, if it were counted so
    expect(rate.note(2_001, 21)).toBeCloseTo(0.011, 4)
    expect(rate.note(2_002, 21)).toBeCloseTo(0.011, 4)
    expect(rate.note(3_000, 30)).toBeCloseTo(0.01, 3)
  })

  it('is the same for one who asks every second, whether or not others ask all the time', () => {
    const watcher = [10_000, 11_000, 12_000, 13_000, 14_000]
    const others = Array.from({ length: 400 }, (_, index) => 10_003 + 10 * index)
    const times = [...watcher, ...others].sort((a, b) => a - b)
    const rates = ratesAt(times)
    const seen = watcher.map((atMs) => rates[times.indexOf(atMs)])
    expect(seen[0]).toBe(2)
    for (const rate of seen.slice(1)) expect(rate).toBeCloseTo(5, 10)
  })

  it('follows one who asks four times a second with a window of about a second', () => {
    const rates = ratesAt([9_000, 9_250, 9_500, 9_750, 10_000, 10_250, 10_500, 10_750, 11_000])
    expect(rates.slice(0, 5)).toEqual([2, 2, 2, 2, 2])
    expect(rates.slice(5)).toEqual([2.75, 3.5, 4.25, 5])
  })

  it('of a process that was born this very millisecond is a number', () => {
    expect(new Rate(5).note(5, 0)).toBe(0)
    expect(new Rate(5).note(5.2, 3)).toBe(3)
  })
})
