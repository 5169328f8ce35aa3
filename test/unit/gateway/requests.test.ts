/** What a gateway does when it is asked, and who is found: against clients with connections that only note what they are told. */
import { describe, expect, it } from 'vitest'
import { Clients } from '../../../src/gateway/hub/clients.ts'
import type { HubClient } from '../../../src/gateway/hub/model.ts'
import { answer, deliver, mergeSession } from '../../../src/gateway/hub/requests.ts'
import type { ClientState, Data, Request, Selection } from '../../../src/gateway/types.ts'
import type { Connection } from '../../../src/index.ts'
import { Random } from '../random.ts'

const EVERYBODY: Selection = { uids: null, groups: null, exclude: [] }

/** What was done to a connection, in order. */
class FakeConnection {
  state = 'open'
  isFull = false
  readonly remoteAddress = '10.0.0.1'
  readonly remotePort = 4711
  readonly protocol: string
  readonly done: unknown[] = []
  /** What `send` returns. */
  sends: boolean | null = true

  constructor(protocol = 'text') {
    this.protocol = protocol
  }

  send(value: unknown): boolean | null {
    this.done.push(value)
    return this.sends
  }

  close(): void {
    this.state = 'closing'
    this.done.push('closed')
  }
}

class FakeWebSocket extends FakeConnection {
  constructor() {
    super('websocket')
  }

  closeWith(code: number, reason: string): void {
    this.state = 'closing'
    this.done.push([code, reason])
  }
}

class Gate {
  readonly clients = new Clients()
  readonly told: [id: string, ClientState][] = []
  maxSessionBytes = 100

  come(id: string, connection = new FakeConnection()): FakeConnection {
    this.clients.add(id, connection as unknown as Connection)
    return connection
  }

  ask(request: Request, data: Data | null = null): unknown {
    return answer(request, data, {
      clients: this.clients,
      maxSessionBytes: this.maxSessionBytes,
      tell: (client: HubClient, change: ClientState) => void this.told.push([client.id, change]),
    })
  }

  client(id: string): HubClient {
    return this.clients.find(id) as HubClient
  }
}

describe('one client', () => {
  it('is bound, joined and told, and is found by all of it', () => {
    const gate = new Gate()
    gate.come('a')
    gate.come('b')
    expect(gate.ask({ do: 'bindUid', client: 'a', uid: 'anna' })).toBe(true)
    expect(gate.ask({ do: 'bindUid', client: 'a', uid: 'berta' })).toBe(true)
    expect(gate.ask({ do: 'join', client: 'a', group: 'red' })).toBe(true)
    expect(gate.ask({ do: 'join', client: 'a', group: 'red' })).toBe(true)
    expect(gate.ask({ do: 'uids', limit: 9, after: null })).toEqual(['berta'])
    expect(gate.ask({ do: 'count', of: { ...EVERYBODY, groups: ['red'] } })).toBe(1)
    expect(gate.ask({ do: 'leave', client: 'a', group: 'red' })).toBe(true)
    expect(gate.ask({ do: 'unbindUid', client: 'a' })).toBe(true)
    expect(gate.ask({ do: 'uids', limit: 9, after: null })).toEqual([])
    expect(gate.ask({ do: 'groups', limit: 9, after: null })).toEqual([])
    expect(gate.told).toEqual([
      ['a', { uid: 'anna' }],
      ['a', { uid: 'berta' }],
      ['a', { joined: 'red' }],
      ['a', { joined: 'red' }],
      ['a', { left: 'red' }],
      ['a', { uid: null }],
    ])
  })

  it('that nobody has is false, and is told nothing', () => {
    const gate = new Gate()
    for (const request of [
      { do: 'bindUid', client: 'x', uid: 'u' },
      { do: 'unbindUid', client: 'x' },
      { do: 'join', client: 'x', group: 'g' },
      { do: 'leave', client: 'x', group: 'g' },
      { do: 'setSession', client: 'x', fields: { a: 1 } },
      { do: 'close', client: 'x', code: 1000, reason: '' },
    ] as const)
      expect(gate.ask(request)).toBe(false)
    expect(gate.ask({ do: 'info', client: 'x' })).toBe(null)
    expect(gate.told).toEqual([])
  })

  it('is in at most 10 000 groups, and can be told of all of them', () => {
    const gate = new Gate()
    gate.come('a')
    for (let count = 0; count < 10_000; count++) gate.ask({ do: 'join', client: 'a', group: `g${count}` })
    const more = (): unknown => gate.ask({ do: 'join', client: 'a', group: 'more' })
    expect(more).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
    expect(gate.ask({ do: 'join', client: 'a', group: 'g7' })).toBe(true)
    gate.ask({ do: 'leave', client: 'a', group: 'g7' })
    expect(more()).toBe(true)
  })

  it('hears its last words, and is closed as its protocol says', () => {
    const gate = new Gate()
    const text = gate.come('t')
    const webSocket = gate.come('w', new FakeWebSocket())
    gate.ask({ do: 'close', client: 't', code: 4000, reason: 'why' }, 'bye')
    gate.ask({ do: 'close', client: 'w', code: 4000, reason: 'why' }, 'bye')
    expect([text.done, webSocket.done]).toEqual([
      ['bye', 'closed'],
      ['bye', [4000, 'why']],
    ])
  })

  it('that is said goodbye to, or has gone unheard, is nobody in every answer', () => {
    for (const state of ['closing', 'closed']) {
      const gate = new Gate()
      const connection = gate.come('a')
      gate.ask({ do: 'bindUid', client: 'a', uid: 'anna' })
      gate.ask({ do: 'join', client: 'a', group: 'red' })
      const client = gate.client('a')
      connection.state = state
      expect(gate.clients.find('a')).toBe(undefined)
      expect(gate.ask({ do: 'info', client: 'a' })).toBe(null)
      expect(gate.ask({ do: 'count', of: EVERYBODY })).toBe(0)
      expect(gate.ask({ do: 'count', of: { ...EVERYBODY, uids: ['anna'] } })).toBe(0)
      expect(gate.ask({ do: 'clients', of: EVERYBODY, limit: 9, after: 0 })).toEqual([])
      expect(gate.ask({ do: 'uids', limit: 9, after: null })).toEqual([])
      expect(gate.ask({ do: 'groups', limit: 9, after: null })).toEqual([])
      expect(gate.ask({ do: 'dissolve', group: 'red' })).toBe(0)
      expect(gate.ask({ do: 'send', to: EVERYBODY }, 'x')).toEqual({ sent: 0, buffered: 0, full: 0 })
      expect(deliver(client, 'x')).toBe('gone')
      expect(connection.done).toEqual([])
    }
  })
})

describe('a message', () => {
  it.each([
    ['sent', { sends: true }],
    ['buffered', { sends: null }],
    ['gone', { sends: false }],
    ['full', { isFull: true }],
  ] as const)('that is %s is said to be', (delivery, how) => {
    const gate = new Gate()
    Object.assign(gate.come('a'), how)
    expect(deliver(gate.client('a'), 'x')).toBe(delivery)
  })

  it('is text for who speaks lines, and what it is for everybody else', () => {
    for (const [protocol, heard] of [
      ['text', 'ŷ'],
      ['text+tls', 'ŷ'],
      ['tcp', Buffer.from('ŷ')],
      ['frame', Buffer.from('ŷ')],
    ] as const) {
      const gate = new Gate()
      const connection = gate.come('a', new FakeConnection(protocol))
      deliver(gate.client('a'), Buffer.from('ŷ'))
      expect(connection.done).toEqual([heard])
    }
  })

  it('to many is for those of this moment, each once, and counts what became of it', () => {
    const gate = new Gate()
    for (const id of ['a', 'b', 'c', 'd']) gate.come(id)
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((id) => gate.client(id).connection as unknown as FakeConnection)
    Object.assign(b as FakeConnection, { sends: null })
    Object.assign(c as FakeConnection, { isFull: true })
    for (const id of ['a', 'b', 'c', 'd']) gate.ask({ do: 'join', client: id, group: 'all' })
    gate.ask({ do: 'join', client: 'a', group: 'some' })
    const to = { uids: null, groups: ['all', 'some', 'none'], exclude: ['d', 'x'] }
    expect(gate.ask({ do: 'send', to }, 'm')).toEqual({ sent: 1, buffered: 1, full: 1 })
    expect([a, b, c, d].map((connection) => connection?.done)).toEqual([['m'], ['m'], [], []])
    expect(gate.ask({ do: 'send', to: { uids: null, groups: [], exclude: [] } }, 'm')).toMatchObject({ sent: 0 })
  })
})

describe('a session', () => {
  it('has fields that are set and removed, and as many bytes as it may', () => {
    const least = JSON.stringify({ a: '' }).length
    const fits = { a: 'x'.repeat(50 - least) }
    expect(mergeSession({}, fits, 50)).toEqual(fits)
    expect(mergeSession(fits, { a: null, b: 1, c: null }, 50)).toEqual({ b: 1 })
    expect(() => mergeSession({}, { a: `${fits.a}x` }, 50)).toThrow(
      'The session would have 51 bytes, at most 50 are kept',
    )
    expect(mergeSession({ a: 1 }, { a: { b: null } }, 50)).toEqual({ a: { b: null } })
  })

  it('that would be too large is left as it is, and nobody is told', () => {
    const gate = new Gate()
    gate.come('a')
    gate.ask({ do: 'setSession', client: 'a', fields: { a: 1 } })
    const fields = { a: 2, b: 'x'.repeat(100) }
    expect(() => gate.ask({ do: 'setSession', client: 'a', fields })).toThrow(
      expect.objectContaining({ code: 'ERR_MESSAGE_TOO_LARGE' }),
    )
    expect(gate.ask({ do: 'info', client: 'a' })).toMatchObject({ session: { a: 1 } })
    expect(gate.told).toEqual([['a', { session: { a: 1 } }]])
  })

  it('may have fields of any name', () => {
    const gate = new Gate()
    gate.come('a')
    const fields = JSON.parse('{"__proto__":{"b":1},"constructor":2}') as Record<string, unknown>
    gate.ask({ do: 'setSession', client: 'a', fields })
    expect(JSON.stringify(gate.client('a').session)).toBe('{"__proto__":{"b":1},"constructor":2}')
  })
})

it('whatever happens, clients are found by what they are and by nothing else', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed)
    const gate = new Gate()
    /** As simple as can be. */
    const model = new Map<string, { uid: string | null; groups: Set<string> }>()
    const names = ['', 'a', 'ä', 'b', 'x:y', '__proto__', 'constructor', '😀', 'Ω']
    for (let step = 0; step < 400; step++) {
      const id = random.pick([...model.keys(), `c${step}`])
      const [name] = [random.pick(names)]
      const known = model.get(id)
      const what = random.int(0, 6)
      if (what === 0 || !known) {
        if (known) continue
        gate.come(id)
        model.set(id, { uid: null, groups: new Set() })
      } else if (what === 1) {
        gate.ask({ do: 'bindUid', client: id, uid: name })
        known.uid = name
      } else if (what === 2) {
        gate.ask({ do: 'join', client: id, group: name })
        known.groups.add(name)
      } else if (what === 3) {
        gate.ask({ do: 'leave', client: id, group: name })
        known.groups.delete(name)
      } else if (what === 4 && random.chance(0.3)) {
        const members = [...model.values()].filter(({ groups }) => groups.delete(name))
        expect(gate.ask({ do: 'dissolve', group: name })).toBe(members.length)
      } else if (what === 5) {
        gate.ask({ do: 'unbindUid', client: id })
        known.uid = null
      } else if (what === 6 && random.chance(0.5)) {
        gate.clients.close(gate.client(id))
        model.delete(id)
      }
    }
    const rows = [...model].map(([id, row]) => ({ id, ...row }))
    const exclude = rows.slice(0, 2).map(({ id }) => id)
    for (const uids of [null, ['a'], ['a', 'b', '__proto__'], []])
      for (const groups of [null, ['ä'], ['', 'Ω', 'constructor'], []]) {
        const isMeant = ({ uid, groups: of }: (typeof rows)[number]): boolean =>
          (!uids && !groups) || (uids ?? []).some((one) => one === uid) || (groups ?? []).some((one) => of.has(one))
        const meant = rows.filter((row) => isMeant(row) && !exclude.includes(row.id)).map(({ id }) => id)
        const found = [...gate.clients.select({ uids, groups, exclude })].map(({ id }) => id)
        expect(found.sort(), `seed ${seed}`).toEqual(meant.sort())
      }
    const unique = (list: readonly string[]): string[] => [...new Set(list)].sort()
    expect(gate.ask({ do: 'uids', limit: 99, after: null })).toEqual(
      unique(rows.flatMap(({ uid }) => (uid === null ? [] : [uid]))),
    )
    const groups = unique(rows.flatMap(({ groups: of }) => [...of]))
    expect(gate.ask({ do: 'groups', limit: 99, after: null })).toEqual(groups)
    expect(gate.ask({ do: 'groups', limit: 2, after: groups[1] ?? null })).toEqual(groups.slice(2, 4))
    expect(gate.clients.size).toBe(rows.length)
  }
})
