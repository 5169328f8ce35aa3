/** Many events as one, by a fake clock. */
import { expect, it } from 'vitest'
import { Burst } from '../../../../src/master/watch/burst.ts'
import { Random } from '../../random.ts'

const LIMITS = { quietMs: 50, maxMs: 2_000 }

it('is not due while nothing has happened', () => {
  const burst = new Burst(LIMITS)
  expect(burst.dueAt).toBeNull()
  expect(burst.take(1_000_000)).toBe(false)
})

it('is over once it was quiet, and is taken once', () => {
  const burst = new Burst(LIMITS)
  for (const at of [0, 20, 40]) burst.note(at)
  expect(burst.take(89)).toBe(false)
  expect(burst.take(90)).toBe(true)
  expect(burst.take(90)).toBe(false)
  expect(burst.dueAt).toBeNull()
})

it('endless events do not put it off for ever', () => {
  const burst = new Burst(LIMITS)
  const taken: number[] = []
  for (let now = 0; now <= 10_000; now += 10) {
    burst.note(now)
    if (burst.take(now)) taken.push(now)
  }
  expect(taken).toEqual([2_000, 4_010, 6_020, 8_030])
})

it('no event is lost, whenever it comes: after each there is a take, not later than both limits allow', () => {
  const wrong: string[] = []
  for (let seed = 1; seed <= 100; seed++) {
    const random = new Random(seed)
    const burst = new Burst(LIMITS)
    let waiting: number[] = []
    let now = 0
    for (let step = 0; step < 200; step++) {
      now += random.int(0, 70)
      if (random.chance(0.6)) {
        burst.note(now)
        waiting.push(now)
      }
      const [first, last] = [waiting[0], waiting.at(-1)]
      const latest =
        first === undefined || last === undefined ? null : Math.min(last + LIMITS.quietMs, first + LIMITS.maxMs)
      if (burst.dueAt !== latest) wrong.push(`seed ${seed}, at ${now}: ${burst.dueAt} and not ${latest}`)
      if (burst.take(now)) waiting = []
    }
    if (waiting.length > 0 && !burst.take(now + LIMITS.quietMs)) wrong.push(`seed ${seed}: lost`)
  }
  expect(wrong).toEqual([])
})
