/** The first start: it serves in every slot, or it is given up with the worker's own error. */
import { expect, it } from 'vitest'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

it('starts all slots at once, lets each serve when it is prepared, and has started when the last one serves', () => {
  const stage = new Stage([spec('web', { count: 2 }), spec('jobs')])
  expect(stage.run()).toEqual(['spawn web/0 g1', 'spawn web/1 g1', 'spawn jobs/0 g1'])
  expect(stage.prepare(stage.child('web', 1))).toEqual(['serve web/1 g1'])
  expect(stage.serve(stage.child('web', 1))).toEqual(['lead web/1 g1'])
  expect(stage.bringUp(stage.child('web', 0))).toEqual(['serve web/0 g1'])
  expect(stage.bringUp(stage.child('jobs'))).toEqual(['serve jobs/0 g1', 'started', 'lead jobs/0 g1'])
  expect(stage.fleet.phase).toBe('running')
})

it('tries a slot that fails once more, after its backoff', () => {
  const stage = new Stage([spec('web')])
  stage.run()
  expect(stage.fail(stage.child('web'))).toEqual([])
  expect(stage.after(99)).toEqual([])
  expect(stage.after(1)).toEqual(['spawn web/0 g1'])
  expect(stage.bringUp(stage.child('web'))).toContain('started')
})

it("is given up when a slot fails twice, with that worker's own error and last lines, and ends the others", () => {
  const stage = new Stage([spec('web'), spec('jobs')])
  stage.run()
  stage.bringUp(stage.child('web'))
  stage.fail(stage.child('jobs'), 'no database', 'connecting…')
  stage.after(100)
  expect(stage.fail(stage.child('jobs'), 'still no database', 'connecting again…')).toEqual([
    'start-failed',
    'drain web/0 g1 (stop, 25000 ms)',
  ])
  expect(stage.fleet.startFailure).toEqual({
    worker: 'jobs/0',
    message: 'still no database',
    stack: 'Error: still no database\n    at start.js:1',
    output: 'connecting again…',
  })
  expect(stage.leave(stage.child('web'))).toEqual(['stopped'])
})

it('is given up at the first deadline: trying again would wait for it again', () => {
  const stage = new Stage([spec('web', { startTimeoutMs: 5_000 })])
  stage.run()
  expect(stage.after(4_999)).toEqual([])
  expect(stage.after(1)).toEqual(['kill web/0 g1', 'start-failed'])
  expect(stage.fleet.startFailure?.message).toBe(
    'not ready 5000 ms after its start (startTimeoutMs): the start file was not read to its end, runAll()',
  )
  expect(stage.exit(stage.child('web'), null, 'SIGKILL')).toEqual(['stopped'])
})

it.each([
  [{}, 'onWorkerStart has not settled'],
  [{ healthCheck: () => true }, 'onWorkerStart or the health check has not settled'],
])('says where one that is late is, as far as it has said it', (changes, what) => {
  const stage = new Stage([spec('web', { startTimeoutMs: 5_000, ...changes })])
  stage.run()
  stage.load(stage.child('web'))
  stage.after(5_000)
  expect(stage.fleet.startFailure?.message).toBe(
    `not ready 5000 ms after its start (startTimeoutMs): the start file was read, ${what}`,
  )
})

it('is given up when a worker is told to listen and does not', () => {
  const stage = new Stage([spec('web', { startTimeoutMs: 5_000 })])
  stage.run()
  stage.after(4_000)
  stage.prepare(stage.child('web'))
  expect(stage.after(4_999)).toEqual([])
  expect(stage.after(1)).toEqual(['kill web/0 g1', 'start-failed'])
  expect(stage.fleet.startFailure?.message).toBe('did not listen within 5000 ms (startTimeoutMs)')
})

it.each([
  ['exits at once', 0, null, 'the process exited with code 0 before it served'],
  ['exits with an error', 3, null, 'the process exited with code 3 before it served'],
  ['is killed', null, 'SIGSEGV', 'the process was ended by SIGSEGV before it served'],
] as const)('says what became of a worker that %s', (_, code, signal, message) => {
  const stage = new Stage([spec('web')])
  stage.run()
  stage.exit(stage.child('web'), code, signal)
  stage.after(100)
  stage.exit(stage.child('web'), code, signal)
  expect(stage.fleet.startFailure?.message).toBe(message)
})

it('says so when a process could not even be forked', () => {
  const stage = new Stage([spec('web')])
  for (let attempt = 0; attempt < 2; attempt++) {
    stage.run()
    stage.child('web').pid = 0
    stage.exit(stage.child('web'), null)
    stage.after(100)
  }
  expect(stage.fleet.startFailure?.message).toBe('the process could not be started')
})

it('a reload that is asked meanwhile begins right after the start', () => {
  const stage = new Stage([spec('web')])
  stage.run()
  expect(stage.reload()).toEqual([])
  expect(stage.bringUp(stage.child('web'))).toEqual([
    'serve web/0 g1',
    'started',
    'reload-began web',
    'spawn web/0 g2',
    'lead web/0 g1',
  ])
})

it('a reload that is asked meanwhile is cancelled when the start is given up', () => {
  const stage = new Stage([spec('web', { startTimeoutMs: 1_000 })])
  stage.run()
  stage.reload()
  expect(stage.after(1_000)).toContain('answer 1 cancelled')
})
