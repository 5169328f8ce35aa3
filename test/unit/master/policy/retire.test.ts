/** How a child is sent away, whoever orders it, and how many may take their time. */
import { describe, expect, it } from 'vitest'
import type { Child } from '../../../../src/master/policy/fleet.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

/** Reloads the one worker of `web`; its predecessors drain on. */
function reloadWeb(stage: Stage, how: { graceful?: boolean } = {}): string[] {
  stage.reload(['web'], how)
  return stage.bringUp(stage.child('web'))
}

describe('old children of one slot', () => {
  it('two may drain, and the one that has drained for longest is cut when a third begins', () => {
    const stage = Stage.started(spec('web', { bakeMs: 0 }))
    const [eldest] = stage.children() as [Child]
    reloadWeb(stage, { graceful: true })
    stage.after(1_000)
    reloadWeb(stage, { graceful: true })
    stage.after(1_000)
    expect(stage.states('web', 0)).toEqual(['draining g1', 'draining g2', 'serving g3'])
    expect(reloadWeb(stage, { graceful: true })).toEqual([
      'serve web/0 g4',
      'reload-served web g4',
      'drain web/0 g3 (reload, no deadline)',
      'drain web/0 g1 (reload, 0 ms)',
    ])
    expect(stage.after(1_999)).toEqual([])
    expect(stage.after(1)).toEqual(['kill web/0 g1'])
    expect(stage.exit(eldest, null, 'SIGKILL')).toEqual(['lead web/0 g4', 'answer 1 done'])
  })

  it('one that has just begun is not cut in favour of failed successors that will not go', () => {
    const stage = Stage.started(spec('web', { bakeMs: 0, count: 1 }))
    const [old] = stage.children() as [Child]
    for (let attempt = 0; attempt < 2; attempt++) {
      stage.reload()
      const hanging = stage.child('web')
      stage.prepare(hanging)
      stage.crash(hanging, 'bad')
      stage.after(200)
    }
    expect(old.state).toBe('serving')
    stage.bringUp(stage.child('web'))
    expect(old.state).toBe('draining')
    expect(old.deadlineAt).toBe(stage.now + 25_000 + 2_000)
  })

  it('one that is killed and does not go is killed again, and nothing else', () => {
    const stage = Stage.started(spec('web', { bakeMs: 0, stopTimeoutMs: 0 }))
    reloadWeb(stage)
    expect(stage.after(2_000)).toEqual(['kill web/0 g1'])
    expect(stage.after(6_000)).toEqual(['kill web/0 g1', 'kill web/0 g1', 'kill web/0 g1'])
  })
})

describe('a child that is not wanted any more', () => {
  it('and never served has two seconds, however long the deadline of the group is', () => {
    const stage = Stage.started(spec('web', { bakeMs: 500 }), spec('jobs', { startTimeoutMs: 100 }))
    stage.reload()
    stage.prepare(stage.child('web'))
    expect(stage.after(100)).toEqual(['kill jobs/0 g2', 'drain web/0 g2 (cancelled, 2000 ms)'])
  })

  it('and was already told to serve may have connections: it has the deadline of the group', () => {
    const stage = Stage.started(spec('web', { count: 2, bakeMs: 0, startTimeoutMs: 5_000 }))
    stage.reload()
    stage.bringUp(stage.child('web', 0))
    stage.prepare(stage.child('web', 1))
    stage.exit(stage.child('web', 0), 1)
    stage.after(100)
    expect(stage.exit(stage.child('web', 0), 1)).toEqual(['drain web/1 g2 (cancelled, 25000 ms)'])
  })
})

describe('a failing child', () => {
  it('gives its slot free at once, and is killed when it does not leave', () => {
    const stage = Stage.started(spec('web'))
    stage.after(60_000)
    stage.crash(stage.child('web'))
    expect(stage.after(100)).toEqual(['spawn web/0 g1'])
    expect(stage.states('web', 0)).toEqual(['draining g1', 'starting g1'])
    stage.bringUp(stage.child('web'))
    expect(stage.after(3_899)).toEqual([])
    expect(stage.after(1)).toEqual(['kill web/0 g1'])
  })
})

describe('the leader', () => {
  it('keeps leading as long as it serves, also when slot 0 is back', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    stage.exit(stage.child('web', 0), 1)
    expect(stage.done.at(-1)).toMatchObject({ do: 'lead', child: { id: 1 } })
    stage.after(100)
    expect(stage.bringUp(stage.child('web', 0))).toEqual(['serve web/0 g1'])
  })

  it('is followed only when it has said that it resigned', () => {
    const stage = Stage.started(spec('web', { bakeMs: 0 }))
    const [old] = stage.children() as [Child]
    expect(reloadWeb(stage)).not.toContain('lead web/0 g2')
    expect(stage.after(1_000)).toEqual([])
    expect(stage.send({ type: 'resigned', key: old.key })).toEqual(['lead web/0 g2'])
    expect(stage.exit(old)).toEqual(['answer 1 done'])
  })

  it('that dies without a word is followed when it is dead', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    expect(stage.exit(stage.child('web', 0), null, 'SIGKILL')).toEqual(['lead web/1 g1'])
  })

  it('that crashes and does not resign is followed only when it is gone', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    const leader = stage.child('web', 0)
    expect(stage.crash(leader)).toEqual([])
    expect(stage.after(4_000)).toEqual(['spawn web/0 g1', 'kill web/0 g1'])
    expect(stage.exit(leader, null, 'SIGKILL')).toEqual(['lead web/1 g1'])
  })
})
