/** Groups that come after others: at start, in a reload, at a stop, and in a crash. */
import { expect, it } from 'vitest'
import type { Child } from '../../../../src/master/policy/fleet.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const WEB = { ...spec('web', { bakeMs: 0 }), after: ['db'] }
const DB = spec('db', { count: 2, bakeMs: 0 })

/** Started in its order. */
function started(): Stage {
  const stage = new Stage([WEB, DB])
  stage.run()
  for (const id of [0, 1]) stage.bringUp(stage.child('db', id))
  stage.bringUp(stage.child('web'))
  expect(stage.fleet.phase).toBe('running')
  return stage
}

function old(stage: Stage, name: string, id: number): Child {
  const child = stage.children().find((one) => one.name === name && one.id === id && one.state === 'draining')
  if (!child) throw new Error(`nobody drains in ${name}/${id}`)
  return child
}

it('at start a group waits until every worker of the one before it serves', () => {
  const stage = new Stage([WEB, DB])
  expect(stage.run()).toEqual(['spawn db/0 g1', 'spawn db/1 g1'])
  expect(stage.bringUp(stage.child('db', 0))).toEqual(['serve db/0 g1', 'lead db/0 g1'])
  expect(stage.bringUp(stage.child('db', 1))).toEqual(['serve db/1 g1', 'spawn web/0 g1'])
  expect(stage.bringUp(stage.child('web'))).toContain('started')
})

it('a start whose first group fails never starts the second', () => {
  const stage = new Stage([WEB, DB])
  stage.run()
  stage.fail(stage.child('db', 0))
  stage.after(100)
  expect(stage.fail(stage.child('db', 0))).toContain('start-failed')
  expect(stage.children().filter((child) => child.name === 'web')).toEqual([])
})

it('in a reload the canaries of both prove themselves, then all of the first serves before the second does', () => {
  const stage = started()
  expect(stage.reload()).toEqual(['reload-began web+db', 'spawn web/0 g2', 'spawn db/0 g2'])
  expect(stage.prepare(stage.child('web'))).toEqual([])
  expect(stage.prepare(stage.child('db', 0))).toEqual(['serve db/0 g2'])
  expect(stage.serve(stage.child('db', 0))).toEqual(['drain db/0 g1 (reload, 25000 ms)', 'spawn db/1 g2'])
  expect(stage.prepare(stage.child('db', 1))).toEqual(['serve db/1 g2'])
  expect(stage.states('web', 0)).toEqual(['serving g1', 'prepared g2'])
  expect(stage.serve(stage.child('db', 1))).toEqual(['serve web/0 g2', 'drain db/1 g1 (reload, 25000 ms)'])
  expect(stage.serve(stage.child('web'))).toContain('drain web/0 g1 (reload, 25000 ms)')
  for (const [name, id] of [
    ['db', 0],
    ['db', 1],
    ['web', 0],
  ] as const)
    stage.leave(old(stage, name, id))
  expect(stage.answer()).toMatchObject({ result: 'done' })
})

it('a reload of the second alone waits for nobody', () => {
  const stage = started()
  stage.reload(['web'])
  expect(stage.prepare(stage.child('web'))).toEqual(['serve web/0 g2'])
})

it('when the first stops halfway, the second is not touched', () => {
  const stage = started()
  stage.reload()
  stage.prepare(stage.child('web'))
  stage.prepare(stage.child('db', 0))
  stage.serve(stage.child('db', 0))
  stage.fail(stage.child('db', 1))
  stage.after(100)
  expect(stage.fail(stage.child('db', 1))).toContain('drain web/0 g2 (cancelled, 2000 ms)')
  stage.leave(stage.child('web'))
  stage.leave(old(stage, 'db', 0))
  expect(stage.answer()).toMatchObject({ result: 'mixed' })
  expect([stage.states('web', 0), stage.states('db', 0), stage.states('db', 1)]).toEqual([
    ['serving g1'],
    ['serving g2'],
    ['serving g1'],
  ])
})

it('at a stop the second leaves first; the first keeps its listener and serves until the last of it is gone', () => {
  const web = { ...spec('web', {}, 'http://127.0.0.1:8001'), after: ['db'] }
  const db = spec('db', {}, 'http://127.0.0.1:8002')
  const stage = new Stage([web, db])
  stage.run()
  for (const name of ['db', 'web']) stage.bringUp(stage.child(name))
  expect(stage.stop()).toEqual(['drain web/0 g1 (stop, 25000 ms)', 'close-listener tcp:127.0.0.1:8001'])
  expect(stage.after(20_000)).toEqual([])
  expect(stage.leave(stage.child('web'))).toEqual([
    'drain db/0 g1 (stop, 25000 ms)',
    'close-listener tcp:127.0.0.1:8002',
  ])
  expect(stage.leave(stage.child('db'))).toEqual(['stopped'])
})

it('a stop with force, or one that brings the deadline to zero, does not wait for an order that cannot be kept', () => {
  const stage = started()
  stage.stop()
  expect(stage.stop({ force: true })).toEqual(['kill web/0 g1', 'kill db/0 g1', 'kill db/1 g1'])
  const other = started()
  other.stop({ timeoutMs: 0 })
  expect(other.after(2_000)).toEqual(['kill web/0 g1'])
  other.exit(other.child('web'), null, 'SIGKILL')
  for (const id of [0, 1]) other.leave(other.child('db', id))
  expect(other.fleet.phase).toBe('stopped')
})

it('a crash of the first restarts it alone', () => {
  const stage = started()
  stage.exit(stage.child('db', 0), 1)
  expect(stage.after(100)).toEqual(['spawn db/0 g1'])
  expect(stage.states('web', 0)).toEqual(['serving g1'])
})

it('a crash of the second does not wait for the first to be whole', () => {
  const stage = started()
  stage.exit(stage.child('db', 0), 1)
  stage.exit(stage.child('web'), 1)
  expect(stage.after(100)).toEqual(['spawn web/0 g1', 'spawn db/0 g1'])
})
