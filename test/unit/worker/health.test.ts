/** Tries, pauses and words of a health check, with functions and a fake clock. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ShiftworkError } from '../../../src/errors.ts'
import type { Runnable } from '../../../src/protocols/hooks.ts'
import type { HealthCheck } from '../../../src/spec/spec.ts'
import { Health } from '../../../src/worker/health.ts'

const CHECK: HealthCheck = { path: null, timeoutMs: 1_000, retries: 2, retryDelayMs: 500, everyMs: 0 }

let printed: string[] = []

beforeEach(() => {
  printed = []
  vi.useFakeTimers()
  vi.spyOn(console, 'error').mockImplementation((text: string) => void printed.push(text))
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** A health check by functions, one for each try; the last one for all that follow. */
function healthOf(tries: ((worker: unknown) => unknown)[], check: Partial<HealthCheck> = {}) {
  const calls: number[] = []
  const healthFunction = (worker: unknown): unknown => {
    calls.push(Date.now() - begunAt)
    return tries[Math.min(calls.length, tries.length) - 1]?.(worker)
  }
  const begunAt = Date.now()
  const subject = { server: null, name: 'web', id: 3 }
  const runnable = { subject, healthFunction } as unknown as Runnable
  return { health: new Health(runnable, { ...CHECK, ...check }), calls, subject }
}

async function outcomeOf(health: Health): Promise<unknown> {
  const proven = health.prove().then(
    () => 'healthy',
    (error: unknown) => error,
  )
  await vi.runAllTimersAsync()
  return proven
}

const throwing = (): never => {
  throw new Error('the queue is away')
}

describe('one try', () => {
  const never = new Promise(() => undefined)
  for (const [what, attempt, verdict] of [
    ['true', () => true, null],
    ['nothing', () => undefined, null],
    ['a promise of 0', async () => 0, null],
    ['false', () => false, 'health check returned false'],
    ['a promise of false', async () => false, 'health check returned false'],
    ['a throw', throwing, 'health check threw: the queue is away'],
    ['a rejection', async () => throwing(), 'health check threw: the queue is away'],
    ['a throw of text', () => Promise.reject('no'), 'health check threw: a value that is no Error was thrown: no'],
    ['a promise that never settles', () => never, 'health check did not answer within 1000 ms'],
  ] as const)
    it(`${what}: ${verdict ?? 'healthy'}`, async () => {
      const outcome = await outcomeOf(healthOf([attempt], { retries: 0 }).health)
      expect(outcome instanceof ShiftworkError ? outcome.message : null).toBe(verdict)
      expect(vi.getTimerCount()).toBe(0)
    })
})

it('an answer that is there when the time is over counts', async () => {
  const late = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, CHECK.timeoutMs))
  expect(await outcomeOf(healthOf([late], { retries: 0 }).health)).toBe('healthy')
  expect(vi.getTimerCount()).toBe(0)
})

it('gives the worker to the function', async () => {
  const seen: unknown[] = []
  const { health, subject } = healthOf([(worker) => seen.push(worker)])
  await outcomeOf(health)
  expect(seen).toEqual([subject])
})

it('the third try may be the good one; those before it are printed', async () => {
  const { health, calls } = healthOf([() => false, throwing, () => true])
  expect(await outcomeOf(health)).toBe('healthy')
  expect(calls).toEqual([0, 500, 1_000])
  expect(printed).toEqual([
    `shiftwork: web/3 (pid ${process.pid}): health check returned false, it is tried again`,
    `shiftwork: web/3 (pid ${process.pid}): health check threw: the queue is away, it is tried again`,
  ])
})

it('says how often it failed, and brings what was thrown', async () => {
  const error = (await outcomeOf(healthOf([throwing]).health)) as ShiftworkError
  expect(error.message).toBe('health check threw: the queue is away, 3 times')
  expect((error.cause as Error).message).toBe('the queue is away')
  const mixed = (await outcomeOf(healthOf([throwing, () => false]).health)) as ShiftworkError
  expect(mixed.message).toBe('health check returned false, the last of 3 tries')
})

it('one that was stopped is neither good nor bad', async () => {
  const { health, calls } = healthOf([() => false])
  const proven = health.prove()
  await vi.advanceTimersByTimeAsync(100)
  health.stop()
  await vi.runAllTimersAsync()
  await proven
  expect(calls).toHaveLength(1)
  health.watch(() => expect.fail('it was stopped'))
  expect(vi.getTimerCount()).toBe(0)
})

describe('while it serves', () => {
  const EVERY = { everyMs: 1_000, retries: 1, retryDelayMs: 100 }

  function watch(tries: ((worker: unknown) => unknown)[], check: Partial<HealthCheck> = {}) {
    const reports: string[] = []
    const made = healthOf(tries, { ...EVERY, ...check })
    made.health.watch((detail) => reports.push(detail))
    return { ...made, reports }
  }

  it('looks at it again and again, and reports when every try in a row has failed', async () => {
    const good = (): boolean => true
    const bad = (): boolean => false
    const { calls, reports, health } = watch([good, bad, good, bad, bad, good])
    await vi.advanceTimersByTimeAsync(2_200)
    // the second look was good at its second try
    expect(calls).toEqual([1_000, 2_000, 2_100])
    expect(reports).toEqual([])
    await vi.advanceTimersByTimeAsync(1_100)
    expect(reports).toEqual(['its check returned false, 2 times'])
    await vi.advanceTimersByTimeAsync(5_000)
    expect(reports).toHaveLength(1)
    health.stop()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('reports again while it stays so, and prints what was thrown once', async () => {
    const { reports } = watch([throwing])
    await vi.advanceTimersByTimeAsync(3_500)
    expect(reports).toEqual(Array(3).fill('its check threw: the queue is away, 2 times'))
    expect(printed).toHaveLength(1)
    expect(printed[0]).toContain('health.test.ts')
  })

  it('never begins a look while another one lasts', async () => {
    let running = 0
    const slow = async (): Promise<boolean> => {
      expect(running++).toBe(0)
      await new Promise((resolve) => setTimeout(resolve, 900))
      running--
      return true
    }
    const { calls } = watch([slow], { everyMs: 10 })
    await vi.advanceTimersByTimeAsync(3_000)
    expect(calls).toEqual([10, 920, 1_830, 2_740])
  })

  it('is not looked at without everyMs, and says nothing once stopped', async () => {
    const idle = watch([() => false], { everyMs: 0 })
    await vi.advanceTimersByTimeAsync(10_000)
    expect(idle.calls).toEqual([])
    const late = watch([() => new Promise((resolve) => setTimeout(resolve, 500, false))], { retries: 0 })
    await vi.advanceTimersByTimeAsync(1_200)
    late.health.stop()
    await vi.advanceTimersByTimeAsync(10_000)
    expect(late.reports).toEqual([])
    expect(late.calls).toHaveLength(1)
  })
})
