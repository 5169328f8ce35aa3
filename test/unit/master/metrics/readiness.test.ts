/** When a load balancer may send traffic, and what it is told when it may not. */
import { describe, expect, it } from 'vitest'
import { type Readiness, readinessOf } from '../../../../src/master/metrics/readiness.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const readiness = (stage: Stage, stopped: readonly number[] = []): Readiness =>
  readinessOf(stage.fleet, (pid) => stopped.includes(pid))
const no = (text: string): unknown => ({ isReady: false, text })
const YES = { isReady: true, text: 'ready' }

describe('the fleet', () => {
  it('is ready when the first start is over, and says until then whom it waits for', () => {
    const stage = new Stage([spec('web', { count: 2 }), spec('jobs')])
    expect(readiness(stage)).toEqual(no('starting, web serves with 0 of 2, jobs serves with 0 of 1'))
    stage.run()
    stage.bringUp(stage.child('web', 1))
    stage.bringUp(stage.child('jobs'))
    expect(readiness(stage)).toEqual(no('starting, web serves with 1 of 2'))
    stage.prepare(stage.child('web', 0))
    expect(readiness(stage).isReady).toBe(false)
    stage.serve(stage.child('web', 0))
    expect(readiness(stage)).toEqual(YES)
  })

  it('stays ready in a reload, and with one worker of a group left', () => {
    const stage = Stage.started(spec('web', { count: 2, bakeMs: 0 }))
    stage.reload()
    stage.bringUp(stage.child('web', 0))
    expect(stage.states('web', 0)).toEqual(['draining g1', 'serving g2'])
    expect(readiness(stage)).toEqual(YES)
    stage.exit(stage.child('web', 1), null, 'SIGKILL')
    expect(readiness(stage)).toEqual(YES)
  })

  it('is not ready while no worker of a group serves, and names the group', () => {
    const stage = Stage.started(spec('web', { count: 2 }), spec('jobs'), spec('api'))
    for (const child of stage.children()) if (child.name === 'web') stage.exit(child, 1)
    expect(readiness(stage)).toEqual(no('no worker serves: web'))
    stage.crash(stage.child('api'))
    expect(readiness(stage)).toEqual(no('no worker serves: web, api'))
    stage.after(200)
    stage.bringUp(stage.child('web', 0))
    stage.bringUp(stage.child('api'))
    expect(readiness(stage)).toEqual(YES)
  })

  it('is not ready from the moment that a stop was asked, though its workers serve on', () => {
    const stage = Stage.started(spec('web', { stopDelayMs: 5_000 }))
    stage.stop()
    expect(stage.states('web', 0)).toEqual(['serving g1'])
    expect(readiness(stage)).toEqual(no('stopping'))
    stage.after(5_000)
    stage.leave(stage.child('web'))
    expect(stage.fleet.phase).toBe('stopped')
    expect(readiness(stage)).toEqual(no('stopping'))
  })

  it('is not ready when its first start was given up', () => {
    const stage = new Stage([spec('web'), spec('jobs')])
    stage.run()
    stage.bringUp(stage.child('jobs'))
    stage.fail(stage.child('web'))
    stage.after(1_000)
    stage.fail(stage.child('web'))
    expect(readiness(stage)).toEqual(no('stopping'))
  })
  it('is not ready while all workers of a group are stopped by a signal, and is with one that runs', () => {
    const stage = Stage.started(spec('web', { count: 2 }), spec('jobs'))
    const [first = 0, second = 0] = [0, 1].map((id) => stage.child('web', id).pid)
    expect(readiness(stage, [first])).toEqual(YES)
    expect(readiness(stage, [first, second])).toEqual(no('no worker serves: web'))
    expect(readiness(stage)).toEqual(YES)
  })
})
