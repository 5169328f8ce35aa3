/** A reload of code that is bad, or that changes under it: what is touched, and what the answer says. */
import { describe, expect, it } from 'vitest'
import { BAKE, bake, oldLeaves } from '../../baking.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

describe('bad code', () => {
  it("is rejected when the canary fails twice, with the worker's own error and last lines; nothing was touched", () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
    const before = stage.children()
    stage.reload()
    expect(stage.fail(stage.child('web'), 'first', 'one')).toEqual([])
    expect(stage.after(100)).toEqual(['spawn web/0 g2'])
    expect(stage.fail(stage.child('web'), 'second', 'two')).toEqual(['answer 1 rejected'])
    expect(stage.answer()).toMatchObject({
      result: 'rejected',
      generation: 1,
      replaced: [],
      error: { worker: 'web/0', message: 'second', stack: 'Error: second\n    at start.js:1', output: 'two' },
    })
    expect(stage.children()).toEqual(before)
    expect(before.map((child) => child.state)).toEqual(['serving', 'serving'])
    expect(stage.after(60_000)).toEqual([])
  })

  it('is told at once, though old workers of an earlier reload may still stay', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload(null, { graceful: true })
    bake(stage, 'web')
    stage.serve(stage.child('web'))
    expect(stage.states('web', 0)).toEqual(['draining g1', 'serving g2'])
    stage.reload()
    stage.fail(stage.child('web'))
    stage.after(100)
    expect(stage.fail(stage.child('web'))).toEqual(['answer 2 rejected'])
    expect(stage.states('web', 0)).toEqual(['draining g1', 'serving g2'])
  })

  it('that dies on its way to serve has to prove itself again, while the old worker serves', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload()
    expect(bake(stage, 'web')).toContain('serve web/0 g2')
    stage.fail(stage.child('web'))
    expect(stage.after(100)).toEqual(['spawn web/0 g2'])
    expect(stage.prepare(stage.child('web'))).toEqual([])
    expect(stage.fail(stage.child('web'))).toEqual(['answer 1 rejected'])
    expect(stage.states('web', 0)).toEqual(['serving g1'])
  })

  it('that fails once and then works is reloaded', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload()
    stage.fail(stage.child('web'))
    stage.after(100)
    bake(stage, 'web')
    stage.serve(stage.child('web'))
    expect(oldLeaves(stage, 'web', 0)).toContain('answer 1 done')
  })

  it('that is never prepared is rejected at its first deadline', () => {
    const stage = Stage.started(spec('web', { ...BAKE, startTimeoutMs: 3_000 }))
    stage.reload()
    expect(stage.after(3_000)).toEqual(['kill web/0 g2'])
    expect(stage.exit(stage.child('web'), null, 'SIGKILL')).toEqual(['answer 1 rejected'])
    expect(stage.answer().error?.message).toMatch(/^not ready 3000 ms after its start \(startTimeoutMs\)/)
    expect(stage.states('web', 0)).toEqual(['serving g1'])
  })

  it('that dies while it bakes is rejected, and has never served', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload()
    for (let attempt = 0; attempt < 2; attempt++) {
      stage.prepare(stage.child('web'))
      stage.after(900)
      stage.crash(stage.child('web'), 'dies late')
      stage.exit(stage.child('web'), 1)
      stage.after(100)
    }
    expect(stage.answer()).toMatchObject({ result: 'rejected', error: { message: 'dies late' } })
    expect(stage.done.filter((action) => action.do === 'serve' && action.child.generation === 2)).toEqual([])
  })

  it('is rejected as fast the tenth time as the first', () => {
    const stage = Stage.started(spec('web', BAKE))
    for (let time = 1; time <= 10; time++) {
      stage.reload()
      stage.fail(stage.child('web'))
      expect(stage.after(100)).toEqual(['spawn web/0 g2'])
      stage.fail(stage.child('web'))
      expect(stage.answer()).toMatchObject({ result: 'rejected', durationMs: 100 })
    }
  })

  it('of the second group leaves the first untouched, though its canary was good', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }), spec('jobs', BAKE))
    const before = stage.children()
    stage.reload()
    stage.fail(stage.child('jobs'))
    expect(bake(stage, 'web')).toEqual(['spawn jobs/0 g2'])
    expect(stage.fail(stage.child('jobs'))).toEqual(['drain web/0 g2 (cancelled, 2000 ms)'])
    expect(stage.leave(stage.child('web'))).toEqual(['answer 1 rejected'])
    expect(stage.answer()).toMatchObject({ result: 'rejected', replaced: [], error: { worker: 'jobs/0' } })
    expect(stage.children()).toEqual(before)
    expect(before.every((child) => child.state === 'serving')).toBe(true)
  })

  it('a later worker fails twice: it and all that wait keep the old code, what was replaced stays', () => {
    const stage = Stage.started(spec('web', { count: 3, ...BAKE }))
    stage.reload()
    bake(stage, 'web')
    stage.serve(stage.child('web'))
    oldLeaves(stage, 'web', 0)
    stage.fail(stage.child('web', 1))
    // while that one waits for its second try, the next takes its turn
    expect(stage.states('web', 2)).toEqual(['serving g1', 'starting g2'])
    stage.fail(stage.child('web', 2))
    expect(stage.after(100)).toEqual(['spawn web/1 g2'])
    expect(stage.fail(stage.child('web', 1), 'no more memory')).toEqual(['answer 1 mixed'])
    expect([0, 1, 2].map((id) => stage.states('web', id))).toEqual([['serving g2'], ['serving g1'], ['serving g1']])
    expect([0, 1, 2].map((id) => stage.slot('web', id).target)).toEqual([2, 1, 1])
    expect(stage.answer()).toMatchObject({
      result: 'mixed',
      error: { worker: 'web/1', message: 'no more memory' },
      replaced: [{ name: 'web', id: 0, oldPid: 101, newPid: 104 }],
    })
    expect(stage.after(3_600_000)).toEqual([])
  })

  it('a successor that has served and died is not forgotten, though it took the place of nobody: mixed', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
    stage.exit(stage.child('web'), null, 'SIGKILL')
    stage.reload()
    stage.prepare(stage.child('web'))
    stage.after(1_000)
    for (let attempt = 0; attempt < 2; attempt++) {
      if (attempt > 0) stage.prepare(stage.child('web'))
      stage.serve(stage.child('web'))
      expect(stage.child('web')).toMatchObject({ generation: 2, state: 'serving' })
      stage.exit(stage.child('web'), 1)
      stage.after(200)
    }
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.answer()).toMatchObject({
      result: 'mixed',
      replaced: [],
      standing: [{ name: 'web', count: 2, serving: 1, servedBefore: 1, fresh: [], hasServed: true }],
    })
    // what comes next is other code: it has another number
    stage.reload()
    expect(stage.child('web').generation).toBe(3)
  })

  it('rejected where nobody serves says so: nothing was touched, and there is no old code to serve', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.exit(stage.child('web'), null, 'SIGKILL')
    stage.reload()
    stage.fail(stage.child('web'))
    stage.after(200)
    stage.fail(stage.child('web'))
    expect(stage.answer()).toMatchObject({
      result: 'rejected',
      standing: [{ name: 'web', count: 1, serving: 0, servedBefore: 0, fresh: [], hasServed: false }],
    })
  })

  it('two codes never have one generation: what comes after a mixed reload is above both', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE, startTimeoutMs: 2_000 }))
    stage.reload()
    bake(stage, 'web')
    stage.serve(stage.child('web'))
    oldLeaves(stage, 'web', 0)
    stage.after(2_000)
    stage.exit(stage.child('web', 1), null, 'SIGKILL')
    expect(stage.answer().result).toBe('mixed')
    expect(stage.reload()).toEqual(['reload-began web', 'spawn web/0 g3'])
  })
})

describe('a start file that changes', () => {
  it('during the reload fails the workers that read the later one', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
    stage.reload()
    bake(stage, 'web')
    stage.serve(stage.child('web'))
    stage.file = [spec('web', { count: 2, ...BAKE, stopTimeoutMs: 1 })]
    expect(stage.load(stage.child('web', 1))).toEqual(['drain web/1 g2 (cancelled, 2000 ms)'])
    stage.leave(stage.child('web', 1))
    stage.after(100)
    stage.load(stage.child('web', 1))
    expect(stage.slot('web', 1).target).toBe(1)
    stage.leave(stage.child('web', 1))
    oldLeaves(stage, 'web', 0)
    expect(stage.answer()).toMatchObject({
      result: 'mixed',
      error: {
        worker: 'web/1',
        message:
          'the start file says something else than a moment ago (web: stopTimeoutMs): it was changed, or says something else in each process',
      },
    })
  })

  it('outside a reload changes nothing for a worker that is restarted after a crash', () => {
    const stage = Stage.started(spec('web'))
    stage.exit(stage.child('web'), 1)
    stage.after(100)
    stage.file = [spec('web', { count: 9 })]
    expect(stage.bringUp(stage.child('web'))).toEqual(['serve web/0 g1', 'lead web/0 g1'])
  })

  it('gives its new times to the group when the reload is done', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.file = [spec('web', { bakeMs: 5, stopTimeoutMs: 9 })]
    stage.reload()
    bake(stage, 'web')
    expect(stage.fleet.groups.get('web')?.spec.stopTimeoutMs).toBe(25_000)
    stage.serve(stage.child('web'))
    oldLeaves(stage, 'web', 0)
    expect(stage.fleet.groups.get('web')?.spec).toMatchObject({ bakeMs: 5, stopTimeoutMs: 9 })
  })

  it('gives nothing to the group when the reload is rejected', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.file = [spec('web', { bakeMs: 5, count: 3 })]
    stage.reload()
    for (let attempt = 0; attempt < 2; attempt++) {
      stage.load(stage.child('web'))
      stage.fail(stage.child('web'))
      stage.after(100)
    }
    expect(stage.answer().result).toBe('rejected')
    expect(stage.fleet.groups.get('web')).toMatchObject({ count: 1, spec: { bakeMs: 1_000 } })
  })
})
