/** What the master asks of single workers: lists of connections and broadcasts, with workers that are slow, dead or stopped. */
import { describe, expect, it, vi } from 'vitest'
import type { BroadcastResult } from '../../../src/ipc/broadcast.ts'
import type { ConnectionFacts, ConnectionPage, ConnectionRow } from '../../../src/ipc/connections.ts'
import type { MasterMessage } from '../../../src/ipc/messages.ts'
import { Broadcasts } from '../../../src/master/broadcasts.ts'
import { Listing } from '../../../src/master/listing.ts'
import { type Child, createFleet, type Fleet } from '../../../src/master/policy/fleet.ts'
import { CONDITIONS, spec } from '../specs.ts'

function child(key: number, changes: Partial<Child> = {}): Child {
  return { key, name: 'web', id: key, pid: 1_000 + key, state: 'serving', ...changes } as Child
}

function facts(id: string): ConnectionFacts {
  const unknown = { protocol: 'text', state: 'open', remote: null, local: null, idleMs: null } as const
  return { id, ...unknown, bytesRead: 0, bytesWritten: 0, bufferedBytes: 0, ageMs: 0 }
}

type Asked = Extract<MasterMessage, { type: 'list' }>

describe('a list', () => {
  /** Each worker has these pages; a page that is null is never sent. */
  function listing(pages: Record<number, (ConnectionPage | null)[]>) {
    const asked: { key: number; message: Asked }[] = []
    const list = new Listing(({ key }, message) => {
      asked.push({ key, message: message as Asked })
      const page = pages[key]?.shift()
      if (page) queueMicrotask(() => list.answer((message as Asked).question, page))
    })
    return { list, asked }
  }

  const more = (...ids: string[]): ConnectionPage => ({ facts: ids.map(facts), rest: 'more' })
  const last = (...ids: string[]): ConnectionPage => ({ facts: ids.map(facts), rest: 'none' })

  function reader() {
    const rows: ConnectionRow[] = []
    return { rows: (more: ConnectionRow[]) => void rows.push(...more), taken: async () => true, read: rows }
  }

  it('has all pages of all workers, each with its place', async () => {
    const { list, asked } = listing({ 1: [more('a', 'b'), more('c'), last('d')], 2: [last()] })
    const it = reader()
    expect(await list.list([child(1), child(2, { id: 0, name: 'api' })], it)).toEqual([])
    expect(it.read.map(({ id, group, slot, pid }) => [id, group, slot, pid])).toEqual(
      ['a', 'b', 'c', 'd'].map((id) => [id, 'web', 1, 1_001]),
    )
    expect(asked.filter(({ key }) => key === 1).map(({ message }) => message.isFirst)).toEqual([true, false, false])
    expect(new Set(asked.map(({ message }) => message.list)).size).toBe(1)
  })

  it('names who answers too late, or has forgotten the list, and not who has ended', async () => {
    vi.useFakeTimers()
    try {
      const lost: ConnectionPage = { facts: [], rest: 'lost' }
      const { list } = listing({ 1: [more('a'), null], 2: [null], 3: [more('b'), lost], 4: [last('c')] })
      const it = reader()
      const missing = list.list([child(1), child(2), child(3), child(4)], it)
      await vi.advanceTimersByTimeAsync(500)
      list.forget(2)
      await vi.advanceTimersByTimeAsync(501)
      expect(await missing).toEqual([1_001, 1_003])
      expect(it.read.map(({ id }) => id).sort()).toEqual(['a', 'b', 'c'])
    } finally {
      vi.useRealTimers()
    }
  })

  it('asks for no page before the last ones are read, and for none when nobody reads', async () => {
    const { list, asked } = listing({ 1: [more('a'), last('b')] })
    let take: (isThere: boolean) => void = () => undefined
    const it = { ...reader(), taken: () => new Promise<boolean>((resolve) => (take = resolve)) }
    const missing = list.list([child(1)], it)
    await vi.waitFor(() => expect(it.read).toHaveLength(1))
    expect(asked).toHaveLength(1)
    take(false)
    expect(await missing).toEqual([1_001])
    expect(asked).toHaveLength(1)
  })
})

describe('a broadcast', () => {
  type Delivery = Extract<MasterMessage, { type: 'deliver' }>

  function fleetOf(...children: Child[]): Fleet {
    const fleet = createFleet([spec('web'), spec('api')], CONDITIONS)
    for (const one of children) fleet.children.set(one.key, one)
    return fleet
  }

  function broadcasts(fleet: Fleet, gone: ReadonlySet<number> = new Set()) {
    const sent: { key: number; message: Delivery }[] = []
    const it = new Broadcasts(fleet, {
      isThere: ({ key }) => !gone.has(key),
      send: ({ key }, message) => void sent.push({ key, message: message as Delivery }),
    })
    const deliver = (key: number, connections: number): void => {
      const index = sent.findIndex((one) => one.key === key)
      const [one] = sent.splice(index, 1)
      if (one) it.delivered(key, one.message.question, connections)
    }
    return { it, sent, deliver }
  }

  it('goes to all of the group that may have connections, from the moment they may serve', async () => {
    const states = ['starting', 'prepared', 'admitted', 'serving', 'hung', 'draining', 'killed', 'exited'] as const
    const fleet = fleetOf(...states.map((state, key) => child(key, { state })), child(99, { name: 'api' }))
    const { it, sent, deliver } = broadcasts(fleet)
    const told = it.broadcast('web', { text: 'hello' })
    expect(sent.map(({ key }) => states[key])).toEqual(['prepared', 'admitted', 'serving', 'hung', 'draining'])
    for (const [connections, { key }] of [...sent].entries()) deliver(key, connections)
    expect(await told).toEqual({ processes: 5, connections: 10, behind: 0, late: 0 })
    expect(await it.broadcast('nowhere', { text: '' })).toBeNull()
  })

  it('does not go to one whose process has ended, also where that is not applied yet', async () => {
    const { it, sent, deliver } = broadcasts(fleetOf(child(1), child(2)), new Set([1]))
    const told = it.broadcast('web', { text: 'hello' })
    expect(sent.map(({ key }) => key)).toEqual([2])
    deliver(2, 3)
    expect(await told).toEqual({ processes: 1, connections: 3, behind: 0, late: 0 })
  })

  it('sends no more than 4 MiB to one that takes nothing, and more when it does', async () => {
    vi.useFakeTimers()
    try {
      const { it, sent, deliver } = broadcasts(fleetOf(child(1), child(2)))
      const text = 'x'.repeat(256 * 1024)
      const told: Promise<BroadcastResult | null>[] = []
      for (let count = 0; count < 20; count++) {
        told.push(it.broadcast('web', { text }))
        deliver(1, 1)
      }
      expect(sent).toHaveLength(15)
      await vi.advanceTimersByTimeAsync(2_001)
      const results = await Promise.all(told)
      expect(results.slice(0, 15)).toEqual(Array(15).fill({ processes: 1, connections: 1, behind: 0, late: 1 }))
      expect(results.slice(15)).toEqual(Array(5).fill({ processes: 1, connections: 1, behind: 1, late: 0 }))
      // late as it is, it makes room
      deliver(2, 1)
      const next = it.broadcast('web', { text })
      deliver(1, 1)
      expect(sent).toHaveLength(15)
      it.forget(2)
      expect(await next).toEqual({ processes: 1, connections: 1, behind: 0, late: 0 })
    } finally {
      vi.useRealTimers()
    }
  })

  it('of no bytes takes room, too', () => {
    const { it, sent } = broadcasts(fleetOf(child(1)))
    for (let count = 0; count < 20_000; count++) void it.broadcast('web', { text: '' })
    expect(sent).toHaveLength((4 * 1024 * 1024) / 256)
    it.forget(1)
  })
})
