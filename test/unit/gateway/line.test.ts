/** A client's events on their way: their order, their counts, and what becomes of those that a lost worker had. */
import { describe, expect, it } from 'vitest'
import { Line, sizeOf } from '../../../src/gateway/hub/line.ts'
import type { EventKind } from '../../../src/gateway/wire/records.ts'
import { Random } from '../random.ts'

const EMPTY = new Uint8Array()

/** Messages `from` to `to`, each of as many bytes as its number; they came at that time. */
function filled(from: number, to: number): Line {
  const line = new Line()
  for (let number = from; number <= to; number++) line.push('text', new Uint8Array(number), number)
  return line
}

function handOver(line: Line, count: number): number[] {
  return Array.from({ length: count }, () => line.handOver()?.number ?? 0)
}

it('events are handed over in the order in which they came, each once', () => {
  const line = filled(1, 3)
  expect(handOver(line, 4)).toEqual([1, 2, 3, 0])
  expect({ size: line.size, waiting: line.waiting, handedOver: line.handedOver }).toEqual({
    size: 3,
    waiting: 0,
    handedOver: 3,
  })
})

it('an acknowledgement stands for all events up to its number', () => {
  const line = filled(1, 5)
  handOver(line, 4)
  expect(line.acknowledge(3)).toEqual({ events: 3, bytes: 1 + 2 + 3 + 3 * sizeOf({ bytes: EMPTY }) })
  expect({ size: line.size, handedOver: line.handedOver, next: line.next?.number }).toEqual({
    size: 2,
    handedOver: 1,
    next: 5,
  })
})

it('what was not handed over cannot be acknowledged, and nothing twice', () => {
  const line = filled(1, 3)
  handOver(line, 1)
  expect(line.acknowledge(3).events).toBe(1)
  expect(line.acknowledge(3).events).toBe(0)
  expect(line.acknowledge(1).events).toBe(0)
  expect(line.size).toBe(2)
})

it('what a worker had that has left comes first again, and it alone is marked', () => {
  const line = filled(1, 4)
  handOver(line, 3)
  line.acknowledge(1)
  expect(line.takeBack({ wasLost: false })).toEqual([])
  expect([line.waiting, line.isSuspected]).toEqual([3, false])
  const marks = Array.from({ length: 3 }, () => line.handOver()).map((event) => [event?.number, event?.isRedelivered])
  expect(marks).toEqual([
    [2, true],
    [3, true],
    [4, false],
  ])
})

describe('events with which a worker was lost', () => {
  /** The next worker begins what it was handed, and is lost. */
  function loseAgain(line: Line, { begun }: { begun: boolean }): (number | undefined)[] {
    const event = line.handOver()
    expect(line.handOver(), 'it is handed over alone').toBeUndefined()
    if (begun) line.begin(event?.number ?? 0)
    return [event?.number, ...line.takeBack({ wasLost: true }).map(({ number }) => number)]
  }

  function lost(): Line {
    const line = filled(1, 4)
    handOver(line, 3)
    expect(line.takeBack({ wasLost: true })).toEqual([])
    return line
  }

  it('are handed over one at a time, until all of them are handled', () => {
    const line = lost()
    for (const number of [1, 2, 3]) {
      expect(handOver(line, 2)).toEqual([number, 0])
      line.acknowledge(number)
    }
    line.push('text', EMPTY, 0)
    expect(handOver(line, 3)).toEqual([4, 5, 0])
  })

  it('are dropped when six workers were lost while they handled it, and those behind are handed over', () => {
    const line = lost()
    for (let losses = 2; losses < 6; losses++) expect(loseAgain(line, { begun: true })).toEqual([1])
    expect(loseAgain(line, { begun: true })).toEqual([1, 1])
    expect(line.handOver()).toMatchObject({ number: 2, losses: 1 })
    expect([line.size, line.byteLength]).toEqual([3, 2 + 3 + 4 + 3 * sizeOf({ bytes: EMPTY })])
  })

  it('are kept when nobody begins them, however many workers are lost with them', () => {
    const line = lost()
    for (let round = 0; round < 10; round++) expect(loseAgain(line, { begun: false })).toEqual([1])
  })

  it('are kept when those that begin them outlive them, however many are lost later', () => {
    const line = lost()
    for (let round = 0; round < 10; round++) {
      const number = line.handOver()?.number ?? 0
      line.begin(number)
      line.outlive(number)
      expect(line.takeBack({ wasLost: true })).toEqual([])
    }
  })

  it('are kept when those that begin them leave in order', () => {
    const line = lost()
    for (let round = 0; round < 10; round++) {
      line.begin(line.handOver()?.number ?? 0)
      expect(line.takeBack({ wasLost: false })).toEqual([])
    }
    for (let losses = 2; losses < 6; losses++) expect(loseAgain(line, { begun: true })).toEqual([1])
    expect(loseAgain(line, { begun: false })).toEqual([1])
    expect(loseAgain(line, { begun: true })).toEqual([1, 1])
  })
})

it('at most once: the messages that a lost worker had are lost, not that the client has come and gone', () => {
  const line = new Line()
  line.push('connect', EMPTY, 0)
  line.push('text', EMPTY, 0)
  line.push('bytes', EMPTY, 0)
  line.push('close', EMPTY, 0)
  handOver(line, 4)
  expect(line.loseHandedOver()).toBe(2)
  line.takeBack({ wasLost: false })
  expect([line.handOver()?.kind, line.handOver()?.kind, line.handOver()]).toEqual(['connect', 'close', undefined])
  line.acknowledge(4)
  expect({ size: line.size, byteLength: line.byteLength, handedBytes: line.handedBytes }).toEqual({
    size: 0,
    byteLength: 0,
    handedBytes: 0,
  })
})

describe('dropping', () => {
  it('takes the eldest message that no worker has', () => {
    const line = filled(1, 4)
    handOver(line, 2)
    expect(line.dropOldest()?.number).toBe(3)
    expect(handOver(line, 2)).toEqual([4, 0])
  })

  it('never takes the news that a client has come or gone', () => {
    const line = new Line()
    line.push('connect', EMPTY, 0)
    line.push('close', EMPTY, 0)
    expect(line.dropOldest()).toBeUndefined()
    expect(line.size).toBe(2)
  })

  it('spares what came at the given time or later', () => {
    const line = filled(1, 3)
    expect(line.dropOldest(2)?.number).toBe(1)
    expect(line.dropOldest(2)).toBeUndefined()
  })
})

const KINDS: readonly EventKind[] = ['text', 'text', 'bytes', 'connect', 'close']

it.each([1, 2, 3, 4, 5])('its counts are the sums over its events whatever happens to it, seed %i', (seed) => {
  const random = new Random(seed)
  const line = new Line()
  /** The events by number, and whether a worker has each. */
  let expected: { number: number; size: number; isHanded: boolean; isMessage: boolean }[] = []
  const steps: (() => void)[] = [
    () => {
      const kind = random.pick(KINDS)
      const event = line.push(kind, new Uint8Array(random.int(0, 99)), 0)
      const isMessage = kind === 'text' || kind === 'bytes'
      expected.push({ number: event.number, size: sizeOf(event), isHanded: false, isMessage })
    },
    () => {
      const next = expected.find(({ isHanded }) => !isHanded)
      expect(line.handOver()?.number).toBe(next?.number)
      if (next) next.isHanded = true
    },
    () => {
      const upTo = (expected[0]?.number ?? 0) + random.int(-1, 4)
      const done = expected.filter(({ isHanded, number }) => isHanded && number <= upTo)
      const bytes = done.reduce((sum, { size }) => sum + size, 0)
      expect(line.acknowledge(upTo)).toEqual({ events: done.length, bytes })
      expected = expected.filter((event) => !done.includes(event))
    },
    () => {
      const eldest = expected.find(({ isHanded, isMessage }) => isMessage && !isHanded)
      expect(line.dropOldest()?.number).toBe(eldest?.number)
      expected = expected.filter((event) => event !== eldest)
    },
    () => {
      if (random.chance(0.5)) {
        line.loseHandedOver()
        expected = expected.filter(({ isHanded, isMessage }) => !isHanded || !isMessage)
      }
      line.takeBack({ wasLost: false })
      for (const event of expected) event.isHanded = false
    },
  ]
  for (let step = 0; step < 2_000; step++) {
    const [push, ...others] = steps
    if (random.chance(0.4)) push?.()
    else random.pick(others)()
    const handed = expected.filter(({ isHanded }) => isHanded)
    const bytesOf = (events: typeof expected): number => events.reduce((sum, { size }) => sum + size, 0)
    expect({
      size: line.size,
      byteLength: line.byteLength,
      handedOver: line.handedOver,
      handedBytes: line.handedBytes,
      waiting: line.waiting,
      next: line.next?.number,
    }).toEqual({
      size: expected.length,
      byteLength: bytesOf(expected),
      handedOver: handed.length,
      handedBytes: bytesOf(handed),
      waiting: expected.length - handed.length,
      next: expected.find(({ isHanded }) => !isHanded)?.number,
    })
  }
})
