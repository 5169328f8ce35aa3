/** Since when something is so, as one who looks again and again can know it. */
import { describe, expect, it } from 'vitest'
import { Memory } from '../../../src/cli/scene.ts'
import type { Sight } from '../../../src/cli/sights.ts'
import { ShiftworkError } from '../../../src/errors.ts'
import type { Status } from '../../../src/ipc/status.ts'
import { group, reload, row, status } from './scenes.ts'

const GONE: Sight = { master: 'gone', status: null, problem: new ShiftworkError('ERR_NOT_RUNNING', 'Not running') }

function speaks(master: Partial<Status['master']> = {}, lastReload: Status['lastReload'] = null): Sight {
  return { master: 'speaks', status: { ...status([group('web', [row(0)])], master), lastReload }, problem: null }
}

describe('Memory', () => {
  it('knows since when a state is so only when it has seen it begin', () => {
    const memory = new Memory()
    const since = (sight: Sight, nowMs: number): number | null | undefined => memory.note(sight, nowMs)?.stateSinceMs
    expect(since(speaks({ state: 'reloading' }), 1_000)).toBeNull()
    expect(since(speaks({ state: 'reloading' }), 2_000)).toBeNull()
    expect(since(speaks(), 3_000)).toBe(3_000)
    expect(since(speaks(), 4_000)).toBe(3_000)
    expect(since(GONE, 5_000)).toBe(5_000)
  })

  it('knows when a reload has ended only when it has seen it end, and forgets it with its master', () => {
    const memory = new Memory()
    const at = (sight: Sight, nowMs: number): number | null | undefined => memory.note(sight, nowMs)?.reloadedAtMs
    expect(at(speaks({}, reload()), 1_000)).toBeNull()
    expect(at(speaks({}, reload()), 2_000)).toBeNull()
    expect(at(speaks({}, reload({ generation: 4 })), 3_000)).toBe(3_000)
    expect(at(GONE, 4_000)).toBe(3_000)
    expect(at(speaks({}, reload({ generation: 4 })), 5_000)).toBe(3_000)
    expect(at(speaks({ pid: 7 }), 6_000)).toBeNull()
  })

  it('shows a master that is gone as it was last seen, and what to do about a silent one', () => {
    const memory = new Memory()
    expect(memory.note(GONE, 1)).toBeNull()
    memory.note(speaks({ pid: 7 }), 2)
    expect(memory.note(GONE, 3)).toMatchObject({ master: 'gone', status: { master: { pid: 7 } } })
    const problem = new ShiftworkError('ERR_NO_ANSWER', 'It does not answer', { hint: 'Wait.\nOr do not.' })
    const silent: Sight = { master: 'silent', status: status([], { state: 'frozen' }), problem }
    expect(memory.note(silent, 4)?.problem).toEqual(['It does not answer', 'Wait.', 'Or do not.'])
  })
})
