/** Which worker has which client and which of its events: whatever comes, serves, leaves and dies, in any order. */
import { describe, expect, it } from 'vitest'
import { Clients } from '../../../src/gateway/hub/clients.ts'
import { Dispatch } from '../../../src/gateway/hub/dispatch.ts'
import type { HubClient } from '../../../src/gateway/hub/model.ts'
import type { Connection } from '../../../src/index.ts'
import { Random } from '../random.ts'
import { FakeLink, Handover } from './handover.ts'

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

describe('clients of which there is much to tell', () => {
  const SESSION_BYTES = 16 * 1024

  function stage(): { dispatch: Dispatch; link: FakeLink; come: () => HubClient } {
    const clients = new Clients()
    const dispatch = new Dispatch({
      clients,
      redelivers: true,
      onRelieved: () => undefined,
      onFatal: () => undefined,
      onAbandoned: () => undefined,
    })
    const come = (): HubClient => {
      const client = clients.add(`client-${clients.size}`, { state: 'open' } as Connection)
      dispatch.push(client, 'connect', new Uint8Array())
      return client
    }
    const link = new FakeLink(() => undefined)
    link.adoptBytes = SESSION_BYTES
    return { dispatch, link, come }
  }

  it('are told to a worker as fast as it reads, and each is told', () => {
    const { dispatch, link, come } = stage()
    const all = Array.from({ length: 1_000 }, come)
    dispatch.serve(link)
    let rounds = 0
    for (; link.isAsked; rounds++) {
      expect(link.held.size).toBe(Math.min(64 * (rounds + 1), 1_000))
      link.isAsked = false
      dispatch.hasRead(link)
    }
    expect(rounds).toBe(15)
    expect(all.every(({ owner }) => owner === link)).toBe(true)
  })

  it('go to another one that reads, and wait for one that leaves to be followed', () => {
    const { dispatch, link, come } = stage()
    dispatch.serve(link)
    const first = Array.from({ length: 64 }, come)
    const waiting = come()
    expect(waiting.owner).toBeNull()
    const other = new FakeLink(() => undefined)
    other.adoptBytes = SESSION_BYTES
    dispatch.serve(other)
    expect(waiting.owner).toBe(other)
    dispatch.close(link)
    expect(first.filter(({ owner }) => owner === other)).toHaveLength(63)
    other.isAsked = false
    dispatch.hasRead(other)
    expect(first.filter(({ owner }) => owner === other)).toHaveLength(64)
  })
})
