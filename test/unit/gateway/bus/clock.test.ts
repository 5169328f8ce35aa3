/** What time it is at the broker, by answers of which some took long. */
import { expect, it } from 'vitest'
import { BrokerClock } from '../../../../src/gateway/bus/clock.ts'

const AHEAD_MS = 1_000_000

/** Asked at this time of ours, the broker has looked at its clock after so long, and we have heard it after so long. */
function ask(
  clock: BrokerClock,
  { at, there = 1, back = 1, ahead = AHEAD_MS }: { at: number; there?: number; back?: number; ahead?: number },
) {
  clock.told(at + there + ahead, { askedAt: at, now: at + there + back })
}

function told(...questions: Parameters<typeof ask>[1][]): number {
  const clock = new BrokerClock()
  for (const question of questions) ask(clock, question)
  return clock.at(0) - AHEAD_MS
}

it('is half of the way back later than it has said', () => {
  expect(told({ at: 0 })).toBe(0)
  expect(told({ at: 0, there: 0, back: 8 })).toBe(-4)
})

it('a question that took long changes nothing that is known better, also when the broker heard it at once', () => {
  expect(told({ at: 0 }, { at: 2_000, there: 0, back: 4_000 })).toBe(0)
  expect(told({ at: 0 }, { at: 2_000, there: 4_000, back: 0 })).toBe(0)
})

it('a quicker one, or one that is as quick, is better', () => {
  expect(told({ at: 0, there: 0, back: 3_000 }, { at: 5_000 })).toBe(0)
  expect(told({ at: 0 }, { at: 5_000, ahead: AHEAD_MS + 1 })).toBe(1)
})

it('what was known a minute ago is not known any more', () => {
  const late = { there: 0, back: 200 }
  expect(told({ at: 0 }, { at: 59_000, ...late })).toBe(0)
  expect(told({ at: 0 }, { at: 61_000, ...late })).toBe(-100)
})

it('an answer that cannot be, as far as is known, is believed, however long it took: a clock was set', () => {
  expect(told({ at: 0 }, { at: 2_000, there: 50, back: 50, ahead: AHEAD_MS + 5_000 })).toBe(5_000)
  expect(told({ at: 0 }, { at: 2_000, there: 50, back: 50, ahead: AHEAD_MS - 5_000 })).toBe(-5_000)
})

it('a broker that may be another one is believed', () => {
  const clock = new BrokerClock()
  ask(clock, { at: 0 })
  clock.doubt()
  expect(clock.at(0)).toBe(AHEAD_MS)
  ask(clock, { at: 1_000, there: 0, back: 200 })
  expect(clock.at(0)).toBe(AHEAD_MS - 100)
})
