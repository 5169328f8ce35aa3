import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Absence } from '../../../src/gateway/absence.ts'

const told: string[] = []

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(console, 'error').mockImplementation((text: string) => void told.push(text))
  told.length = 0
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

it('is told once, after a while', () => {
  const absence = new Absence(() => 'nobody is there', 100)
  absence.note()
  vi.advanceTimersByTime(99)
  expect(told).toEqual([])
  absence.note()
  vi.advanceTimersByTime(1)
  absence.note()
  vi.advanceTimersByTime(1_000)
  expect(told).toEqual(['shiftwork: nobody is there'])
})

it('is not told when it has ended, and again when it comes back', () => {
  const absence = new Absence(() => 'nobody is there', 100)
  absence.note()
  absence.end()
  vi.advanceTimersByTime(1_000)
  expect(told).toEqual([])
  for (let round = 1; round <= 2; round++) {
    absence.note()
    vi.advanceTimersByTime(100)
    expect(told).toHaveLength(round)
    absence.end()
  }
})

it('is not told when nothing is missing after all, and looked for anew', () => {
  let isMissing = false
  const absence = new Absence(() => (isMissing ? 'nobody is there' : null), 100)
  absence.note()
  vi.advanceTimersByTime(100)
  expect(told).toEqual([])
  isMissing = true
  absence.note()
  vi.advanceTimersByTime(100)
  expect(told).toHaveLength(1)
})
