/** How long a gateway that leaves waits for a business worker that comes in the place of one that was lost. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Succession } from '../../../src/gateway/hub/succession.ts'
import type { StopReason } from '../../../src/index.ts'

const onGivenUp = vi.fn()
let succession: Succession

beforeEach(() => {
  vi.useFakeTimers()
  onGivenUp.mockClear()
  succession = new Succession(onGivenUp)
})

afterEach(() => {
  vi.useRealTimers()
})

/** For how long from now on, looked at for an hour. */
function expectedForMs(): number {
  const from = performance.now()
  while (succession.isExpected && performance.now() - from < 3_600_000) vi.advanceTimersByTime(10)
  return performance.now() - from
}

const REPLACED: StopReason[] = ['reload', 'recycle', 'scale', 'crash', 'hang']
const ENDING: StopReason[] = ['stop', 'orphaned', 'cancelled']

it('nobody is, as long as none was lost', () => {
  expect(succession.isExpected).toBe(false)
  succession.limit('reload')
  expect(succession.isExpected).toBe(false)
  expect(onGivenUp).not.toHaveBeenCalled()
})

it('while the gateway stays, as long as it takes', () => {
  succession.expect()
  expect(expectedForMs()).toBe(3_600_000)
})

it.each(REPLACED)('while the master goes on (%s), longer than one waits that has often failed', (reason) => {
  succession.expect()
  vi.advanceTimersByTime(600_000)
  succession.limit(reason)
  expect(expectedForMs()).toBeCloseTo(60_000, -2)
  expect(onGivenUp).toHaveBeenCalledTimes(1)
})

it.each(ENDING)('where the fleet ends (%s), a moment from when it was lost: it may be of another one', (reason) => {
  succession.limit(reason)
  succession.expect()
  expect(expectedForMs()).toBeCloseTo(5_000, -2)
  expect(onGivenUp).toHaveBeenCalledTimes(1)
})

it.each(ENDING)('where the fleet ends (%s), not any more, when it was lost before', (reason) => {
  succession.expect()
  vi.advanceTimersByTime(6_000)
  succession.limit(reason)
  expect(succession.isExpected).toBe(false)
})

it('until one comes; and each that is lost is waited for anew', () => {
  succession.limit('reload')
  succession.expect()
  vi.advanceTimersByTime(50_000)
  succession.settle()
  vi.advanceTimersByTime(600_000)
  expect([succession.isExpected, onGivenUp.mock.calls.length]).toEqual([false, 0])
  succession.expect()
  vi.advanceTimersByTime(50_000)
  succession.expect()
  expect(expectedForMs()).toBeCloseTo(60_000, -2)
})
