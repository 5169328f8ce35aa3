/** The command that must succeed before a reload, as policy. */
import { expect, it } from 'vitest'
import { checkSettings } from '../../../../src/spec/settings.ts'
import { CONDITIONS, spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const FAILED = { failure: { message: 'exited with code 1', stack: '' }, output: 'TS2322' }
const PASSED = { failure: null, output: '' }

function started(): Stage {
  const settings = checkSettings({ preReload: 'make' })
  const stage = new Stage([spec('web', { count: 2, bakeMs: 0 })], { ...CONDITIONS, settings })
  stage.run()
  for (const child of stage.children()) stage.bringUp(child)
  return stage
}

it('nothing is started before it has succeeded', () => {
  const stage = started()
  expect(stage.reload()).toEqual(['reload-began web', 'open-gate'])
  expect(stage.after(3_600_000)).toEqual([])
  expect(stage.gate(PASSED)).toEqual(['spawn web/0 g2'])
})

it('when it fails the reload is rejected with its last lines, and nothing was touched', () => {
  const stage = started()
  stage.reload()
  expect(stage.gate(FAILED)).toEqual(['answer 1 rejected'])
  expect(stage.answer().error).toMatchObject({ worker: 'preReload', message: 'exited with code 1', output: 'TS2322' })
  expect(stage.children().map((child) => child.state)).toEqual(['serving', 'serving'])
})

it('runs once for all that wait, and again for those that come while it runs', () => {
  const stage = started()
  stage.reload()
  stage.reload()
  stage.reload()
  expect(stage.gate(FAILED)).toEqual(['reload-began web', 'open-gate', 'answer 1 rejected'])
  expect(stage.gate(FAILED)).toEqual(['answer 2+3 rejected'])
})

it('does not run when a file has changed; it does when a command waits with it', () => {
  const stage = started()
  expect(stage.reload(null, { isWatch: true })).toEqual(['reload-began web', 'spawn web/0 g2'])
  stage.reload(null, { isWatch: true })
  stage.reload()
  stage.fail(stage.child('web'))
  stage.after(200)
  expect(stage.fail(stage.child('web'))).toContain('open-gate')
})

it('a crash meanwhile is made good by what the slot ran', () => {
  const stage = started()
  stage.reload()
  stage.exit(stage.child('web', 1), 1)
  expect(stage.after(200)).toEqual(['spawn web/1 g1'])
})

it('a stop ends it, and its end says nothing to anybody any more', () => {
  const stage = started()
  stage.reload()
  const key = stage.fleet.reload?.key ?? 0
  const done = stage.stop()
  expect(done).toContain('end-gate')
  expect(done).toContain('answer 1 cancelled')
  expect(stage.send({ type: 'gate', reload: key, ...FAILED })).toEqual([])
  for (const child of stage.children()) stage.leave(child)
  expect(stage.fleet.phase).toBe('stopped')
})
