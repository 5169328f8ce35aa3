/** How long a slot waits before it is filled again, as numbers and as the policy uses them. */
import { describe, expect, it } from 'vitest'
import { backoffMs, RESET_AFTER_MS } from '../../../../src/master/policy/backoff.ts'
import { Random } from '../../random.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const MIDDLE = 0.5

describe('backoff', () => {
  it.each([
    [1, 100],
    [2, 200],
    [3, 400],
    [4, 800],
    [9, 25_600],
    [10, 30_000],
    [11, 30_000],
    [10_000, 30_000],
  ])('after %i failures in a row it is %i ms in the middle', (failures, ms) => {
    expect(backoffMs(failures, MIDDLE)).toBe(ms)
  })

  it('is spread by a fifth to each side, so that slots that fail together do not come back together', () => {
    expect(backoffMs(1, 0)).toBe(80)
    expect(backoffMs(1, 1)).toBe(120)
    const random = new Random(1)
    const seen = new Set(Array.from({ length: 100 }, () => backoffMs(10, random.next())))
    expect(seen.size).toBeGreaterThan(90)
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(24_000)
    expect(Math.max(...seen)).toBeLessThanOrEqual(36_000)
  })
})

/** How long the slot stays empty after its child died. */
function pauseAfterDeath(stage: Stage): number {
  const died = stage.now
  stage.exit(stage.child('web'), null, 'SIGKILL')
  while (stage.states('web', 0).length === 0) stage.after(1)
  return stage.now - died
}

describe('a slot that crashes', () => {
  it('waits twice as long after each crash, at most half a minute, and is never given up', () => {
    const stage = Stage.started(spec('web'))
    const pauses = Array.from({ length: 12 }, () => {
      const pause = pauseAfterDeath(stage)
      stage.bringUp(stage.child('web'))
      return pause
    })
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000])
  })

  it('begins anew once a child has served for a minute, not a moment sooner', () => {
    const stage = Stage.started(spec('web'))
    for (let crash = 0; crash < 4; crash++) {
      pauseAfterDeath(stage)
      stage.bringUp(stage.child('web'))
    }
    stage.after(RESET_AFTER_MS - 1)
    expect(pauseAfterDeath(stage)).toBe(1_600)
    stage.bringUp(stage.child('web'))
    stage.after(RESET_AFTER_MS)
    expect(pauseAfterDeath(stage)).toBe(100)
  })

  it('leaves the other slots and groups alone', () => {
    const stage = Stage.started(spec('web', { count: 2 }), spec('jobs'))
    const others = [stage.child('web', 1), stage.child('jobs')]
    for (let crash = 0; crash < 6; crash++) {
      pauseAfterDeath(stage)
      stage.fail(stage.child('web', 0))
      while (stage.states('web', 0).length === 0) stage.after(1)
    }
    expect(others.map((child) => child.state)).toEqual(['serving', 'serving'])
    expect([stage.slot('web', 1).failures, stage.slot('jobs').failures]).toEqual([0, 0])
  })

  it('is counted in the restarts only when it had served', () => {
    const stage = Stage.started(spec('web'))
    pauseAfterDeath(stage)
    stage.fail(stage.child('web'))
    expect(stage.slot('web').restarts).toBe(1)
  })
})
