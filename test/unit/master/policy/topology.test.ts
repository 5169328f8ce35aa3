/** What a start file that was read anew changes about the fleet: the plan as tables, and the course of such a reload. */
import { describe, expect, it } from 'vitest'
import { holderAmong, keepAddress, planTopology, type Standing } from '../../../../src/master/policy/topology.ts'
import type { Spec } from '../../../../src/spec/spec.ts'
import { spec } from '../../specs.ts'
import { Stage } from '../../stage.ts'

const ANY = 'http://127.0.0.1:0'
const AT = (port: number): string => `http://127.0.0.1:${port}`
const KEY = (port: number): string => `tcp:127.0.0.1:${port}`

/** Groups as they run right after their start; `over` is what has happened to one since. */
function standing(...specs: Spec[]): Standing[] {
  const { fleet } = new Stage(specs)
  return [...fleet.groups.values()]
}

function held(groups: readonly Standing[]): Set<string> {
  return new Set(groups.map((group) => group.listener).filter((key) => key !== null))
}

/** A reload of everything, or of these groups. */
function plan(running: readonly Standing[], next: readonly Spec[], named: string[] | null = null) {
  const groups = named ?? running.filter((group) => group.spec.reloadable).map((group) => group.name)
  return planTopology(running, next, { groups, isFull: named === null }, held(running))
}

describe('a reload of everything', () => {
  it('names nothing and binds nothing where nothing has changed', () => {
    const running = standing(spec('web', {}, AT(1)), spec('jobs'))
    expect(plan(running, [spec('web', {}, AT(1)), spec('jobs')])).toMatchObject({
      added: [],
      removed: [],
      binds: [],
      applied: [],
      needsRestart: [],
      missing: null,
    })
  })

  it.each<[what: string, before: Spec[], after: Spec[], applied: string[]]>([
    ['a group that comes', [spec('web')], [spec('web'), spec('api')], ['api: new in the start file']],
    ['a group that goes', [spec('web'), spec('api')], [spec('web')], ['api: removed from the start file']],
    ['a count', [spec('web', { count: 2 })], [spec('web', { count: 5 })], ['web: count 2 → 5']],
    ['an address', [spec('web', {}, AT(1))], [spec('web', {}, AT(2))], [`web: address ${AT(1)} → ${AT(2)}`]],
    ['a group that listens no more', [spec('web', {}, AT(1))], [spec('web')], [`web: address ${AT(1)} → none`]],
    [
      'what follows from nothing else',
      [spec('web'), spec('jobs')],
      [spec('web'), { ...spec('jobs', { reloadable: false }), after: ['web'] }],
      ['jobs: reloadable true → false', 'jobs: after none → web'],
    ],
  ])('applies %s', (_what, before, after, applied) => {
    const topology = plan(standing(...before), after)
    expect(topology.applied).toEqual(applied)
    expect(topology.needsRestart).toEqual([])
  })

  it('binds what is new, and not what it holds: two groups that change places need no port', () => {
    const running = standing(spec('web', {}, AT(1)), spec('api', {}, AT(2)))
    const topology = plan(running, [spec('web', {}, AT(2)), spec('api', {}, AT(1)), spec('mail', {}, AT(3))])
    expect(topology.binds.map(({ key }) => key)).toEqual([KEY(3)])
    expect([...topology.variants].map(([name, { listener }]) => [name, listener])).toEqual([
      ['web', KEY(2)],
      ['api', KEY(1)],
      ['mail', KEY(3)],
    ])
  })

  it('keeps the port of a group that gets another name, and of one that speaks https from now on', () => {
    const running = standing(spec('web', {}, AT(1)), spec('api', {}, AT(2)))
    const secure = spec('api', { tls: { key: 'k', cert: 'c' } }, 'https://127.0.0.1:2')
    const topology = plan(running, [spec('site', {}, AT(1)), secure])
    expect(topology).toMatchObject({ added: ['site'], removed: ['web'], binds: [] })
    expect(topology.variants.get('site')?.listener).toBe(KEY(1))
    expect(topology.variants.get('api')?.listener).toBe(KEY(2))
    expect(topology.applied).toContain('api: address http://127.0.0.1:2 → https://127.0.0.1:2')
  })
})

describe('the number of workers', () => {
  const scaled = (count: number): Standing[] =>
    standing(spec('web', { count: 2 })).map((group) => ({ ...group, count }))

  it.each([
    ['what a scale has made of it, when the start file says the same as before', 5, 2, 5],
    ['what the start file says, when that has changed', 5, 3, 3],
    ['what the start file says, when that is what runs by a scale', 4, 4, 4],
  ])('is %s', (_what, running, inFile, becomes) => {
    expect(plan(scaled(running), [spec('web', { count: inFile })]).counts.get('web')).toBe(becomes)
  })
})

describe('on port 0', () => {
  it('a group that gets another name inherits the port', () => {
    const topology = plan(standing(spec('web', {}, ANY)), [spec('site', {}, ANY)])
    expect(topology.binds).toEqual([])
    expect(topology.variants.get('site')?.listener).toBe(`${KEY(0)} of web`)
  })

  it.each([
    ['two go and one comes', [spec('web', {}, ANY), spec('api', {}, ANY)], [spec('site', {}, ANY)]],
    ['one goes and two come', [spec('web', {}, ANY)], [spec('site', {}, ANY), spec('shop', {}, ANY)]],
    ['it is another host', [spec('web', {}, ANY)], [spec('site', {}, 'http://0.0.0.0:0')]],
    ['the one before it stays', [spec('web', {}, ANY)], [spec('web', {}, ANY), spec('site', {}, ANY)]],
  ])('nobody inherits a port when %s', (_what, before, after) => {
    const running = standing(...before)
    const topology = plan(running, after)
    const listeners = [...topology.variants.values()].map((variant) => variant.listener)
    expect(new Set(listeners).size).toBe(after.length)
    expect(topology.variants.get('site')?.listener).not.toBe(running[0]?.listener)
  })

  it('a new group never gets the port that another one has inherited under its name', () => {
    const [web] = standing(spec('web', {}, ANY))
    const site: Standing = { name: 'site', spec: spec('site', {}, ANY), listener: web?.listener ?? null, count: 1 }
    const topology = plan([site], [spec('site', {}, ANY), spec('web', {}, ANY)])
    expect(topology.variants.get('site')?.listener).toBe(`${KEY(0)} of web`)
    expect(topology.variants.get('web')?.listener).toBe(`${KEY(0)} of web (2)`)
    expect(topology.binds.map(({ key }) => key)).toEqual([`${KEY(0)} of web (2)`])
  })
})

describe('kept groups', () => {
  const gateway = (options: Record<string, unknown> = {}, listen?: string): Spec =>
    spec('gateway', { reloadable: false, ...options }, listen)

  it('are not part of a reload of everything: what is different is named, with the command that applies it', () => {
    const topology = plan(standing(gateway({ count: 1 }, AT(1)), spec('web')), [
      gateway({ count: 3 }, AT(2)),
      spec('web', { count: 2 }),
    ])
    expect(topology.applied).toEqual(['web: count 1 → 2'])
    expect(topology.needsRestart).toEqual([
      `gateway: address ${AT(1)} → ${AT(2)} (it is kept in reloads: reload --force gateway applies it)`,
      'gateway: count 1 → 3 (it is kept in reloads: reload --force gateway applies it)',
    ])
    expect(topology.variants.has('gateway')).toBe(false)
    expect(topology.binds).toEqual([])
  })

  it('are changed when they are named', () => {
    const topology = plan(
      standing(gateway({ count: 1 }), spec('web')),
      [gateway({ count: 3 }), spec('web')],
      ['gateway'],
    )
    expect(topology).toMatchObject({ applied: ['gateway: count 1 → 3'], needsRestart: [] })
  })

  it('that the start file has no more end with the command that is named for it', () => {
    const running = standing(gateway(), spec('web'))
    const sentence = 'gateway: removed from the start file (it is kept in reloads: reload --force gateway ends it)'
    expect(plan(running, [spec('web')]).needsRestart).toEqual([sentence])
    expect(plan(running, [spec('web')], ['web']).needsRestart).toEqual([sentence])
    expect(plan(running, [spec('web')], ['gateway'])).toMatchObject({ removed: ['gateway'], missing: null })
  })
})

describe('a reload of named groups', () => {
  it('applies what is theirs and names the rest, each with the command that applies it', () => {
    const running = standing(
      spec('web', { count: 1 }),
      spec('api', { count: 1 }),
      spec('mail'),
      spec('gateway', { reloadable: false, count: 1 }),
    )
    const next = [
      spec('web', { count: 2 }),
      spec('api', { count: 2 }),
      spec('gateway', { reloadable: false, count: 2 }),
      spec('shop'),
    ]
    const topology = plan(running, next, ['web'])
    expect(topology).toMatchObject({ added: [], removed: [], missing: null, applied: ['web: count 1 → 2'] })
    expect(topology.needsRestart).toEqual([
      'api: count 1 → 2 (reload api applies it)',
      'mail: removed from the start file (a reload of everything ends it)',
      'gateway: count 1 → 2 (it is kept in reloads: reload --force gateway applies it)',
      'shop: new in the start file (a reload of everything starts it)',
    ])
    expect([...topology.variants.keys()]).toEqual(['web'])
  })

  it('is missing one that the start file has no more', () => {
    expect(plan(standing(spec('web'), spec('api')), [spec('api')], ['web'])).toMatchObject({
      missing: 'web',
      removed: [],
    })
  })
})

describe('what was given to a unix socket when it was made', () => {
  const SOCKET = 'http+unix:///run/web.sock'

  it('is named again in each reload until it is so', () => {
    const running = standing(spec('web', { socketMode: 0o600 }, SOCKET))
    const next = [spec('web', { socketMode: 0o660, count: 2 }, SOCKET)]
    const first = plan(running, next)
    expect(first).toMatchObject({ needsRestart: ['web: socketMode 384 → 432'], applied: ['web: count 1 → 2'] })
    const after = first.variants.get('web')
    const again = running.map((group) => ({ ...group, spec: after?.spec ?? group.spec }))
    expect(plan(again, next)).toMatchObject({ needsRestart: ['web: socketMode 384 → 432'], applied: [] })
  })

  it('comes with a socket that moves', () => {
    const running = standing(spec('web', { socketMode: 0o600 }, SOCKET))
    const topology = plan(running, [spec('web', { socketMode: 0o660 }, 'http+unix:///run/new.sock')])
    expect(topology.needsRestart).toEqual([])
    expect(topology.variants.get('web')?.spec.socketMode).toBe(0o660)
  })
})

describe('who is in the way of an address', () => {
  it.each([
    ['http://0.0.0.0:80', 'http://127.0.0.1:80', true],
    ['http://127.0.0.1:80', 'http://0.0.0.0:80', true],
    ['http://[::]:80', 'http://127.0.0.1:80', true],
    ['http://localhost:80', 'http://127.0.0.1:80', true],
    ['http://127.0.0.1:80', 'http://127.0.0.2:80', false],
    ['http://127.0.0.1:80', 'http://127.0.0.1:81', false],
    ['http://127.0.0.1:80', 'http+unix:///run/80', false],
    ['http+unix:///run/80', 'http+unix:///run/80', false],
  ])('%s where %s is held: this master %s', (wanted, own, isOwn) => {
    const { address } = spec('new', {}, wanted)
    if (!address) throw new Error('it has an address')
    expect(holderAmong(address, [spec('web', {}, own).address, spec('jobs').address])).toBe(isOwn ? own : null)
  })

  it('a group that is there stays where it is, with everything else that it gets, and is named in each reload', () => {
    const running = standing(spec('web', { count: 1 }, AT(1)))
    const next = [spec('web', { count: 2 }, 'http://0.0.0.0:1')]
    const topology = plan(running, next)
    expect(keepAddress(topology, 'tcp:0.0.0.0:1', running, `this master holds ${AT(1)}`)).toEqual([])
    const sentence = `web: address ${AT(1)} → http://0.0.0.0:1`
    expect(topology).toMatchObject({
      applied: ['web: count 1 → 2'],
      needsRestart: [`${sentence} (this master holds ${AT(1)})`],
      binds: [],
    })
    expect(topology.variants.get('web')).toMatchObject({ listener: KEY(1), spec: { count: 2 } })
    const after = topology.variants.get('web')
    const again = running.map((group) => ({ ...group, spec: after?.spec ?? group.spec }))
    expect(plan(again, next).applied).toEqual([sentence])
  })

  it('a group that would come does not', () => {
    const running = standing(spec('web', {}, AT(1)))
    const topology = plan(running, [spec('web', {}, AT(1)), spec('api', {}, 'http://0.0.0.0:1'), spec('mail')])
    expect(keepAddress(topology, 'tcp:0.0.0.0:1', running, `this master holds ${AT(1)}`)).toEqual(['api'])
    expect(topology).toMatchObject({
      added: ['mail'],
      applied: ['mail: new in the start file'],
      needsRestart: [`api: new in the start file, on http://0.0.0.0:1 (this master holds ${AT(1)})`],
    })
    expect([...topology.variants.keys()]).toEqual(['web', 'mail'])
    expect([...topology.counts.keys()]).toEqual(['web', 'mail'])
  })
})

// ---- the course of it ----------------------------------------------------------------------------------------------

const NO_BAKE = { bakeMs: 0 }

function bound(stage: Stage, listener: string): string[] {
  return stage.send({ type: 'bound', listener, failure: null, inUse: false })
}

function notBound(stage: Stage, listener: string): string[] {
  const failure = { message: 'address already in use', stack: 'address already in use' }
  return stage.send({ type: 'bound', listener, failure, inUse: true })
}

describe('a reload that moves a group', () => {
  const started = (): Stage => {
    const stage = Stage.started(spec('web', NO_BAKE, AT(1)))
    stage.file = [spec('web', NO_BAKE, AT(2))]
    stage.reload()
    return stage
  }

  it('binds the new address before anything serves on it, and lets the old one go when nobody needs it', () => {
    const stage = started()
    expect(stage.prepare(stage.child('web'))).toEqual([`bind ${KEY(2)}`])
    expect(stage.fleet.groups.get('web')?.listener).toBe(KEY(1))
    expect(bound(stage, KEY(2))).toEqual(['serve web/0 g2'])
    expect(stage.done.at(-1)).toMatchObject({ do: 'serve', listener: KEY(2) })
    expect(stage.serve(stage.child('web'))).toEqual([
      'reload-served web g2',
      `close-listener ${KEY(1)}`,
      'drain web/0 g1 (reload, 25000 ms)',
    ])
    expect([...stage.fleet.listeners]).toEqual([KEY(2)])
  })

  it('a worker that comes back in the midst of it gets the listener of its own generation', () => {
    const stage = Stage.started(spec('web', { ...NO_BAKE, count: 2 }, AT(1)))
    stage.file = [spec('web', { ...NO_BAKE, count: 2 }, AT(2))]
    stage.reload()
    stage.prepare(stage.child('web'))
    bound(stage, KEY(2))
    stage.serve(stage.child('web'))
    stage.fail(stage.child('web', 1))
    stage.after(100)
    stage.fail(stage.child('web', 1))
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.answer().result).toBe('mixed')
    // both addresses are still served, each by its own code
    expect([...stage.fleet.listeners].sort()).toEqual([KEY(1), KEY(2)])
    stage.exit(stage.child('web', 0), 1)
    stage.exit(stage.child('web', 1), 1)
    stage.after(1_000)
    stage.prepare(stage.child('web', 0))
    expect(stage.done.at(-1)).toMatchObject({ do: 'serve', listener: KEY(2) })
    stage.prepare(stage.child('web', 1))
    expect(stage.done.at(-1)).toMatchObject({ do: 'serve', listener: KEY(1) })
  })

  it('is rejected when another program has the address, and holds nothing more than before', () => {
    const stage = started()
    stage.prepare(stage.child('web'))
    expect(notBound(stage, KEY(2))).toEqual(['drain web/0 g2 (cancelled, 2000 ms)'])
    stage.leave(stage.child('web'))
    expect(stage.answer()).toMatchObject({ result: 'rejected', applied: [], error: { worker: 'web' } })
    expect(stage.states('web', 0)).toEqual(['serving g1'])
    expect([...stage.fleet.listeners]).toEqual([KEY(1)])
  })

  it('lets go of the new address when its code turns out to be bad', () => {
    const stage = started()
    stage.load(stage.child('web'))
    bound(stage, KEY(2))
    stage.fail(stage.child('web'))
    stage.after(100)
    expect(stage.fail(stage.child('web'))).toContain(`close-listener ${KEY(2)}`)
    expect([...stage.fleet.listeners]).toEqual([KEY(1)])
  })

  it('lets go of an address that is bound after the reload was rejected', () => {
    const stage = started()
    stage.load(stage.child('web'))
    stage.fail(stage.child('web'))
    stage.after(100)
    stage.fail(stage.child('web'))
    expect(stage.answer().result).toBe('rejected')
    expect(bound(stage, KEY(2))).toEqual([`close-listener ${KEY(2)}`])
  })
})

describe('a reload that brings groups and ends others', () => {
  it('brings up the new ones before the old ones go', () => {
    const stage = Stage.started(spec('web', NO_BAKE), spec('old', NO_BAKE))
    stage.file = [spec('web', NO_BAKE), spec('new', { ...NO_BAKE, count: 2 })]
    expect(stage.reload()).toEqual(['reload-began web+old', 'spawn web/0 g2', 'spawn old/0 g2'])
    expect(stage.load(stage.child('web'))).toEqual(['drain old/0 g2 (cancelled, 2000 ms)', 'spawn new/0 g2'])
    stage.prepare(stage.child('web'))
    expect(stage.prepare(stage.child('new'))).toEqual(['serve web/0 g2', 'serve new/0 g2', 'spawn new/1 g2'])
    stage.serve(stage.child('web'))
    stage.serve(stage.child('new'))
    expect(stage.states('old', 0)).toEqual(['serving g1', 'draining g2'])
    expect(stage.bringUp(stage.child('new', 1))).toContain('drain old/0 g1 (reload, 25000 ms)')
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.answer()).toMatchObject({
      result: 'done',
      applied: ['old: removed from the start file', 'new: new in the start file'],
      kept: [],
    })
    expect([...stage.fleet.groups.keys()].sort()).toEqual(['new', 'web'])
  })

  it('ends nobody and brings nobody when it is rejected', () => {
    const stage = Stage.started(spec('web', NO_BAKE), spec('old', NO_BAKE))
    stage.file = [spec('web', NO_BAKE), spec('new', NO_BAKE)]
    stage.reload()
    stage.prepare(stage.child('web'))
    stage.fail(stage.child('new'))
    stage.after(100)
    stage.fail(stage.child('new'))
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.answer()).toMatchObject({ result: 'rejected', error: { worker: 'new/0' } })
    expect(stage.states('old', 0)).toEqual(['serving g1'])
    expect([...stage.fleet.groups.keys()].sort()).toEqual(['old', 'web'])
  })

  it('of a kept group that the start file has no more ends it by its name', () => {
    const stage = Stage.started(spec('web', NO_BAKE), spec('gateway', { ...NO_BAKE, reloadable: false }, AT(1)))
    stage.file = [spec('web', NO_BAKE)]
    expect(stage.reload(['gateway'])).toEqual(['reload-began gateway', 'spawn gateway/0 g2'])
    const texts = stage.load(stage.child('gateway'))
    expect(texts).toContain('drain gateway/0 g1 (reload, 25000 ms)')
    expect(texts).toContain(`close-listener ${KEY(1)}`)
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.answer()).toMatchObject({ result: 'done', applied: ['gateway: removed from the start file'] })
    expect([...stage.fleet.groups.keys()]).toEqual(['web'])
  })

  it('of a named group that is gone by then is rejected, and touches nothing', () => {
    const stage = Stage.started(spec('web', NO_BAKE), spec('api', NO_BAKE))
    stage.file = [spec('api', NO_BAKE)]
    stage.reload(['web'])
    stage.load(stage.child('web'))
    stage.leave(stage.child('web'))
    expect(stage.answer()).toMatchObject({
      result: 'rejected',
      error: { worker: 'web', message: 'the start file describes no worker "web" any more' },
    })
    expect(stage.states('web', 0)).toEqual(['serving g1'])
  })
})

describe('reloads that wait while the one before them ends a group', () => {
  it('who has named it is told that it is gone, and all others get their reload', () => {
    const stage = Stage.started(spec('web', NO_BAKE), spec('api', NO_BAKE))
    stage.file = [spec('web', NO_BAKE)]
    stage.reload()
    // 2, 3 and 4
    stage.reload(['api'])
    stage.reload(['web'])
    stage.reload()
    stage.load(stage.child('web'))
    stage.bringUp(stage.child('web'))
    const leave = (): void => {
      for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    }
    leave()
    const answered = (): unknown[] => stage.answers().map(({ ids, summary }) => [ids, summary.result])
    expect(answered()).toContainEqual([[1], 'done'])
    expect(answered()).toContainEqual([[2], 'rejected'])
    expect(stage.answers().find(({ ids: [id] }) => id === 2)?.summary.error).toMatchObject({ worker: 'api' })
    expect(stage.fleet.groups.get('web')?.suspended).toBe(false)
    stage.load(stage.child('web'))
    stage.bringUp(stage.child('web'))
    leave()
    expect(answered().at(-1)).toEqual([[3, 4], 'done'])
  })
})

describe('a reload that makes a group smaller', () => {
  it('lets those that are not needed serve until it is sure, and then go', () => {
    const stage = Stage.started(spec('web', { ...NO_BAKE, count: 3 }))
    stage.file = [spec('web', { ...NO_BAKE, count: 1 })]
    stage.reload()
    expect(stage.prepare(stage.child('web'))).toEqual(['serve web/0 g2'])
    expect([1, 2].map((id) => stage.states('web', id))).toEqual([['serving g1'], ['serving g1']])
    const texts = stage.serve(stage.child('web'))
    for (const id of [0, 1, 2]) expect(texts.join()).toContain(`drain web/${id} g1`)
    for (const child of stage.children()) if (child.state === 'draining') stage.leave(child)
    expect(stage.fleet.groups.get('web')).toMatchObject({ count: 1, slots: [{ id: 0 }] })
  })
})
