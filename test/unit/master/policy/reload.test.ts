/** A reload, event by event: canaries, the roll, those that wait, and what the answer says. */
import { describe, expect, it } from 'vitest'
import type { Child } from '../../../../src/master/policy/fleet.ts'
import { BAKE, bake, oldLeaves } from '../../baking.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

describe('a good reload', () => {
  it('replaces each worker only when its successor serves, and is answered when the last old one has left', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
    expect(stage.reload()).toEqual(['reload-began web', 'spawn web/0 g2'])
    expect(stage.prepare(stage.child('web'))).toEqual([])
    expect(stage.after(999)).toEqual([])
    expect(stage.after(1)).toEqual(['serve web/0 g2'])
    expect(stage.serve(stage.child('web'))).toEqual(['drain web/0 g1 (reload, 25000 ms)', 'spawn web/1 g2'])
    expect(oldLeaves(stage, 'web', 0)).toEqual(['lead web/0 g2'])
    expect(stage.prepare(stage.child('web', 1))).toEqual(['serve web/1 g2'])
    expect(stage.serve(stage.child('web', 1))).toEqual(['reload-served web g2', 'drain web/1 g1 (reload, 25000 ms)'])
    expect(oldLeaves(stage, 'web', 1)).toEqual(['answer 1 done'])
  })

  it('the answer names every old and new pid, what was cut, how long it took, and who was kept', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }), spec('gateway', { reloadable: false }))
    stage.now = 10_000
    stage.reload()
    stage.after(300)
    bake(stage, 'web')
    stage.serve(stage.child('web'))
    stage.after(50)
    oldLeaves(stage, 'web', 0, 3)
    stage.after(150)
    stage.bringUp(stage.child('web', 1))
    stage.after(20)
    oldLeaves(stage, 'web', 1)
    expect(stage.answer()).toEqual({
      result: 'done',
      generation: 2,
      durationMs: 1_520,
      error: null,
      replaced: [
        {
          name: 'web',
          id: 0,
          oldPid: 101,
          newPid: 104,
          startMs: 300,
          drainMs: 50,
          connectionsMoved: 0,
          connectionsCut: 3,
          killed: false,
          leftEarly: false,
          stopFault: null,
        },
        {
          name: 'web',
          id: 1,
          oldPid: 102,
          newPid: 105,
          startMs: 200,
          drainMs: 20,
          connectionsMoved: 0,
          connectionsCut: 0,
          killed: false,
          leftEarly: false,
          stopFault: null,
        },
      ],
      kept: ['gateway'],
      applied: [],
      needsRestart: [],
      standing: [{ name: 'web', count: 2, serving: 2, servedBefore: 2, fresh: [0, 1], hasServed: true }],
    })
  })

  it('names the successor that took the place, also when it has crashed since', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload()
    bake(stage, 'web')
    stage.serve(stage.child('web'))
    const [old, successor] = stage.children() as [Child, Child]
    stage.exit(successor, null, 'SIGKILL')
    stage.after(100)
    stage.bringUp(stage.child('web'))
    expect(stage.leave(old)).toContain('answer 1 done')
    expect(stage.answer().replaced).toMatchObject([{ oldPid: old.pid, newPid: successor.pid }])
  })

  it.each([
    [1, 1],
    [4, 1],
    [7, 1],
    [8, 2],
    [16, 4],
  ])('of %i workers replaces %i at a time', (count, surge) => {
    const stage = Stage.started(spec('web', { count, bakeMs: 0 }))
    stage.reload()
    stage.bringUp(stage.child('web'))
    for (let round = 0; stage.answers().length === 0 && round < count; round++) {
      const coming = stage.children().filter((child) => child.state === 'starting')
      expect(coming.length).toBeLessThanOrEqual(surge)
      if (round === 0 && count > 1) expect(coming).toHaveLength(surge)
      for (const child of coming) stage.bringUp(child)
      for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    }
    expect(stage.answer().replaced).toHaveLength(count)
  })

  it('of named groups leaves the others, and takes one that is not reloadable when it is named', () => {
    const stage = Stage.started(spec('web', BAKE), spec('gateway', { reloadable: false, ...BAKE }), spec('jobs'))
    expect(stage.reload(['gateway'])).toEqual(['reload-began gateway', 'spawn gateway/0 g2'])
    bake(stage, 'gateway')
    stage.serve(stage.child('gateway'))
    oldLeaves(stage, 'gateway', 0)
    expect(stage.answer()).toMatchObject({ result: 'done', kept: ['web', 'jobs'] })
  })

  it('with no group that is reloadable still reads the start file', () => {
    const stage = Stage.started(spec('gateway', { reloadable: false }))
    expect(stage.reload()).toEqual(['reload-began ', 'read-start-file'])
    expect(stage.read()).toEqual(['reload-served  g1', 'answer 1 done'])
    expect(stage.answer()).toMatchObject({ replaced: [], kept: ['gateway'] })
  })

  it('fills a slot that was empty, without a row for a worker that did not exist', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.exit(stage.child('web'), 1)
    expect(stage.reload()).toEqual(['reload-began web', 'spawn web/0 g2'])
    bake(stage, 'web')
    expect(stage.serve(stage.child('web'))).toContain('answer 1 done')
  })
})

describe('drain orders of a reload', () => {
  const serveCanary = (stage: Stage): string[] => {
    bake(stage, 'web')
    return stage.serve(stage.child('web'))
  }

  it('have the deadline of the group', () => {
    const stage = Stage.started(spec('web', { ...BAKE, stopTimeoutMs: 7_000 }))
    stage.reload()
    expect(serveCanary(stage)).toContain('drain web/0 g1 (reload, 7000 ms)')
    expect(stage.after(8_999)).toEqual([])
    expect(stage.after(1)).toEqual(['kill web/0 g1'])
  })

  it('have the deadline that was asked for', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload(null, { timeoutMs: 300 })
    expect(serveCanary(stage)).toContain('drain web/0 g1 (reload, 300 ms)')
  })

  it('have none when it was asked to be graceful', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload(null, { graceful: true })
    expect(serveCanary(stage)).toContain('drain web/0 g1 (reload, no deadline)')
    expect(stage.after(24 * 3_600_000)).toEqual([])
  })

  it('are as lenient as the most lenient of the requests that it answers', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload()
    stage.reload(null, { timeoutMs: 300 })
    stage.reload(null, { timeoutMs: 9_000 })
    serveCanary(stage)
    oldLeaves(stage, 'web', 0)
    expect(serveCanary(stage)).toContain('drain web/0 g2 (reload, 9000 ms)')
  })
})

describe('several reloads', () => {
  it('a second one follows the first, though old workers of the first still drain; each gets its own answer', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload()
    expect(stage.reload()).toEqual([])
    bake(stage, 'web')
    const [first] = stage.children() as [Child]
    expect(stage.serve(stage.child('web'))).toEqual([
      'reload-served web g2',
      'reload-began web',
      'drain web/0 g1 (reload, 25000 ms)',
      'spawn web/0 g3',
    ])
    bake(stage, 'web')
    const second = stage.children().find((child) => child.generation === 2) as Child
    stage.serve(stage.child('web'))
    expect(stage.leave(second)).toEqual([])
    expect(stage.leave(first)).toEqual(['lead web/0 g3', 'answer 1 done', 'answer 2 done'])
    const pids = stage.answers().map(({ summary }) => summary.replaced.map((row) => [row.oldPid, row.newPid]))
    expect(pids).toEqual([[[101, 102]], [[102, 103]]])
  })

  it('all that wait become one, of all the groups they name', () => {
    const stage = Stage.started(spec('web', BAKE), spec('jobs', BAKE), spec('mail', BAKE))
    stage.reload(['mail'])
    stage.reload(['web'])
    stage.reload(['jobs'])
    bake(stage, 'mail')
    expect(stage.serve(stage.child('mail'))).toContain('reload-began web+jobs')
    bake(stage, 'web')
    bake(stage, 'jobs')
    for (const name of ['web', 'jobs']) stage.serve(stage.child(name))
    for (const name of ['mail', 'web', 'jobs']) oldLeaves(stage, name, 0)
    expect(stage.answers().map(({ ids }) => ids)).toEqual([[1], [2, 3]])
  })

  it('the next begins at once when one is rejected', () => {
    const stage = Stage.started(spec('web', { ...BAKE, startTimeoutMs: 1_000 }))
    stage.reload()
    stage.reload()
    expect(stage.after(1_000)).toEqual(['kill web/0 g2', 'reload-began web', 'spawn web/0 g3'])
  })
})

describe('a crash during a reload', () => {
  it('while the canary bakes leaves its slot empty: nobody knows yet whether the code is good', () => {
    const stage = Stage.started(spec('web', { count: 2, ...BAKE }))
    stage.reload()
    stage.exit(stage.child('web', 1), 1)
    expect(stage.after(20_000)).toEqual([])
    expect(bake(stage, 'web')).toEqual(['serve web/0 g2', 'spawn web/1 g2'])
  })

  it('of an old worker in the roll is made good by new code at once', () => {
    const stage = Stage.started(spec('web', { count: 3, ...BAKE }))
    stage.reload()
    bake(stage, 'web')
    stage.exit(stage.child('web', 2), 1)
    stage.after(100)
    expect(stage.states('web', 2)).toEqual(['starting g2'])
  })

  it('of an old worker does not count as a failure of the new code', () => {
    const stage = Stage.started(spec('web', BAKE))
    stage.reload()
    stage.fail(stage.child('web'))
    stage.exit(stage.child('web'), 1)
    stage.after(200)
    expect(stage.states('web', 0)).toEqual(['starting g2'])
    expect(stage.answers()).toEqual([])
  })
})

describe('the end of an old worker', () => {
  it('in the middle of its drain is told: nobody knows what it had open', () => {
    const stage = Stage.started(spec('web', { count: 2, bakeMs: 0 }))
    stage.reload()
    for (const id of [0, 1]) {
      stage.bringUp(stage.child('web', id))
      const [old] = stage.children().filter((child) => child.id === id && child.generation === 1)
      if (id === 0 && old) stage.exit(old, 0)
      else oldLeaves(stage, 'web', id)
    }
    expect(stage.answer().replaced.map(({ id, leftEarly, killed }) => [id, leftEarly, killed])).toEqual([
      [0, true, false],
      [1, false, false],
    ])
  })
})

it('what an old worker did not bring to its end stands in its row', () => {
  const stage = Stage.started(spec('web', { count: 3, bakeMs: 0 }))
  stage.reload(null, { surge: 3 })
  for (const id of [0, 1, 2]) stage.bringUp(stage.child('web', id))
  const reports = [
    { hookUnfinished: true, hookError: null },
    { hookUnfinished: false, hookError: 'no database' },
    { hookUnfinished: false, hookError: null },
  ]
  for (const [id, report] of reports.entries()) {
    const old = stage.children().find((child) => child.id === id && child.state === 'draining')
    if (!old) throw new Error(`nobody drains in web/${id}`)
    stage.send({ type: 'drained', key: old.key, report: { connectionsCut: 0, cut: [], ...report } })
    stage.exit(old)
  }
  expect(stage.answer().replaced.map(({ stopFault }) => stopFault)).toEqual([
    { worker: 'web/0', pid: 101, error: null },
    { worker: 'web/1', pid: 102, error: 'no database' },
    null,
  ])
})

it('the answer of a reload that ends behind a later one is known to be old', () => {
  const stage = Stage.started(spec('web', { bakeMs: 0 }), spec('api', { bakeMs: 0 }))
  stage.reload(['web'], { graceful: true })
  stage.bringUp(stage.child('web'))
  stage.reload(['api'])
  stage.bringUp(stage.child('api'))
  oldLeaves(stage, 'api', 0)
  oldLeaves(stage, 'web', 0)
  expect(stage.answers().map(({ ids, completeness }) => [ids, completeness])).toEqual([
    [[2], 'whole'],
    [[1], 'stale'],
  ])
})
