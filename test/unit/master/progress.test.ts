/** What whoever waits for an operation hears of each process. */
import { expect, it } from 'vitest'
import type { Progress } from '../../../src/ipc/messages.ts'
import type { Child } from '../../../src/master/policy/fleet.ts'
import { progressOf } from '../../../src/master/progress.ts'
import { spec } from '../specs.ts'
import { Stage } from '../stage.ts'

it('a successor that a failed reload takes back has not served, the one that it would have replaced has', () => {
  const stage = Stage.started(spec('web', { bakeMs: 0 }), spec('jobs', { bakeMs: 0 }))
  const [old] = stage.children().filter(({ name }) => name === 'jobs')
  stage.reload()
  const tried = stage.child('jobs')
  stage.prepare(tried)
  stage.fail(stage.child('web'))
  stage.after(1_000)
  stage.fail(stage.child('web'))
  expect([tried.state, tried.drainReason]).toEqual(['draining', 'cancelled'])
  const left = (child: Child | undefined): unknown =>
    child && (progressOf({ type: 'left', child, code: 0, signal: null }, stage.now) as Progress).hasServed
  expect(left(tried)).toBe(false)
  stage.stop()
  expect(left(old)).toBe(true)
})
