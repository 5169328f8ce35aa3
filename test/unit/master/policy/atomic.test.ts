/** An atomic reload and other strategies, event by event: nothing old is touched before every successor serves. */
import { describe, expect, it } from 'vitest'
import type { Child } from '../../../../src/master/policy/fleet.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const ATOMIC = { strategy: 'atomic' } as const
const BAKE = { bakeMs: 1_000 }

function of(stage: Stage, generation: number): Child[] {
  return stage.children().filter((child) => child.generation === generation)
}

/** Every child of the generation that starts is prepared, and bakes. */
function bakeAll(stage: Stage, generation: number): string[] {
  const texts = of(stage, generation).flatMap((child) => stage.prepare(child))
  return [...texts, ...stage.after(1_000)]
}

describe('atomic', () => {
  it('prepares and bakes a successor for every slot, lets all serve, then drains the old ones together', () => {
    const stage = Stage.started(spec('web', { count: 3, ...BAKE }))
    expect(stage.reload(null, ATOMIC)).toEqual([
      'reload-began web',
      'spawn web/0 g2',
      'spawn web/1 g2',
      'spawn web/2 g2',
    ])
    expect(bakeAll(stage, 2)).toEqual(['serve web/0 g2', 'serve web/1 g2', 'serve web/2 g2'])
    expect(stage.serve(stage.child('web', 0))).toEqual([])
    expect(stage.serve(stage.child('web', 1))).toEqual([])
    expect(stage.serve(stage.child('web', 2))).toEqual([
      'reload-served web g2',
      'drain web/0 g1 (reload, 25000 ms)',
      'drain web/1 g1 (reload, 25000 ms)',
      'drain web/2 g1 (reload, 25000 ms)',
    ])
    for (const old of of(stage, 1)) stage.leave(old)
    expect(stage.answer()).toMatchObject({ result: 'done', generation: 2 })
    expect(stage.answer().replaced.map((row) => [row.oldPid, row.newPid])).toEqual([
      [101, 104],
      [102, 105],
      [103, 106],
    ])
  })

  it('one that fails twice before it is baked ends them all; nobody old has been told anything', () => {
    const stage = Stage.started(spec('web', { count: 4, ...BAKE }))
    stage.reload(null, ATOMIC)
    for (const id of [0, 1, 3]) stage.prepare(stage.child('web', id))
    stage.fail(stage.child('web', 2))
    expect(stage.after(100)).toEqual(['spawn web/2 g2'])
    expect(stage.fail(stage.child('web', 2), 'the third cannot')).toEqual([
      'drain web/0 g2 (cancelled, 2000 ms)',
      'drain web/1 g2 (cancelled, 2000 ms)',
      'drain web/3 g2 (cancelled, 2000 ms)',
    ])
    for (const child of of(stage, 2)) stage.leave(child)
    expect(stage.answer()).toMatchObject({ result: 'rejected', replaced: [], error: { message: 'the third cannot' } })
    expect(stage.children().map((child) => [child.pid, child.state])).toEqual([
      [101, 'serving'],
      [102, 'serving'],
      [103, 'serving'],
      [104, 'serving'],
    ])
    expect(stage.after(24 * 3_600_000)).toEqual([])
  })

  it('one that cannot listen takes those that serve already with it: they finish what they have', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
    stage.reload(null, ATOMIC)
    bakeAll(stage, 2)
    stage.serve(stage.child('web', 0))
    stage.fail(stage.child('web', 1), 'no room')
    stage.after(100)
    stage.prepare(stage.child('web', 1))
    expect(stage.fail(stage.child('web', 1), 'no room')).toEqual(['drain web/0 g2 (cancelled, 25000 ms)'])
    stage.leave(stage.child('web', 0))
    expect(stage.answer()).toMatchObject({ result: 'rejected', replaced: [] })
    expect([stage.states('web', 0), stage.states('web', 1)]).toEqual([['serving g1'], ['serving g1']])
  })

  it('an old worker that crashes while others bake is not replaced by code that is not proven', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
    stage.reload(null, ATOMIC)
    stage.prepare(stage.child('web', 1))
    stage.exit(stage.children().find((child) => child.id === 1 && child.generation === 1) as Child, 1)
    expect(stage.after(20_000)).toEqual([])
    expect(stage.prepare(stage.child('web', 0))).toEqual([])
    expect(stage.after(1_000)).toEqual(['serve web/0 g2', 'serve web/1 g2'])
  })

  it('a stop while they bake, and while some serve, ends all and cancels it', () => {
    for (const served of [0, 1]) {
      const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
      stage.reload(null, ATOMIC)
      bakeAll(stage, 2)
      if (served > 0) stage.serve(stage.child('web', 0))
      stage.stop()
      for (const child of stage.children()) stage.leave(child)
      expect(stage.answer().result).toBe('cancelled')
      expect(stage.fleet.phase).toBe('stopped')
    }
  })
})

describe('rolling', () => {
  it('a canary that is baked and cannot listen rejects the reload: nothing was touched', () => {
    const stage = Stage.started(spec('web', { count: 2, startTimeoutMs: 5_000, ...BAKE }))
    stage.reload()
    stage.prepare(stage.child('web'))
    expect(stage.after(1_000)).toEqual(['serve web/0 g2'])
    expect(stage.after(5_000)).toEqual(['kill web/0 g2'])
    stage.exit(stage.child('web'), null, 'SIGKILL')
    expect(stage.answer()).toMatchObject({ result: 'rejected', replaced: [] })
    expect([stage.states('web', 0), stage.states('web', 1)]).toEqual([['serving g1'], ['serving g1']])
  })

  it('when one successor has served and crashed since, the reload has touched something: it is mixed', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
    stage.reload()
    stage.prepare(stage.child('web'))
    stage.after(1_000)
    stage.serve(stage.child('web'))
    stage.exit(stage.child('web'), 1)
    stage.after(200)
    stage.fail(stage.child('web'))
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.answer().result).toBe('mixed')
  })

  it.each([
    [2, 2],
    [9, 3],
  ])('--surge %i of four replaces %i at a time, once the canary serves', (surge, most) => {
    const stage = Stage.started(spec('web', { count: 4, bakeMs: 0 }))
    expect(stage.reload(null, { surge })).toEqual(['reload-began web', 'spawn web/0 g2'])
    stage.bringUp(stage.child('web'))
    expect(of(stage, 2).filter((child) => child.state === 'starting')).toHaveLength(most)
  })
})

describe('requests that wait', () => {
  it('with other options become one: atomic if one says so, the largest surge, each answered when it wanted', () => {
    const stage = Stage.started(spec('web', { count: 2, bakeMs: 0 }))
    stage.reload()
    stage.reload(null, ATOMIC)
    stage.reload(['web'], { surge: 7 })
    stage.reload(null, { wait: 'serving' })
    stage.bringUp(stage.child('web', 0))
    stage.bringUp(stage.child('web', 1))
    expect(stage.fleet.reload).toMatchObject({ strategy: 'atomic', surge: 7 })
    for (const child of of(stage, 3)) stage.prepare(child)
    for (const child of of(stage, 3)) stage.serve(child)
    expect(stage.answers().map(({ ids }) => ids)).toEqual([[4]])
    expect(stage.answer().replaced.map((row) => row.drainMs)).toEqual([null, null])
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.answers().map(({ ids }) => ids)).toEqual([[4], [1], [2, 3]])
    expect(stage.answer().replaced.map((row) => row.drainMs)).toEqual([0, 0])
  })
})
