/** A worker that wants to be replaced although its code is right: after `maxRequests`, or a signal of its own. */
import { expect, it } from 'vitest'
import type { ReplaceReason } from '../../../../src/ipc/messages.ts'
import { oldLeaves } from '../../baking.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

function want(stage: Stage, id = 0, why: ReplaceReason = 'maxRequests'): string[] {
  return stage.send({ type: 'replace', key: stage.child('web', id).key, why, detail: null })
}

/** A reload of `web` that fails twice. */
function rejectReload(stage: Stage): void {
  stage.reload()
  stage.fail(stage.child('web'))
  stage.after(100)
  stage.fail(stage.child('web'))
  expect(stage.answer().result).toBe('rejected')
}

it('gets a successor of the same generation, and drains when that one serves', () => {
  const stage = Stage.started(spec('web'))
  expect(want(stage)).toEqual(['spawn web/0 g1'])
  expect(stage.bringUp(stage.child('web'))).toEqual(['serve web/0 g1', 'drain web/0 g1 (recycle, 25000 ms)'])
  expect(stage.slot('web').restarts).toBe(0)
})

it('waits for its turn: one at a time', () => {
  const stage = Stage.started(spec('web', { count: 12 }))
  expect(want(stage, 5)).toEqual(['spawn web/5 g1'])
  expect(want(stage, 3)).toEqual([])
  expect(stage.bringUp(stage.child('web', 5))).toContain('spawn web/3 g1')
})

it('keeps serving while its successors fail', () => {
  const stage = Stage.started(spec('web'))
  want(stage)
  for (const pause of [100, 200, 400]) {
    stage.fail(stage.child('web'))
    expect(stage.after(pause - 1)).toEqual([])
    expect(stage.after(1)).toEqual(['spawn web/0 g1'])
  }
  expect(stage.states('web', 0)).toEqual(['serving g1', 'starting g1'])
})

it('waits after a rejected reload until a good one, for the code on disk is known to be bad', () => {
  const stage = Stage.started(spec('web', { count: 2, bakeMs: 0 }))
  rejectReload(stage)
  expect(stage.fleet.groups.get('web')?.suspended).toBe(true)
  expect(want(stage, 1)).toEqual([])
  expect(stage.after(3_600_000)).toEqual([])
  stage.reload()
  stage.bringUp(stage.child('web', 0))
  stage.bringUp(stage.child('web', 1))
  expect(stage.fleet.groups.get('web')?.suspended).toBe(false)
  expect(want(stage, 1)).toEqual(['spawn web/1 g2'])
})

it('an unhealthy one does not wait for a good reload: its successor must prove itself, it stays until then', () => {
  const stage = Stage.started(spec('web', { count: 2, bakeMs: 0 }))
  rejectReload(stage)
  stage.after(60_000)
  // due already, and it had to wait
  expect(want(stage, 1, 'maxRequests')).toEqual([])
  expect(want(stage, 1, 'unhealthy')).toEqual(['spawn web/1 g1'])
  stage.fail(stage.child('web', 1))
  expect(stage.states('web', 1)).toEqual(['serving g1'])
  expect(want(stage, 0, 'unhealthy')).toEqual(['spawn web/0 g1'])
  // one at a time
  expect(stage.after(100)).toEqual([])
  expect(stage.bringUp(stage.child('web', 0))).toContain('spawn web/1 g1')
  expect(stage.bringUp(stage.child('web', 1))).toContain('drain web/1 g1 (recycle, 25000 ms)')
})

it('an unhealthy one that is well again, or due for something else too, is replaced all the same', () => {
  const stage = Stage.started(spec('web', { count: 2, bakeMs: 0 }))
  stage.reload()
  expect(want(stage, 1, 'unhealthy')).toEqual([])
  expect(want(stage, 1, 'maxLifetimeMs')).toEqual([])
  stage.fail(stage.child('web'))
  stage.after(100)
  stage.fail(stage.child('web'))
  expect(stage.answer().result).toBe('rejected')
  expect(stage.states('web', 1)).toEqual(['serving g1', 'starting g1'])
})

it('one that crashes after a rejected reload is restarted all the same', () => {
  const stage = Stage.started(spec('web', { bakeMs: 0 }))
  rejectReload(stage)
  stage.after(60_000)
  stage.exit(stage.child('web'), 1)
  expect(stage.after(100)).toEqual(['spawn web/0 g1'])
})

it('waits for a reload under way, which replaces it anyhow', () => {
  const stage = Stage.started(spec('web', { count: 2, bakeMs: 0 }))
  stage.reload()
  expect(want(stage, 1)).toEqual([])
  stage.bringUp(stage.child('web', 0))
  stage.bringUp(stage.child('web', 1))
  const drains = stage.done.filter((action) => action.do === 'drain')
  expect(drains.map((action) => action.do === 'drain' && action.reason)).toEqual(['reload', 'reload'])
  expect(stage.after(60_000)).not.toContain('spawn web/1 g2')
})

it('waits for a reload of other groups, too: the code on disk is being tried', () => {
  const stage = Stage.started(spec('web'), spec('jobs', { bakeMs: 0 }))
  stage.reload(['jobs'])
  expect(want(stage)).toEqual([])
  expect(stage.bringUp(stage.child('jobs'))).toContain('spawn web/0 g1')
})

it('a reload that comes while its successor starts ends that one: it would be neither old nor new code', () => {
  const stage = Stage.started(spec('web', { count: 2, bakeMs: 0 }))
  want(stage, 0)
  expect(stage.reload()).toEqual(['reload-began web', 'drain web/0 g1 (cancelled, 2000 ms)', 'spawn web/0 g2'])
  expect(stage.slot('web').failures).toBe(0)
})

it('who has waited for longest comes next, so that none waits for ever', () => {
  const stage = Stage.started(spec('web', { count: 3, bakeMs: 0 }))
  for (const id of [0, 1, 2]) {
    want(stage, id)
    stage.after(10)
  }
  const order: number[] = []
  for (let round = 0; round < 4; round++) {
    const coming = stage.starting()
    if (!coming) break
    order.push(coming.id)
    stage.bringUp(coming)
    // it is due again before the others have had their turn
    want(stage, coming.id)
    oldLeaves(stage, 'web', coming.id)
    stage.after(10)
  }
  expect(order).toEqual([0, 1, 2, 0])
})

it('who is ill comes before those that have waited for longer', () => {
  const stage = Stage.started(spec('web', { count: 3 }))
  want(stage, 0)
  stage.after(10)
  want(stage, 1)
  stage.after(10)
  want(stage, 2, 'unhealthy')
  stage.bringUp(stage.child('web', 0))
  expect(stage.starting()?.id).toBe(2)
})
