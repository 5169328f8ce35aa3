/** A worker's open connections, page by page, while they come and go; and what is told of each. */
import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { LIST_LIFETIME_MS, PAGE_ROWS } from '../../../src/ipc/connections.ts'
import { broadcastTo } from '../../../src/protocols/broadcast.ts'
import type { Connection } from '../../../src/protocols/connection.ts'
import type { ConnectionState } from '../../../src/protocols/connection-state.ts'
import { factsOf } from '../../../src/protocols/facts.ts'
import type { Opened } from '../../../src/protocols/traffic.ts'
import { Listings } from '../../../src/worker/listing.ts'

/** As much of a socket as is looked at. */
function opened(): Opened & { socket: { destroyed: boolean } } {
  const socket = { destroyed: false, bytesRead: 0, bytesWritten: 0, writableLength: 0 } as Socket
  return { socket, since: 0, stage: 'spoken' }
}

describe('pages', () => {
  function idsOf(listings: Listings, list = 1): string[] {
    const ids: string[] = []
    for (let isFirst = true; ; isFirst = false) {
      const { facts, rest } = listings.page(list, { isFirst })
      ids.push(...facts.map(({ id }) => id))
      expect(facts.length).toBeLessThanOrEqual(PAGE_ROWS)
      if (rest !== 'more') return ids
    }
  }

  it.each([0, 1, PAGE_ROWS, PAGE_ROWS + 1, 10 * PAGE_ROWS + 7])('hold each of %i connections once', (count) => {
    const all = Array.from({ length: count }, opened)
    const ids = idsOf(new Listings(() => [...all]))
    expect(ids).toHaveLength(count)
    expect(new Set(ids).size).toBe(count)
    expect(new Set(idsOf(new Listings(() => [...all])))).toEqual(new Set(ids))
  })

  it('leave out what has closed meanwhile, and are as many as there are lists', () => {
    const all = Array.from({ length: 3 * PAGE_ROWS }, opened)
    const listings = new Listings(() => [...all])
    listings.page(1, { isFirst: true })
    expect(idsOf(listings, 2)).toHaveLength(all.length)
    for (const { socket } of all) socket.destroyed = true
    expect(listings.page(1, { isFirst: false })).toEqual({ facts: [], rest: 'more' })
    expect(listings.page(1, { isFirst: false })).toEqual({ facts: [], rest: 'none' })
    expect(listings.page(1, { isFirst: false })).toEqual({ facts: [], rest: 'lost' })
  })

  it('are forgotten when nobody asks on', () => {
    vi.useFakeTimers()
    try {
      const listings = new Listings(() => Array.from({ length: 3 * PAGE_ROWS }, opened))
      listings.page(1, { isFirst: true })
      vi.advanceTimersByTime(LIST_LIFETIME_MS - 1)
      expect(listings.page(1, { isFirst: false }).rest).toBe('more')
      vi.advanceTimersByTime(LIST_LIFETIME_MS)
      expect(listings.page(1, { isFirst: false }).rest).toBe('lost')
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('what is told of a connection', () => {
  async function pair(): Promise<{ port: number; accepted: Socket; client: Socket }> {
    const server = createServer()
    const accepting = new Promise<Socket>((resolve) => server.once('connection', resolve))
    await new Promise<void>((resolve) => server.listen(0, '::1', resolve))
    const { port } = server.address() as { port: number }
    const client = connect(port, '::1')
    const accepted = await accepting
    onTestFinished(() => {
      accepted.destroy()
      client.destroy()
      server.close()
    })
    return { port, accepted, client }
  }

  it('is its ends, what went over it, and for how long it has been silent as far as that is known', async () => {
    const { port, accepted, client } = await pair()
    const now = performance.now()
    const one: Opened = { socket: accepted, since: now - 500, stage: 'spoken' }
    expect(factsOf(one, now)).toEqual({
      id: expect.stringMatching(/^[\w-]{11}-[0-9a-z]+$/),
      protocol: 'tcp',
      state: 'open',
      remote: `[::1]:${client.localPort}`,
      local: `[::1]:${port}`,
      bytesRead: 0,
      bytesWritten: 0,
      bufferedBytes: 0,
      ageMs: 500,
      idleMs: 500,
    })
    expect(factsOf(one, now).id).toBe(factsOf(one, now).id)
    client.write('hello')
    await new Promise((resolve) => accepted.once('data', resolve))
    expect(factsOf(one, now)).toMatchObject({ bytesRead: 5, idleMs: null })
    expect(factsOf({ ...one, stage: 'upgraded' }, now).state).toBe('upgraded')
    expect(factsOf({ ...one, stage: 'handshake' }, now)).toMatchObject({ state: 'opening', protocol: 'tls' })
  })
})

describe('a broadcast in a process', () => {
  function guest(state: ConnectionState, send: (data: unknown) => boolean | null, takesPush = true): Connection {
    return { state, sendShared: send, takesPush } as unknown as Connection
  }

  it('is sent to what is open, counts who took it, and one that throws costs no other the message', () => {
    const log = vi.spyOn(console, 'error').mockReturnValue()
    onTestFinished(() => log.mockRestore())
    const sent: string[] = []
    const take = (name: string, result: boolean | null) => (data: unknown) => {
      sent.push(`${data} to ${name}`)
      return result
    }
    const fail = (): never => {
      throw new Error('this cannot be encoded')
    }
    const states = (['opening', 'closing', 'closed'] as const).map((state) => guest(state, take(state, true)))
    const http = guest('open', take('http', true), false)
    const all = [guest('open', fail), ...states, http, guest('open', fail)]
    const taking = [
      guest('open', take('open', true)),
      guest('parting', take('parting', null)),
      guest('open', take('full', false)),
    ]
    expect(broadcastTo([...all, ...taking], 'hello')).toBe(2)
    expect(sent).toEqual(['hello to open', 'hello to parting', 'hello to full'])
    expect(log).toHaveBeenCalledTimes(1)
    expect(log.mock.calls[0]?.[0]).toContain('this cannot be encoded')
  })
})
