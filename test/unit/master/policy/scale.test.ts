/** More and fewer workers, event by event: who comes, who goes, in which order, and what the answer says. */
import { describe, expect, it } from 'vitest'
import type { Scaled } from '../../../../src/ipc/status.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const NO_BAKE = { bakeMs: 0 }

function answers(stage: Stage): { ids: number[]; summary: Scaled }[] {
  return stage.done.filter((action) => action.do === 'answer-scale').map(({ ids, summary }) => ({ ids, summary }))
}

function answer(stage: Stage): Scaled {
  const last = answers(stage).at(-1)
  if (!last) throw new Error('no scale was answered yet')
  return last.summary
}

function counts(stage: Stage): Record<string, number> {
  return Object.fromEntries([...stage.fleet.groups].map(([name, group]) => [name, group.count]))
}

function allLeave(stage: Stage): string[] {
  return stage.children().flatMap((child) => (child.state === 'draining' ? stage.leave(child) : []))
}

describe('up', () => {
  it('is answered when all that come serve', () => {
    const stage = Stage.started(spec('web'))
    expect(stage.scale([{ name: 'web', count: 3 }])).toEqual(['spawn web/1 g1', 'spawn web/2 g1'])
    expect(stage.bringUp(stage.child('web', 1))).toEqual(['serve web/1 g1'])
    stage.after(500)
    expect(stage.bringUp(stage.child('web', 2))).toEqual(['serve web/2 g1', 'answer-scale 1 done'])
    expect(answer(stage)).toEqual({
      result: 'done',
      groups: [{ name: 'web', from: 1, to: 3 }],
      durationMs: 500,
      error: null,
    })
  })

  it('takes one try more for a worker that fails once', () => {
    const stage = Stage.started(spec('web'))
    stage.scale([{ name: 'web', count: 2 }])
    expect(stage.fail(stage.child('web', 1))).toEqual([])
    expect(stage.after(100)).toEqual(['spawn web/1 g1'])
    expect(stage.bringUp(stage.child('web', 1))).toContain('answer-scale 1 done')
  })

  it('leaves every number as it was when one fails twice: those that came go again, and who was to go stays', () => {
    const stage = Stage.started(spec('web'), spec('jobs', { count: 2 }))
    stage.scale([
      { name: 'web', count: 3 },
      { name: 'jobs', count: 1 },
    ])
    stage.bringUp(stage.child('web', 1))
    stage.fail(stage.child('web', 2), 'no memory')
    stage.after(100)
    expect(stage.fail(stage.child('web', 2), 'no memory', 'its last line')).toEqual([
      'drain web/1 g1 (scale, 25000 ms)',
    ])
    expect(answers(stage)).toEqual([])
    expect(allLeave(stage)).toEqual(['answer-scale 1 failed'])
    expect(answer(stage)).toMatchObject({
      result: 'failed',
      error: { worker: 'web/2', message: 'no memory', output: 'its last line' },
    })
    expect(counts(stage)).toEqual({ web: 1, jobs: 2 })
    expect(stage.states('jobs', 1)).toEqual(['serving g1'])
    expect(stage.fleet.groups.get('web')?.slots).toHaveLength(1)
    expect(stage.after(3_600_000)).toEqual([])
  })

  it('does not wait for a second deadline: one that was never prepared ends it', () => {
    const stage = Stage.started(spec('web', { startTimeoutMs: 1_000 }))
    stage.scale([{ name: 'web', count: 2 }])
    expect(stage.after(1_000)).toEqual(['kill web/1 g1'])
    expect(stage.exit(stage.child('web', 1), null, 'SIGKILL')).toEqual(['answer-scale 1 failed'])
    expect(counts(stage)).toEqual({ web: 1 })
  })

  it('after down starts a new worker in a slot whose last one still leaves', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    stage.scale([{ name: 'web', count: 1 }])
    expect(stage.states('web', 1)).toEqual(['draining g1'])
    expect(stage.scale([{ name: 'web', count: 2 }])).toEqual(['spawn web/1 g1'])
    expect(stage.bringUp(stage.child('web', 1))).toContain('answer-scale 2 done')
    expect(answers(stage)).toHaveLength(1)
    expect(allLeave(stage)).toEqual(['answer-scale 1 done'])
    expect(stage.states('web', 1)).toEqual(['serving g1'])
  })
})

describe('down', () => {
  it('drains the last slots, at once, and is answered when they are gone', () => {
    const stage = Stage.started(spec('web', { count: 3, stopTimeoutMs: 7_000 }))
    expect(stage.scale([{ name: 'web', count: 1 }])).toEqual([
      'drain web/1 g1 (scale, 7000 ms)',
      'drain web/2 g1 (scale, 7000 ms)',
    ])
    expect(stage.leave(stage.child('web', 2))).toEqual([])
    expect(stage.leave(stage.child('web', 1))).toEqual(['answer-scale 1 done'])
    expect(stage.fleet.groups.get('web')?.slots).toHaveLength(1)
  })

  it('in one group begins when those that come in another serve', () => {
    const stage = Stage.started(spec('web'), spec('jobs', { count: 2 }))
    expect(
      stage.scale([
        { name: 'jobs', count: 1 },
        { name: 'web', count: 2 },
      ]),
    ).toEqual(['spawn web/1 g1'])
    expect(stage.bringUp(stage.child('web', 1))).toEqual(['serve web/1 g1', 'drain jobs/1 g1 (scale, 25000 ms)'])
    expect(allLeave(stage)).toEqual(['answer-scale 1 done'])
  })

  it('ends one that has not served yet, and a slot that waits for its next try', () => {
    const stage = Stage.started(spec('web', { count: 3 }))
    stage.exit(stage.child('web', 1), 1)
    stage.exit(stage.child('web', 2), 1)
    stage.after(100)
    stage.fail(stage.child('web', 2))
    expect(stage.scale([{ name: 'web', count: 1 }])).toEqual(['drain web/1 g1 (cancelled, 2000 ms)'])
    expect(allLeave(stage)).toEqual(['answer-scale 1 done'])
    expect(stage.after(3_600_000)).toEqual([])
  })

  it('takes the leader away only when it has said that it leads no more, and then there is another', () => {
    const stage = Stage.started(spec('jobs', { count: 2 }))
    stage.exit(stage.child('jobs', 0), 1)
    stage.after(100)
    stage.bringUp(stage.child('jobs', 0))
    const leader = stage.child('jobs', 1)
    expect(stage.fleet.groups.get('jobs')?.leaderKey).toBe(leader.key)
    expect(stage.scale([{ name: 'jobs', count: 1 }])).toEqual(['drain jobs/1 g1 (scale, 25000 ms)'])
    expect(stage.send({ type: 'resigned', key: leader.key })).toEqual(['lead jobs/0 g1'])
  })
})

describe('to the number that there is', () => {
  it('is done at once', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    expect(stage.scale([{ name: 'web', count: 2 }])).toEqual(['answer-scale 1 done'])
    expect(answer(stage).groups).toEqual([{ name: 'web', from: 2, to: 2 }])
  })
})

describe('by one', () => {
  it('changes every reloadable group, and none below 1', () => {
    const stage = Stage.started(spec('web', { count: 2 }), spec('jobs'), spec('gateway', { reloadable: false }))
    expect(stage.scale(1)).toEqual(['spawn web/2 g1', 'spawn jobs/1 g1'])
    stage.bringUp(stage.child('web', 2))
    stage.bringUp(stage.child('jobs', 1))
    expect(counts(stage)).toEqual({ web: 3, jobs: 2, gateway: 1 })
    for (let times = 0; times < 5; times++) {
      stage.scale(-1)
      allLeave(stage)
    }
    expect(counts(stage)).toEqual({ web: 1, jobs: 1, gateway: 1 })
    expect(answers(stage).map(({ summary }) => summary.result)).toEqual(Array.from({ length: 6 }, () => 'done'))
  })

  it('several times in a row adds up', () => {
    const stage = Stage.started(spec('web'))
    for (let times = 0; times < 3; times++) stage.scale(1)
    for (const id of [1, 2, 3]) stage.bringUp(stage.child('web', id))
    expect(counts(stage)).toEqual({ web: 4 })
    expect(answers(stage).map(({ ids, summary }) => [ids, summary.groups])).toEqual([
      [[1], [{ name: 'web', from: 1, to: 2 }]],
      [[2], [{ name: 'web', from: 2, to: 3 }]],
      [[3], [{ name: 'web', from: 3, to: 4 }]],
    ])
  })
})

describe('and a reload', () => {
  it('that is under way goes first; those that come are of the new code', () => {
    const stage = Stage.started(spec('web', NO_BAKE))
    stage.reload()
    expect(stage.scale([{ name: 'web', count: 2 }])).toEqual([])
    stage.prepare(stage.child('web'))
    expect(stage.serve(stage.child('web'))).toEqual([
      'reload-served web g2',
      'drain web/0 g1 (reload, 25000 ms)',
      'spawn web/1 g2',
    ])
  })

  it('names nobody whom a scale has added while its old workers still leave', () => {
    const stage = Stage.started(spec('web', NO_BAKE))
    stage.reload()
    stage.scale([{ name: 'web', count: 2 }])
    stage.bringUp(stage.child('web'))
    stage.bringUp(stage.child('web', 1))
    allLeave(stage)
    expect(stage.answer().replaced.map((row) => row.id)).toEqual([0])
  })

  it('that comes meanwhile waits; and it keeps the number, as the start file says what it said', () => {
    const stage = Stage.started(spec('web', NO_BAKE))
    stage.scale([{ name: 'web', count: 2 }])
    expect(stage.reload()).toEqual([])
    expect(stage.bringUp(stage.child('web', 1))).toEqual([
      'serve web/1 g1',
      'reload-began web',
      'spawn web/0 g2',
      'answer-scale 1 done',
    ])
    stage.bringUp(stage.child('web', 0))
    stage.bringUp(stage.child('web', 1))
    allLeave(stage)
    expect(stage.answer()).toMatchObject({ result: 'done', applied: [] })
    expect(counts(stage)).toEqual({ web: 2 })
  })

  it('a rejected one gives back the number that a scale had made', () => {
    const stage = Stage.started(spec('web', NO_BAKE))
    stage.scale([{ name: 'web', count: 3 }])
    for (const id of [1, 2]) stage.bringUp(stage.child('web', id))
    stage.file = [spec('web', { ...NO_BAKE, count: 7 })]
    stage.reload(null, { strategy: 'atomic' })
    stage.prepare(stage.child('web', 0))
    expect(counts(stage)).toEqual({ web: 7 })
    stage.fail(stage.child('web', 6))
    stage.after(100)
    stage.fail(stage.child('web', 6))
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.answer().result).toBe('rejected')
    expect(counts(stage)).toEqual({ web: 3 })
    expect([0, 1, 2].map((id) => stage.states('web', id))).toEqual(Array.from({ length: 3 }, () => ['serving g1']))
  })

  it('a group that a reload before it in the queue has ended is named in the answer, and nothing is changed', () => {
    const stage = Stage.started(spec('web', NO_BAKE), spec('old', NO_BAKE))
    stage.file = [spec('web', NO_BAKE)]
    stage.reload()
    stage.scale([
      { name: 'old', count: 2 },
      { name: 'web', count: 2 },
    ])
    stage.bringUp(stage.child('web'))
    allLeave(stage)
    expect(answer(stage)).toMatchObject({
      result: 'failed',
      error: { worker: 'old', message: 'the start file no longer has this worker' },
    })
    expect(counts(stage)).toEqual({ web: 1 })
  })
})

describe('and a stop', () => {
  it('is cancelled, also one that waits', () => {
    const stage = Stage.started(spec('web'))
    stage.scale([{ name: 'web', count: 2 }])
    stage.scale([{ name: 'web', count: 3 }])
    expect(stage.stop().filter((text) => text.startsWith('answer'))).toEqual([
      'answer-scale 2 cancelled',
      'answer-scale 1 cancelled',
    ])
    allLeave(stage)
    expect(stage.done.at(-1)).toEqual({ do: 'stopped' })
  })

  it('that comes while the last leave does not make it undone', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    stage.scale([{ name: 'web', count: 1 }])
    stage.stop()
    for (const child of stage.children()) stage.leave(child)
    expect(answer(stage).result).toBe('done')
  })
})
