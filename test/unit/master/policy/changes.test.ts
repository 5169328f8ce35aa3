/** What a start file that has changed must not do: end a service, share a port, outlive its deadline, come late. */
import { describe, expect, it } from 'vitest'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const NOW = { bakeMs: 0 }

/** A reload of these groups up to its last successor, as far as the policy lets it. */
function roll(stage: Stage, ...names: string[]): void {
  for (const name of names) {
    const child = stage.child(name)
    if (child.state === 'starting') stage.prepare(child)
  }
  for (const name of names) if (stage.child(name).state === 'admitted') stage.serve(stage.child(name))
}

describe('a stop', () => {
  it('ends groups that were reloaded one by one into waiting for each other', () => {
    const stage = Stage.started(spec('a', NOW), { ...spec('b', NOW), after: ['a'] })
    stage.file = [{ ...spec('a', NOW), after: ['b'] }, spec('b', NOW)]
    stage.reload(['a'])
    roll(stage, 'a')
    expect(stage.fleet.groups.get('a')?.spec.after).toEqual(['b'])
    expect(stage.stop()).toContain('drain b/0 g1 (stop, 25000 ms)')
    expect(stage.children().filter((child) => child.drainReason === null)).toEqual([])
  })

  it('of groups in order sends away first who comes last', () => {
    const stage = Stage.started(spec('db'), { ...spec('web'), after: ['db'] })
    expect(stage.stop()).toEqual(['drain web/0 g1 (stop, 25000 ms)'])
    expect(stage.leave(stage.child('web'))).toEqual(['drain db/0 g1 (stop, 25000 ms)'])
    expect(stage.leave(stage.child('db'))).toEqual(['stopped'])
  })
})

describe('an address', () => {
  const [FIRST, SECOND, THIRD] = ['http://127.0.0.1:8001', 'http://127.0.0.1:8002', 'http://127.0.0.1:8003']

  it('that a kept group holds is given to nobody else, and that is said', () => {
    const stage = Stage.started(spec('web', NOW, FIRST), spec('gateway', { ...NOW, reloadable: false }, SECOND))
    stage.file = [spec('web', NOW, SECOND), spec('gateway', { ...NOW, reloadable: false }, THIRD)]
    stage.reload()
    roll(stage, 'web')
    stage.leave(stage.children().find((child) => child.generation === 1 && child.name === 'web') ?? stage.child('web'))
    expect(stage.fleet.groups.get('web')?.listener).toBe('tcp:127.0.0.1:8001')
    expect(stage.answer()).toMatchObject({ result: 'done', applied: [] })
    expect(stage.answer().needsRestart).toContain(`web: address ${FIRST} → ${SECOND} (gateway stays on ${SECOND})`)
  })

  it('that moves on in the same reload is free', () => {
    const stage = Stage.started(spec('web', NOW, FIRST), spec('api', NOW, SECOND))
    stage.file = [spec('web', NOW, SECOND), spec('api', NOW, FIRST)]
    stage.reload()
    roll(stage, 'web', 'api')
    expect(stage.fleet.groups.get('web')?.listener).toBe('tcp:127.0.0.1:8002')
    expect(stage.fleet.groups.get('api')?.listener).toBe('tcp:127.0.0.1:8001')
  })

  it('that cannot be had rejects the reload when the old port would speak another protocol', () => {
    const tls = { tls: { key: '', cert: '' } }
    const stage = Stage.started(spec('web', NOW, 'http://127.0.0.1:8001'))
    stage.file = [spec('web', { ...NOW, ...tls }, 'https://0.0.0.0:8001')]
    stage.reload()
    expect(stage.load(stage.child('web'))).toContain('bind tcp:0.0.0.0:8001')
    const failure = { message: 'address already in use', stack: '' }
    stage.send({ type: 'bound', listener: 'tcp:0.0.0.0:8001', failure, inUse: true })
    stage.leave(stage.child('web'))
    expect(stage.answer()).toMatchObject({ result: 'rejected', error: { worker: 'web' } })
  })
})

it('a roll that stops halfway keeps, and tells, what it has finished', () => {
  const [before, after] = ['http://127.0.0.1:8001', 'http://127.0.0.1:8002']
  const stage = Stage.started(spec('a', NOW, before), spec('b', { ...NOW, count: 2 }))
  stage.file = [spec('a', NOW, after), spec('b', { ...NOW, count: 2 })]
  stage.reload()
  stage.prepare(stage.child('a'))
  stage.prepare(stage.child('b'))
  stage.send({ type: 'bound', listener: 'tcp:127.0.0.1:8002', failure: null, inUse: false })
  stage.serve(stage.child('a'))
  stage.serve(stage.child('b'))
  for (let attempt = 0; attempt < 2; attempt++) {
    stage.fail(stage.child('b', 1))
    stage.after(500)
  }
  expect(stage.fleet.groups.get('a')).toMatchObject({ listener: 'tcp:127.0.0.1:8002', suspended: false })
  expect([...stage.fleet.listeners]).toEqual(['tcp:127.0.0.1:8002'])
  for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
  expect(stage.answer()).toMatchObject({ result: 'mixed', applied: [`a: address ${before} → ${after}`] })
})

it('a roll that stops with nobody on its new address lets go of it: who came there would wait for ever', () => {
  const [before, after] = ['http://127.0.0.1:8001', 'http://127.0.0.1:8002']
  const stage = Stage.started(spec('web', { ...NOW, count: 2 }, before))
  stage.file = [spec('web', { ...NOW, count: 2 }, after)]
  stage.reload()
  stage.prepare(stage.child('web'))
  stage.send({ type: 'bound', listener: 'tcp:127.0.0.1:8002', failure: null, inUse: false })
  for (let attempt = 0; attempt < 2; attempt++) {
    if (attempt > 0) stage.prepare(stage.child('web'))
    stage.serve(stage.child('web'))
    stage.exit(stage.child('web'), 1)
    stage.after(500)
  }
  for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
  expect(stage.answer()).toMatchObject({ result: 'mixed', standing: [{ fresh: [], hasServed: true }] })
  expect([...stage.fleet.listeners]).toEqual(['tcp:127.0.0.1:8001'])
})

describe('new code', () => {
  it('has the time to start that its own start file gives it', () => {
    const stage = Stage.started(spec('web', { ...NOW, startTimeoutMs: 1_000 }))
    stage.file = [spec('web', { ...NOW, startTimeoutMs: 9_000 })]
    stage.reload()
    stage.load(stage.child('web'))
    expect(stage.after(8_999)).toEqual([])
    expect(stage.after(1)).toContain('kill web/0 g2')
  })

  it('is started with its own environment, not with that of before', () => {
    const stage = Stage.started(spec('web', { ...NOW, env: { LEVEL: '1' } }))
    stage.file = [spec('web', { ...NOW, env: { LEVEL: '2' } })]
    // who has the old one may read it out of that: somebody without it is asked
    expect(stage.reload()).toEqual(['reload-began web', 'read-start-file', 'spawn web/0 g2'])
    const first = stage.child('web')
    expect(stage.load(first)).toEqual([])
    expect(stage.read()).toEqual(['drain web/0 g2 (cancelled, 2000 ms)', 'spawn web/0 g2'])
    expect(stage.done.findLast((action) => action.do === 'spawn')?.spec.env).toEqual({ LEVEL: '2' })
    stage.exit(first)
    expect(stage.prepare(stage.child('web'))).toEqual(['serve web/0 g2'])
  })

  it('is asked what the start file says where it is given nothing but what the master has', () => {
    const stage = Stage.started(spec('web', { ...NOW, env: { LEVEL: '1' } }), spec('api', NOW))
    stage.file = [spec('web', { ...NOW, env: { LEVEL: '2' } }), spec('api', { ...NOW, env: { LEVEL: '3' } })]
    expect(stage.reload()).toEqual(['reload-began web+api', 'spawn web/0 g2', 'spawn api/0 g2'])
    const biased = [spec('web', { ...NOW, env: { LEVEL: '22' } }), spec('api', { ...NOW, env: { LEVEL: '1 3' } })]
    const [file] = [stage.file]
    stage.file = biased
    expect(stage.load(stage.child('web'))).toEqual([])
    stage.file = file
    expect(stage.load(stage.child('api'))).toContain('spawn web/0 g2')
    const envs = stage.done.flatMap((action) => (action.do === 'spawn' ? [action.spec.env] : [])).slice(-2)
    expect(envs).toEqual([{ LEVEL: '2' }, { LEVEL: '3' }])
    // what they read now is biased, and agrees but for that
    stage.file = biased
    for (const name of ['web', 'api']) expect(stage.load(stage.child(name))).toEqual([])
  })

  it('is rejected when nobody can read the start file who is not biased, once all its canaries are ready', () => {
    const stage = Stage.started(spec('web', { ...NOW, env: { LEVEL: '1' } }))
    stage.reload()
    const failure = { message: 'no reader', stack: 'no reader' }
    const reload = stage.fleet.reload?.key ?? 0
    expect(stage.send({ type: 'read', reload, reading: null, failure, output: '' })).toEqual([])
    expect(stage.prepare(stage.child('web'))).toContain('drain web/0 g2 (cancelled, 2000 ms)')
    stage.leave(stage.child('web'))
    expect(stage.answer()).toMatchObject({ result: 'rejected', error: { worker: 'start file', message: 'no reader' } })
  })

  it('does not keep a group empty whose last old worker has crashed meanwhile', () => {
    const stage = Stage.started(spec('web', { count: 2 }))
    stage.reload()
    stage.exit(stage.child('web', 1), 1)
    stage.after(200)
    expect(stage.states('web', 1)).toEqual([])
    const [old] = stage.children().filter((child) => child.state === 'serving')
    if (old) stage.exit(old, 1)
    stage.after(200)
    expect(stage.states('web', 1)).toEqual(['starting g1'])
  })
})

it('what was read for a reload that is over says nothing about the next one', () => {
  const stage = Stage.started(spec('gateway', { reloadable: false }))
  stage.reload()
  const late = stage.fleet.reload?.key ?? 0
  const failure = { message: 'too late', stack: '' }
  stage.send({ type: 'read', reload: late, reading: null, failure, output: '' })
  expect(stage.answer().result).toBe('rejected')
  stage.reload()
  stage.send({ type: 'read', reload: late, reading: null, failure, output: '' })
  expect(stage.fleet.reload).not.toBeNull()
  expect(stage.read()).toContain('answer 2 done')
})

it('of two reloads that become one, who said nothing about time keeps the time of the group', () => {
  const stage = Stage.started(spec('web', NOW))
  stage.reload()
  stage.reload(null, { timeoutMs: 500 })
  stage.reload()
  roll(stage, 'web')
  roll(stage, 'web')
  expect(stage.done.filter((action) => action.do === 'drain').map(({ timeoutMs }) => timeoutMs)).toEqual([
    25_000, 25_000,
  ])
})
