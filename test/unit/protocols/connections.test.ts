/** The open connections of a process: how it parts with them, and when it looks for silent ones. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Connection } from '../../../src/protocols/connection.ts'
import { Connections } from '../../../src/protocols/connections.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** One that notes when it was parted with, and how often it was looked at. */
class Stub {
  partedAt: number | null = null
  looks = 0
  readonly lookEveryMs: number | null
  constructor(lookEveryMs: number | null = null) {
    this.lookEveryMs = lookEveryMs
  }
  part(): void {
    this.partedAt = Date.now()
  }
  bearSilence(): void {
    this.looks++
  }
  get asConnection(): Connection {
    return this as unknown as Connection
  }
}

function fill(connections: Connections, count: number): Stub[] {
  const stubs = Array.from({ length: count }, () => new Stub())
  for (const stub of stubs) connections.add(stub.asConnection)
  return stubs
}

it('those of the same service are not named when they are cut', () => {
  const connections = new Connections()
  const named = (name: string): Connection =>
    ({ describe: () => name, unfinished: null, lookEveryMs: null, state: 'open', isKnownByRequests: false }) as never
  const [client, link] = [named('a client'), named('a link')]
  connections.discount(link)
  for (const connection of [link, client]) connections.add(connection)
  expect(connections.unfinished(10)).toEqual(['a client'])
})

describe('partWithAll', () => {
  const begin = (): number => Date.now()

  it.each([
    [1_000, 5_000, 10, 495],
    [1_000, 100, 50, 95],
    [1_000, 0, 1_000, 0],
    [5, 5_000, 5, 0],
  ])('%i connections in at most %i ms: %i at a time, the last after %i ms', async (count, maxMs, atATime, lastMs) => {
    const connections = new Connections()
    const stubs = fill(connections, count)
    const begunAt = begin()
    connections.partWithAll(maxMs)
    await vi.runAllTimersAsync()
    const after = stubs.map((stub) => (stub.partedAt ?? Number.NaN) - begunAt)
    for (const ms of after) expect(after.filter((other) => other === ms).length).toBeLessThanOrEqual(atATime)
    expect(Math.max(...after)).toBe(lastMs)
    expect(after).toEqual([...after].sort((a, b) => a - b))
  })

  it('those that are needed by code that stops are parted with last, also when they come late', async () => {
    const connections = new Connections()
    const first = new Stub()
    const [others, last, late] = [fill(connections, 20), new Stub(), new Stub()]
    connections.addLast(first.asConnection)
    connections.addLast(last.asConnection)
    connections.partWithAll(100)
    connections.addLast(late.asConnection)
    connections.delete(first.asConnection)
    await vi.runAllTimersAsync()
    expect(others.filter(({ partedAt }) => partedAt === null)).toEqual([])
    expect([last.partedAt, late.partedAt]).toEqual([null, null])
    connections.partWithLast()
    const latest = new Stub()
    connections.addLast(latest.asConnection)
    await vi.runAllTimersAsync()
    expect([first, last, late, latest].map(({ partedAt }) => partedAt !== null)).toEqual([false, true, true, true])
  })

  it('who comes afterwards is parted with at once', async () => {
    const connections = new Connections()
    fill(connections, 100)
    const begunAt = begin()
    connections.partWithAll(5_000)
    const [late] = fill(connections, 1)
    await vi.runAllTimersAsync()
    expect(late?.partedAt).toBe(begunAt)
  })
})

describe('looks', () => {
  it('nobody is looked at where no limit asks for it', async () => {
    const connections = new Connections()
    fill(connections, 3)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('one timer for all, as often as the shortest limit asks for, and none when all have left', async () => {
    const connections = new Connections()
    const slow = new Stub(1_000)
    const quick = new Stub(100)
    connections.add(slow.asConnection)
    for (const stub of fill(connections, 50)) connections.add(stub.asConnection)
    expect(vi.getTimerCount()).toBe(1)
    await vi.advanceTimersByTimeAsync(1_001)
    expect(slow.looks).toBe(1)
    connections.add(quick.asConnection)
    expect(vi.getTimerCount()).toBe(1)
    await vi.advanceTimersByTimeAsync(1_001)
    expect(quick.looks).toBe(10)
    for (const connection of connections) connections.delete(connection)
    expect(vi.getTimerCount()).toBe(0)
    connections.add(slow.asConnection)
    expect(vi.getTimerCount()).toBe(1)
  })
})

it('names what is not finished, for the log', () => {
  const connections = new Connections()
  for (const [name, unfinished] of [
    ['text from 10.0.0.1', 'its message is not whole'],
    ['text from a unix socket', 'it is paused'],
    ['text from 10.0.0.3', null],
  ])
    connections.add({ lookEveryMs: null, describe: () => name, unfinished } as unknown as Connection)
  expect(connections.unfinished(2)).toEqual([
    'text from 10.0.0.1: its message is not whole',
    'text from a unix socket: it is paused',
  ])
  expect(connections.unfinished(10).at(-1)).toBe('text from 10.0.0.3')
})
