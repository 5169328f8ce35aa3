import { describe, expect, it } from 'vitest'
import { backoffMs } from '../../../../src/gateway/bus/backoff.ts'
import { FORGOTTEN_AFTER_MS, Members, SILENT_AFTER_MS } from '../../../../src/gateway/bus/members.ts'

const ASKED = { askedAt: 1_000, now: 1_010 }

describe('who is on the bus', () => {
  it('is who said so, until nothing was heard for a while', () => {
    const members = new Members()
    expect(members.standing('a', 0)).toBe('unknown')
    members.came('a', 0)
    expect(members.standing('a', SILENT_AFTER_MS - 1)).toBe('live')
    expect(members.live(SILENT_AFTER_MS - 1)).toEqual(['a'])
    expect(members.standing('a', SILENT_AFTER_MS)).toBe('silent')
    expect(members.live(SILENT_AFTER_MS)).toEqual([])
    expect(members.silence('a', 25_000)).toBe(25_000)
  })

  it('is what the list says, and what was told since it was asked for', () => {
    const members = new Members()
    members.came('before', 999)
    members.came('since', 1_001)
    expect(
      members.replace(
        new Map([
          ['listed', 5_000],
          ['silent', 900],
        ]),
        ASKED,
      ),
    ).toEqual([])
    expect(members.live(ASKED.now).sort()).toEqual(['listed', 'since'])
    expect(['before', 'silent'].map((name) => members.standing(name, ASKED.now))).toEqual(['unknown', 'silent'])
    // by the next list it must be in there
    members.replace(new Map([['listed', 7_000]]), { askedAt: 3_000, now: 3_010 })
    expect(members.live(3_010)).toEqual(['listed'])
  })

  it('is nobody who has died, also when a list says so that is older', () => {
    const members = new Members()
    members.came('a', 0)
    expect(members.died('a', 1_005)).toBe(true)
    expect(members.died('a', 1_006)).toBe(false)
    expect(members.replace(new Map([['a', 9_000]]), ASKED)).toEqual(['a'])
    expect(members.standing('a', ASKED.now)).toBe('gone')
    expect(members.live(ASKED.now)).toEqual([])
  })

  it('is one who was taken for dead and says that it is there', () => {
    const members = new Members()
    members.died('a', 0)
    members.came('a', 1)
    expect(members.standing('a', 2)).toBe('live')
    expect(members.died('a', 3)).toBe(true)
  })

  it('is forgotten in the end', () => {
    const members = new Members()
    members.died('a', 0)
    const late = FORGOTTEN_AFTER_MS + 1
    members.replace(new Map(), { askedAt: late, now: late })
    expect(members.standing('a', late)).toBe('unknown')
    for (let index = 0; index < 20_000; index++) members.died(`dead ${index}`, 0)
    expect(members.standing('dead 0', 0)).toBe('unknown')
    expect(members.standing('dead 19999', 0)).toBe('gone')
  })
})

it('it is tried again soon, then less often, and not by all at once', () => {
  expect([0, 1, 2, 3, 4, 50].map((attempts) => backoffMs(attempts, 1))).toEqual([100, 200, 400, 800, 1_000, 1_000])
  expect(backoffMs(4, 0)).toBe(500)
})
