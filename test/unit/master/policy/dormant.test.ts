/** A first start that fails and waits for a change: nothing runs until a reload brings all of it up. */
import { expect, it } from 'vitest'
import { CONDITIONS, spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const SPECS = [{ ...spec('web', { count: 2, bakeMs: 1_000 }), after: ['db'] }, spec('db', { reloadable: false })]

/** The first start has failed, by web. */
function dormant(specs = SPECS): Stage {
  const stage = new Stage(specs, { ...CONDITIONS, waitsForChange: true })
  stage.run()
  stage.bringUp(stage.child('db'))
  stage.fail(stage.child('web'), 'not yet')
  stage.after(100)
  stage.fail(stage.child('web'), 'not yet')
  for (const child of stage.children()) stage.leave(child)
  return stage
}

it('ends what it has started, and tries nothing by itself', () => {
  const stage = dormant()
  expect(stage.done.map((action) => action.do)).toContain('start-failed')
  expect(stage.fleet).toMatchObject({ phase: 'running', isDormant: true, startFailure: { message: 'not yet' } })
  expect(stage.children()).toEqual([])
  expect(stage.after(24 * 3_600_000)).toEqual([])
})

it.each([[null], [['web']]])(
  'a reload of %j brings up everything, kept groups too, in order, and has started',
  (groups) => {
    const stage = dormant()
    expect(stage.reload(groups)).toEqual(['reload-began web+db', 'read-start-file'])
    expect(stage.read()).toEqual(['spawn db/0 g2'])
    expect(stage.bringUp(stage.child('db'))).toContain('spawn web/0 g2')
    // nothing serves that could be protected: no canary, no bake
    expect(stage.states('web', 1)).toEqual(['starting g2'])
    stage.bringUp(stage.child('web', 0))
    expect(stage.bringUp(stage.child('web', 1))).toContain('started')
    expect(stage.answer().result).toBe('done')
    expect(stage.fleet).toMatchObject({ isDormant: false, startFailure: null })
  },
)

it('what the start file says by then is what comes: other groups, numbers and addresses', () => {
  const stage = dormant()
  stage.file = [spec('web', { count: 1 }, 'http://127.0.0.1:8001'), spec('mail')]
  stage.reload()
  expect(stage.read()).toContain('bind tcp:127.0.0.1:8001')
  stage.send({ type: 'bound', listener: 'tcp:127.0.0.1:8001', failure: null, inUse: false })
  for (const child of stage.children()) stage.bringUp(child)
  expect(stage.done.map((action) => action.do)).toContain('started')
  expect([...stage.fleet.groups.values()].map((group) => [group.name, group.count])).toEqual([
    ['web', 1],
    ['mail', 1],
  ])
})

it('a reload that fails again has failed, not been rejected: no old code serves; its reason is the one that is kept', () => {
  const stage = dormant()
  stage.reload()
  stage.read()
  stage.bringUp(stage.child('db'))
  stage.fail(stage.child('web'), 'still not')
  stage.after(100)
  stage.fail(stage.child('web'), 'still not')
  for (const child of stage.children()) stage.leave(child)
  expect(stage.answer()).toMatchObject({ result: 'failed', replaced: [], error: { message: 'still not' } })
  expect(stage.fleet).toMatchObject({ isDormant: true, startFailure: { message: 'still not' } })
  expect(stage.after(24 * 3_600_000)).toEqual([])
})

it('a start file that cannot be read, and an address that somebody has, fail it the same way', () => {
  const stage = dormant()
  stage.reload()
  const failure = { message: 'SyntaxError', stack: 'SyntaxError' }
  const reload = stage.fleet.reload?.key ?? 0
  expect(stage.send({ type: 'read', reload, reading: null, failure, output: '' })).toEqual(['answer 1 failed'])
  stage.file = [spec('web', {}, 'http://127.0.0.1:8001')]
  stage.reload()
  stage.read()
  const taken = { message: 'address already in use', stack: '' }
  stage.send({ type: 'bound', listener: 'tcp:127.0.0.1:8001', failure: taken, inUse: true })
  for (const child of stage.children()) stage.leave(child)
  expect(stage.answer()).toMatchObject({ result: 'failed', error: { message: 'address already in use' } })
  expect(stage.children()).toEqual([])
})

it('scaling what does not run fails, and says why', () => {
  const stage = dormant()
  expect(stage.scale([{ name: 'web', count: 4 }])).toEqual(['answer-scale 1 failed'])
  expect(stage.fleet.groups.get('web')?.count).toBe(2)
})

it('a stop ends it at once, and it has never served', () => {
  const stage = dormant()
  expect(stage.stop()).toContain('stopped')
  expect(stage.fleet.startFailure).not.toBeNull()
})

it('a stop while it is brought up ends what has been started', () => {
  const stage = dormant()
  stage.reload()
  stage.read()
  stage.bringUp(stage.child('db'))
  stage.stop()
  for (const child of stage.children()) stage.leave(child)
  expect(stage.fleet.phase).toBe('stopped')
  expect(stage.answer().result).toBe('cancelled')
})
