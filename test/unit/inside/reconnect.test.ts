/** When a lost connection is tried again. */
import { describe, expect, it } from 'vitest'
import { delayMs, failuresAfter } from '../../../src/inside/reconnect.ts'

const TIMES = { minDelayMs: 100, maxDelayMs: 1_000 }

describe('the wait before the next try', () => {
  it('doubles up to the longest', () => {
    expect([1, 2, 3, 4, 5, 50, 5_000].map((failures) => delayMs(failures, 0, TIMES))).toEqual([
      100, 200, 400, 800, 1_000, 1_000, 1_000,
    ])
  })

  it('is half as long at least, as chance has it', () => {
    expect([1, 2, 50].map((failures) => delayMs(failures, 1, TIMES))).toEqual([50, 100, 500])
    expect(delayMs(2, 0.5, TIMES)).toBe(150)
  })
})

describe('failures in a row', () => {
  it('grow with each try that comes to nothing', () => {
    expect(failuresAfter(0, null, TIMES)).toBe(1)
    expect(failuresAfter(7, null, TIMES)).toBe(8)
  })

  it('grow with a connection that is hung up sooner than the next wait is long', () => {
    expect(failuresAfter(0, 100, TIMES)).toBe(1)
    expect(failuresAfter(1, 200, TIMES)).toBe(2)
    expect(failuresAfter(9, 1_000, TIMES)).toBe(10)
  })

  it('begin anew with one that lived for longer', () => {
    expect(failuresAfter(1, 201, TIMES)).toBe(1)
    expect(failuresAfter(9, 1_001, TIMES)).toBe(1)
  })
})
