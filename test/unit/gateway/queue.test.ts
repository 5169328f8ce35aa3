/** Clients that say more than is handled: paused, dropped from, or sent away, and heard again when there is room. */
import { describe, expect, it, vi } from 'vitest'
import { Clients } from '../../../src/gateway/hub/clients.ts'
import { Dispatch } from '../../../src/gateway/hub/dispatch.ts'
import type { HubClient } from '../../../src/gateway/hub/model.ts'
import { Queue } from '../../../src/gateway/hub/queue.ts'
import type { QueueLimits } from '../../../src/gateway/options.ts'
import type { Connection } from '../../../src/index.ts'
import { FakeLink } from './handover.ts'

const LIMITS: QueueLimits = { maxMessages: 4, maxBytes: 10_000, maxTotalBytes: 20_000, maxMs: 1_000, overflow: 'wait' }

class Counter {
  readonly clients = new Clients()
  readonly dispatch: Dispatch
  readonly queue: Queue
  readonly link = new FakeLink(() => undefined)

  constructor(limits: Partial<QueueLimits>) {
    this.dispatch = new Dispatch({
      clients: this.clients,
      redelivers: true,
      onRelieved: (client) => this.queue.noteRelieved(client),
      onFatal: () => undefined,
      onAbandoned: () => undefined,
    })
    this.queue = new Queue({ ...LIMITS, ...limits }, this)
  }

  come(): HubClient {
    const connection = { state: 'open', pause: vi.fn(), resume: vi.fn(), close: vi.fn() }
    connection.close.mockImplementation(() => {
      connection.state = 'closing'
    })
    const client = this.clients.add(`client-${this.clients.size}`, connection as unknown as Connection)
    this.dispatch.push(client, 'connect', new Uint8Array())
    return client
  }

  say(client: HubClient, byteLength = 0): void {
    this.dispatch.push(client, 'text', new Uint8Array(byteLength))
    this.queue.noteAdded(client)
  }

  go(client: HubClient): void {
    this.clients.close(client)
    this.dispatch.push(client, 'close', new Uint8Array())
    this.queue.noteClosed(client)
  }

  serve(): void {
    this.dispatch.serve(this.link)
  }

  /** The worker has handled all that it has of this client. */
  handle(client: HubClient): void {
    const events = this.link.held.get(client.number)?.splice(0) ?? []
    this.dispatch.acknowledge(this.link, client.number, events.at(-1)?.event ?? 0)
  }
}

describe('wait', () => {
  it('a client with too many messages is paused once, and resumed once when half of the room is free', () => {
    const counter = new Counter({})
    const client = counter.come()
    for (let count = 0; count < 6; count++) counter.say(client)
    expect(client.connection.pause).toHaveBeenCalledTimes(1)
    counter.serve()
    expect(client.connection.resume).not.toHaveBeenCalled()
    counter.handle(client)
    expect(client.connection.resume).toHaveBeenCalledTimes(1)
    expect(counter.queue.paused).toBe(0)
  })

  it('a client that was paused for what it had itself is heard again, also when all together have much at that moment', () => {
    const counter = new Counter({ maxBytes: 8_000 })
    const [own, second, third] = [counter.come(), counter.come(), counter.come()]
    counter.say(own, 8_100)
    // together with the others beyond half of what all may have, and never beyond all of it
    counter.say(second, 5_500)
    counter.say(third, 5_500)
    expect([own.isPaused, second.isPaused, third.isPaused]).toEqual([true, false, false])
    counter.serve()
    counter.handle(own)
    expect(own.isPaused).toBe(true)
    counter.handle(second)
    expect(own.isPaused).toBe(false)
  })

  it('clients that are paused for what all have together are heard again when half of that is handled', () => {
    const counter = new Counter({})
    const clients = Array.from({ length: 5 }, () => counter.come())
    for (const client of clients) counter.say(client, 4_500)
    expect(clients.map(({ isPaused }) => isPaused)).toEqual([false, false, false, false, true])
    counter.serve()
    for (const client of clients.slice(0, 3)) counter.handle(client)
    expect(clients.map(({ isPaused }) => isPaused)).toEqual([false, false, false, false, false])
  })
})

it('drop: the eldest messages that no worker has are dropped, and counted', () => {
  const counter = new Counter({ overflow: 'drop' })
  const client = counter.come()
  for (let count = 1; count <= 10; count++) counter.say(client, count)
  expect(counter.queue.dropped).toBe(7)
  counter.serve()
  const sizes = counter.link.held.get(client.number)?.map(({ bytes }) => bytes.byteLength)
  expect(sizes).toEqual([0, 8, 9, 10])
})

describe('close', () => {
  it('a client is sent away once, whatever else it has said', () => {
    const counter = new Counter({ overflow: 'close' })
    const client = counter.come()
    for (let count = 0; count < 9; count++) counter.say(client)
    expect(client.connection.close).toHaveBeenCalledTimes(1)
    expect(counter.queue.closed).toBe(1)
  })

  it('one whose message waits for too long is sent away once; one that has said nothing is not', () => {
    vi.useFakeTimers()
    const counter = new Counter({ overflow: 'close' })
    counter.queue.watch()
    const [silent, speaking] = [counter.come(), counter.come()]
    counter.say(speaking)
    vi.advanceTimersByTime(5_000)
    counter.queue.stop()
    vi.useRealTimers()
    expect(silent.connection.close).not.toHaveBeenCalled()
    expect(speaking.connection.close).toHaveBeenCalledTimes(1)
    expect(counter.queue.closed).toBe(1)
  })
})

describe('close, while no worker is there', () => {
  it('clients that come again, as they were told to, take no more memory than all may have', () => {
    const counter = new Counter({ overflow: 'close', maxMessages: 2 })
    for (let round = 0; round < 20_000; round++) {
      const client = counter.come()
      for (let count = 0; count < 3; count++) counter.say(client, 2_000)
      counter.go(client)
    }
    expect(counter.queue.closed).toBe(20_000)
    // what was taken before the first was sent away, and the coming and going of those who are still to be heard of
    expect(counter.dispatch.byteLength).toBeLessThan(20_000 + 5_100 * 2 * 64)
    expect(counter.clients.gone).toBeLessThan(5_100)
  })

  it('what somebody had said who has left waits for no longer than it may', () => {
    vi.useFakeTimers()
    const counter = new Counter({ overflow: 'close' })
    counter.queue.watch()
    const client = counter.come()
    counter.say(client)
    counter.go(client)
    vi.advanceTimersByTime(5_000)
    counter.queue.stop()
    vi.useRealTimers()
    expect(client.connection.close).not.toHaveBeenCalled()
    expect([counter.dispatch.events, counter.queue.dropped]).toEqual([2, 1])
  })
})

describe('clients that come and go while no worker is there', () => {
  it('are kept, up to so many that had nothing to say; who had is always kept', () => {
    const counter = new Counter({ maxTotalBytes: 1_000_000_000 })
    for (let count = 0; count < 5_000; count++) counter.go(counter.come())
    expect([counter.clients.gone, counter.queue.dropped]).toEqual([5_000, 0])
    const speaking = counter.come()
    counter.say(speaking)
    counter.go(speaking)
    for (let count = 0; count < 100; count++) counter.go(counter.come())
    expect([counter.clients.gone, counter.queue.dropped]).toEqual([5_001, 100])
    expect(counter.dispatch.events).toBe(5_000 * 2 + 3)
    counter.serve()
    expect(counter.link.held.size).toBe(5_001)
    for (const client of [...counter.clients.all()]) counter.handle(client)
    expect([counter.clients.gone, counter.dispatch.events, counter.dispatch.byteLength]).toEqual([0, 0, 0])
  })

  it('are kept when a worker has heard of them', () => {
    const counter = new Counter({})
    const clients = Array.from({ length: 5_001 }, () => counter.come())
    counter.serve()
    counter.dispatch.close(counter.link)
    for (const client of clients) counter.go(client)
    expect([counter.clients.gone, counter.queue.dropped]).toEqual([5_001, 0])
  })
})
