/** Workers that answer nothing: found, shown, replaced, killed; and all who are silent for another reason. */
import { expect, it } from 'vitest'
import { beatPeriodMs, sleepMs } from '../../../../src/master/policy/hang.ts'
import { nextWakeAt, reconcile } from '../../../../src/master/policy/reconcile.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

function beat(stage: Stage, id = 0, stopped = false): string[] {
  const { key } = stage.child('web', id)
  return stage.send({ type: 'beat', asked: [key], stopped: stopped ? [key] : [] })
}

function alive(stage: Stage, isDebugged = false): string[] {
  const [eldest] = stage.children()
  return eldest ? stage.send({ type: 'alive', key: eldest.key, isDebugged }) : []
}

it('is hung when it has not answered for hangTimeoutMs, and not a moment before', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 5_000 }))
  beat(stage)
  expect(stage.after(4_999)).toEqual([])
  expect(stage.after(1)).toEqual(['hung web/0 g1'])
  expect(stage.states('web', 0)).toEqual(['hung g1'])
  expect(stage.slot('web')).toMatchObject({ restarts: 1, failures: 1 })
  expect(stage.slot('web').lastFailure?.message).toBe(
    'hung: its event loop has not answered for 5000 ms (hangTimeoutMs)',
  )
})

it('gets its successor while it may still come back, and is killed a second later', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 5_000 }))
  const hung = stage.child('web')
  beat(stage)
  expect(stage.after(5_100)).toEqual(['hung web/0 g1', 'spawn web/0 g1'])
  expect(stage.after(900)).toEqual(['kill web/0 g1'])
  // its end is counted once
  stage.exit(hung, null, 'SIGKILL')
  expect(stage.slot('web')).toMatchObject({ restarts: 1, failures: 1 })
  expect(stage.slot('web').lastExit?.reason).toContain('hangTimeoutMs')
})

it('finishes what others wait for when it comes back in time', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 5_000 }))
  beat(stage)
  stage.after(5_100)
  expect(alive(stage)).toEqual(['drain web/0 g1 (hang, 25000 ms)'])
  expect(stage.after(2_000)).toEqual([])
  expect(stage.states('web', 0)).toEqual(['draining g1', 'starting g1'])
})

it('counts from the question that has no answer, however often it is asked', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 5_000 }))
  beat(stage)
  for (let second = 0; second < 4; second++) {
    stage.after(1_000)
    beat(stage)
  }
  expect(stage.after(1_000)).toEqual(['hung web/0 g1'])
})

it('an answer in time ends the silence', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 5_000 }))
  beat(stage)
  stage.after(4_000)
  alive(stage)
  expect(stage.after(3_600_000)).toEqual([])
})

it('a process that is stopped, or held by a debugger, is left alone', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 2_000 }))
  for (let second = 0; second < 60; second++) {
    expect([...beat(stage, 0, true), ...stage.after(1_000)]).toEqual([])
  }
  alive(stage, true)
  for (let second = 0; second < 60; second++) expect([...beat(stage), ...stage.after(1_000)]).toEqual([])
})

it('while the master itself slept nobody was late: neither one who owes an answer nor one who starts', () => {
  const stage = Stage.started(spec('web', { count: 2, hangTimeoutMs: 2_000, startTimeoutMs: 3_000 }))
  stage.exit(stage.child('web', 1), 1)
  stage.after(100)
  beat(stage)
  stage.now += 60_000
  expect(stage.send({ type: 'slept', ms: 60_000 })).toEqual([])
  expect(stage.after(1_999)).toEqual([])
  expect(stage.after(1)).toEqual(['hung web/0 g1'])
  expect(stage.after(1_000)).toEqual(['spawn web/0 g1', 'kill web/0 g1', 'kill web/1 g1'])
})

it('a master that did not run for half of a short limit calls nobody hung for it, and moves no deadline', () => {
  const stage = Stage.started(spec('web', { count: 2, hangTimeoutMs: 400, startTimeoutMs: 1_000 }))
  expect(sleepMs(stage.fleet)).toBe(200)
  stage.exit(stage.child('web', 1), 1)
  stage.after(100)
  beat(stage)
  stage.now += 450
  expect(stage.send({ type: 'slept', ms: 440 })).toEqual([])
  expect(stage.after(399)).toEqual([])
  expect(stage.after(1)).toEqual(['hung web/0 g1'])
  expect(stage.after(149)).not.toContain('kill web/1 g1')
  expect(stage.after(1)).toContain('kill web/1 g1')
})

it('one that drains without a deadline is killed when it hangs; with a deadline that one counts', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 2_000 }))
  stage.stop({ graceful: true })
  beat(stage)
  expect(stage.after(2_000)).toEqual(['kill web/0 g1'])
})

it('a stop waits for a hung one no longer than it may live', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 2_000 }))
  const hung = stage.child('web')
  beat(stage)
  stage.after(2_000)
  expect(stage.stop()).toEqual([])
  expect(stage.after(1_000)).toEqual(['kill web/0 g1'])
  expect(stage.exit(hung, null, 'SIGKILL')).toContain('stopped')
})

it('the next leader comes when the hung one is gone, not before: it cannot resign', () => {
  const stage = Stage.started(spec('web', { count: 2, hangTimeoutMs: 2_000 }))
  const hung = stage.child('web')
  beat(stage)
  expect(stage.after(2_999)).not.toContain('lead web/1 g1')
  stage.after(1)
  expect(stage.exit(hung, null, 'SIGKILL')).toContain('lead web/1 g1')
})

it('asks ten times within the shortest limit, at most every 100 ms and at least each second, or never', () => {
  const period = (...limits: number[]): number | null =>
    beatPeriodMs(Stage.started(...limits.map((hangTimeoutMs, id) => spec(`w${id}`, { hangTimeoutMs }))).fleet)
  expect(period(10_000)).toBe(1_000)
  expect(period(3_000, 60_000)).toBe(300)
  expect(period(50)).toBe(100)
  expect(period(0, 0)).toBeNull()
})

it('is not judged by a time at which its answer may lie unread', () => {
  const stage = Stage.started(spec('web', { hangTimeoutMs: 2_000 }))
  beat(stage)
  const askedAt = stage.now
  const late = askedAt + 7_000
  expect(reconcile(stage.fleet, late, askedAt + 1_999)).toEqual([])
  expect(nextWakeAt(stage.fleet, late)).toBe(late)
  stage.now = late
  alive(stage)
  expect(reconcile(stage.fleet, late, late)).toEqual([])
})

it('nor is a start', () => {
  const stage = new Stage([spec('web', { startTimeoutMs: 2_000 })])
  stage.run()
  const forkedAt = stage.now
  stage.now += 7_000
  expect(reconcile(stage.fleet, stage.now, forkedAt + 1_999)).toEqual([])
  expect(nextWakeAt(stage.fleet, stage.now)).toBe(stage.now)
  expect(reconcile(stage.fleet, stage.now, forkedAt + 2_000)).toContainEqual(expect.objectContaining({ do: 'kill' }))
})
