/** Which sockets are open: what was added and not deleted, whatever the order. */
import { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { Roster } from '../../../src/protocols/roster.ts'
import { Random } from '../random.ts'

describe('a roster', () => {
  it('holds what a Set would hold, in 2 000 random additions and deletions', () => {
    const random = new Random(7)
    const sockets = Array.from({ length: 20 }, () => new Socket())
    const [roster, set] = [new Roster(), new Set<Socket>()]
    for (let step = 0; step < 2_000; step++) {
      const socket = random.pick(sockets)
      const what = random.chance(0.5) ? 'add' : 'delete'
      roster[what](socket)
      set[what](socket)
      expect(roster.size).toBe(set.size)
      expect(new Set(roster)).toEqual(set)
    }
  })

  it('shows each of its members once while they are deleted', () => {
    const sockets = Array.from({ length: 5 }, () => new Socket())
    const roster = new Roster()
    for (const socket of sockets) roster.add(socket)
    const shown: Socket[] = []
    for (const socket of roster) {
      shown.push(socket)
      roster.delete(socket)
    }
    expect(new Set(shown)).toEqual(new Set(sockets))
    expect(shown).toHaveLength(5)
    expect(roster.size).toBe(0)
  })

  it('knows nothing of what is in another one', () => {
    const socket = new Socket()
    const [one, other] = [new Roster(), new Roster()]
    one.add(socket)
    other.delete(socket)
    expect([one.size, other.size]).toEqual([1, 0])
    other.add(socket)
    one.delete(socket)
    expect([...other]).toEqual([socket])
  })
})
