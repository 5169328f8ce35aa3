/** A stop, event by event: who drains when, until when, and what else is told. */
import { describe, expect, it } from 'vitest'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

describe('a stop', () => {
  it('tells everyone to leave, closes the listeners, and is over when the last one has left', () => {
    const stage = Stage.started(spec('web', { count: 2 }), spec('jobs', { stopTimeoutMs: 500 }))
    expect(stage.stop()).toEqual([
      'drain web/0 g1 (stop, 25000 ms)',
      'drain web/1 g1 (stop, 25000 ms)',
      'drain jobs/0 g1 (stop, 500 ms)',
    ])
    for (const child of stage.children().slice(1)) expect(stage.leave(child)).toEqual([])
    expect(stage.leave(stage.child('web', 0))).toEqual(['stopped'])
    expect(stage.run()).toEqual([])
  })

  it('lets idle connections stay for a second only', () => {
    const stage = Stage.started(spec('web'))
    stage.stop()
    expect(stage.done.at(-1)).toMatchObject({ do: 'drain', lingerMs: 1_000 })
  })

  it('kills who has not left two seconds after the cut', () => {
    const stage = Stage.started(spec('web', { stopTimeoutMs: 3_000 }))
    stage.stop()
    expect(stage.after(4_999)).toEqual([])
    expect(stage.after(1)).toEqual(['kill web/0 g1'])
    expect(stage.exit(stage.child('web'), null, 'SIGKILL')).toEqual(['stopped'])
  })

  it('with a time of its own replaces that of every group', () => {
    const stage = Stage.started(spec('web'), spec('jobs', { stopTimeoutMs: 1 }))
    expect(stage.stop({ timeoutMs: 4_000 }).filter((text) => text.startsWith('drain'))).toEqual([
      'drain web/0 g1 (stop, 4000 ms)',
      'drain jobs/0 g1 (stop, 4000 ms)',
    ])
  })

  it('that is graceful waits for ever', () => {
    const stage = Stage.started(spec('web', { stopTimeoutMs: 10 }))
    expect(stage.stop({ graceful: true })).toContain('drain web/0 g1 (stop, no deadline)')
    expect(stage.after(7 * 24 * 3_600_000)).toEqual([])
    expect(stage.leave(stage.child('web'))).toEqual(['stopped'])
  })

  it('by force kills at once, also who drains already', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    stage.stop({ graceful: true })
    stage.after(600)
    expect(stage.stop({ force: true })).toEqual(['kill web/0 g1', 'kill web/1 g1'])
    for (const child of stage.children()) stage.exit(child, null, 'SIGKILL')
    expect(stage.fleet.phase).toBe('stopped')
  })

  it('starts nobody again', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    stage.stop({ graceful: true })
    stage.exit(stage.child('web', 0), 1)
    expect(stage.after(60_000)).toEqual([])
  })

  it('lets a worker that has not served yet go at once', () => {
    const stage = Stage.started(spec('web', { bakeMs: 500 }))
    stage.reload()
    stage.prepare(stage.child('web'))
    expect(stage.stop()).toContain('drain web/0 g2 (stop, 2000 ms)')
  })
})

describe('stopDelayMs', () => {
  it('keeps a group serving, with its listener, while the others leave', () => {
    const stage = Stage.started(spec('web', { stopDelayMs: 5_000 }), spec('jobs'))
    expect(stage.stop()).toEqual(['drain jobs/0 g1 (stop, 25000 ms)'])
    stage.leave(stage.child('jobs'))
    expect(stage.after(4_999)).toEqual([])
    expect(stage.child('web').state).toBe('serving')
    expect(stage.after(1)).toEqual(['drain web/0 g1 (stop, 25000 ms)'])
  })

  it('is not waited for by a successor, nor by force', () => {
    const stage = Stage.started(spec('web', { stopDelayMs: 5_000, bakeMs: 100 }))
    stage.reload()
    expect(stage.stop()).toEqual(['drain web/0 g2 (stop, 2000 ms)', 'answer 1 cancelled'])
    expect(stage.stop({ force: true })).toEqual(['kill web/0 g1', 'kill web/0 g2'])
  })

  it('is not begun again by a second stop', () => {
    const stage = Stage.started(spec('web', { stopDelayMs: 5_000 }))
    stage.stop()
    stage.after(3_000)
    stage.stop({ timeoutMs: 1_000 })
    expect(stage.after(2_000)).toContain('drain web/0 g1 (stop, 1000 ms)')
  })
})

describe('a second stop', () => {
  it('brings the deadline nearer when it names one', () => {
    const stage = Stage.started(spec('web'))
    stage.stop()
    stage.after(1_000)
    expect(stage.stop({ timeoutMs: 500 })).toEqual(['drain web/0 g1 (stop, 500 ms)'])
    expect(stage.after(2_500)).toEqual(['kill web/0 g1'])
  })

  it('sets the deadline of the group after a graceful one', () => {
    const stage = Stage.started(spec('web', { stopTimeoutMs: 700 }))
    stage.stop({ graceful: true })
    stage.after(60_000)
    expect(stage.stop()).toEqual(['drain web/0 g1 (stop, 700 ms)'])
  })

  it('never puts a deadline off', () => {
    const stage = Stage.started(spec('web', { stopTimeoutMs: 700 }))
    stage.stop()
    stage.after(500)
    expect(stage.stop()).toEqual([])
    expect(stage.stop({ timeoutMs: 60_000 })).toEqual([])
    expect(stage.stop({ graceful: true })).toEqual([])
    expect(stage.after(2_200)).toEqual(['kill web/0 g1'])
  })

  it('after the end does nothing', () => {
    const stage = Stage.started(spec('web'))
    stage.stop()
    stage.leave(stage.child('web'))
    expect(stage.stop({ force: true })).toEqual([])
    expect(stage.fleet.phase).toBe('stopped')
  })
})

describe('a stop and reloads', () => {
  it('cancels the one under way and those that wait, each with its own answer', () => {
    const stage = Stage.started(spec('web', { bakeMs: 100 }))
    stage.reload()
    stage.reload()
    stage.reload()
    const texts = stage.stop().filter((text) => text.startsWith('answer'))
    expect(texts.sort()).toEqual(['answer 1 cancelled', 'answer 2+3 cancelled'])
  })

  it('answers one that only waited for old workers with what it did, before the end is told', () => {
    const stage = Stage.started(spec('web', { bakeMs: 0 }))
    const [old] = stage.children()
    stage.reload(null, { graceful: true })
    stage.bringUp(stage.child('web'))
    expect(stage.stop()).toEqual(['drain web/0 g1 (stop, 25000 ms)', 'drain web/0 g2 (stop, 25000 ms)'])
    stage.leave(stage.child('web'))
    if (old) expect(stage.leave(old)).toEqual(['answer 1 done', 'stopped'])
    expect(stage.answer().replaced).toMatchObject([{ oldPid: 101, newPid: 102 }])
  })

  it('cuts what drains after a reload no later than that reload would have', () => {
    const stage = Stage.started(spec('web', { bakeMs: 0 }))
    stage.reload(null, { timeoutMs: 1_000 })
    stage.bringUp(stage.child('web'))
    stage.after(400)
    expect(stage.stop()).toContain('drain web/0 g1 (stop, 600 ms)')
  })

  it('one that is asked during or after the stop is cancelled', () => {
    const stage = Stage.started(spec('web'))
    stage.stop()
    expect(stage.reload()).toEqual(['answer 1 cancelled'])
    stage.leave(stage.child('web'))
    expect(stage.reload()).toEqual(['answer 2 cancelled'])
  })
})
