/** Which worker has which client and which of its events: whatever comes, serves, leaves and dies, in any order. */
import { describe, it } from 'vitest'
import { Random } from '../random.ts'
import { Handover } from './handover.ts'

const SEEDS = Array.from({ length: 60 }, (_, index) => index + 1)
const STEPS = 600

describe.each([
  ['at least once: each event is acknowledged once, and marked when another worker had it', true],
  ['at most once: no message is handed over twice, and those that are lost are counted', false],
])('%s', (_, redelivers) => {
  it.each(SEEDS)('one worker has a client, in order, and counts are the sums over the lines, seed %i', (seed) => {
    const handover = new Handover(new Random(seed), redelivers)
    for (let step = 0; step < STEPS; step++) {
      handover.step()
      handover.check()
    }
    handover.settle()
  })
})
