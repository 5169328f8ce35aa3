/** How a reload goes about it: all at once or nothing, how many at a time, what it waits for, and what it would do. C11, C12, D1. */
import { existsSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { ReloadPlan } from '../../src/ipc/status.ts'
import { app, webStart } from '../helpers/apps.ts'
import { oneJson } from '../helpers/cli.ts'
import { Client } from '../helpers/client.ts'
import { conversations } from '../helpers/fleets.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const FOUR = { count: 4, bakeMs: 100 }
const GATE = `
import { existsSync } from 'node:fs'
while (existsSync('closed.gate')) await new Promise((wait) => setTimeout(wait, 10))
`

async function started(options: Record<string, unknown> = FOUR): Promise<{ project: Project; load: Load }> {
  const project = Project.create({ 'start.js': webStart(options), 'app.js': app('1') })
  await project.start()
  const load = new Load({ target: { port: await project.port() }, clients: 20, pauseMs: [5, 30] })
  await load.more(100)
  return { project, load }
}

/** Nobody but these processes is there, and each of them serves. */
async function expectOnly(project: Project, pids: readonly number[]): Promise<void> {
  const rows = (await project.status()).groups.flatMap((group) => group.processes)
  expect(rows.map((row) => [row.pid, row.state])).toEqual(pids.map((pid) => [pid, 'serving']))
}

async function expectNoneFailed(load: Load): Promise<Load['result']> {
  // more than the load remembers versions of
  await load.more(250)
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect(result.failed).toBe(0)
  return result
}

it('C11 atomic: the third of four fails: none was replaced; the fix replaces all, and none drains before all serve', async () => {
  const { project, load } = await started()
  const before = await project.pids()
  project.write('app.js', app('bad', `if (worker.id === 2) throw new Error('only three of us can work')`))
  const rejected = await project.shiftwork('reload', '--strategy', 'atomic')
  expect(rejected.stdout).toContain('only three of us can work')
  expect(rejected.stdout).toMatch(/reload rejected in .*: nothing was touched, the old code serves\n$/)
  expect(rejected).toMatchObject({ code: 5, stderr: '' })
  await expectOnly(project, before)
  expect(project.log).not.toContain('drains (reload)')

  project.write('app.js', app('2'))
  const { code, summary } = await project.reload('--strategy', 'atomic')
  expect([code, summary.result]).toEqual([0, 'done'])
  expect(summary.replaced.map((row) => row.oldPid).sort()).toEqual([...before].sort())
  const steps = [...project.log.matchAll(/web\/\d \(pid \d+\) (serves generation 2|drains \(reload\))/g)].map(
    (match) => match[1],
  )
  expect(steps).toEqual([...Array(4).fill('serves generation 2'), ...Array(4).fill('drains (reload)')])
  const { lastVersions, byPid } = await expectNoneFailed(load)
  expect(new Set(lastVersions)).toEqual(new Set(['2']))
  const known = [...before, ...(await project.pids())]
  expect([...byPid.keys()].filter((pid) => !known.includes(pid))).toEqual([])
})

it('C11 atomic: one that cannot listen when the others serve already ends them all, and no request is lost', async () => {
  const { project, load } = await started()
  const before = await project.pids()
  const late = `if (worker.id === 3) worker.server.once('listening', () => worker.server.emit('error', new Error('no room on the port')))`
  project.write('app.js', app('bad', late))
  const { code, summary } = await project.reload('--strategy', 'atomic')
  expect([code, summary.result, summary.replaced]).toEqual([5, 'rejected', []])
  expect(summary.error).toMatchObject({ worker: 'web/3', message: 'no room on the port' })
  await expectOnly(project, before)
  const { lastVersions } = await expectNoneFailed(load)
  expect(new Set(lastVersions)).toEqual(new Set(['1']))
})

/** What befalls a successor while it bakes: a moment after it is ready, by its own hand. */
function befalls(signal: string, which: string): string {
  return `if (${which}) setTimeout(() => { writeFileSync('befallen', ''); process.kill(process.pid, '${signal}') }, 100)`
}

const FILES = `import { existsSync, writeFileSync } from 'node:fs'\n`

it('C11 atomic: a successor that is killed while it bakes is tried once more, killed again all end', async () => {
  const { project, load } = await started({ ...FOUR, bakeMs: 3_500 })
  const before = await project.pids()
  project.write('app.js', FILES + app('2', befalls('SIGKILL', `worker.id === 1 && !existsSync('befallen')`)))
  const once = await project.reload('--strategy', 'atomic')
  expect([once.code, once.summary.result]).toEqual([0, 'done'])
  expect(once.summary.replaced.map((row) => row.oldPid).sort()).toEqual([...before].sort())
  expect(project.log.match(/failed, try/g)).toHaveLength(1)

  const present = await project.pids()
  project.write('app.js', FILES + app('3', befalls('SIGKILL', 'worker.id === 3')))
  const twice = await project.reload('--strategy', 'atomic')
  expect([twice.code, twice.summary.result, twice.summary.replaced]).toEqual([5, 'rejected', []])
  expect(twice.summary.error?.message).toContain('SIGKILL')
  await expectOnly(project, present)
  expect(new Set((await expectNoneFailed(load)).lastVersions)).toEqual(new Set(['2']))
})

for (const strategy of ['atomic', 'rolling'])
  it(`${strategy}: a canary that is frozen while it bakes ends the reload with nothing replaced`, async () => {
    const { project, load } = await started({ count: 2, bakeMs: 3_500, startTimeoutMs: 10_000 })
    const before = await project.pids()
    project.write('app.js', FILES + app('2', befalls('SIGSTOP', 'worker.id === 0')))
    const { code, summary } = await project.reload('--strategy', strategy)
    expect([code, summary.result, summary.replaced]).toEqual([5, 'rejected', []])
    expect(summary.error?.message).toContain('did not listen within 10000 ms')
    await expectOnly(project, before)
    expect(new Set((await expectNoneFailed(load)).lastVersions)).toEqual(new Set(['1']))
  })

it('--surge n replaces n at a time after the canary, and never more', async () => {
  const { project, load } = await started()
  // those after the canary wait for each other: none is ready before two are under way
  const counted = `
import { appendFileSync, readFileSync } from 'node:fs'
const id = Number(/web\\/(\\d)/.exec(process.title)[1])
appendFileSync('trace.txt', 'begin ' + id + '\\n')
while (id > 0 && readFileSync('trace.txt', 'utf8').match(/begin [1-3]/g).length < 2) await new Promise((wait) => setTimeout(wait, 5))
appendFileSync('trace.txt', 'end ' + id + '\\n')
`
  project.write('app.js', counted + app('2'))
  const { code } = await project.reload('--surge', '2')
  expect(code).toBe(0)
  const trace = project.read('trace.txt').trim().split('\n')
  expect(trace.slice(0, 2)).toEqual(['begin 0', 'end 0'])
  let open = 0
  const most = Math.max(...trace.map((line) => (line.startsWith('begin') ? ++open : --open)))
  expect(most).toBe(2)
  await expectNoneFailed(load)
  for (const bad of ['0', '-1', 'x', '1.5'])
    expect(await project.shiftwork('reload', `--surge=${bad}`)).toMatchObject({ code: 2 })
})

it('C12 rolling: the third of four fails twice: exit 6, it is said who runs what, it is not tried again, the fix heals', async () => {
  const { project, load } = await started()
  const before = await project.pids()
  project.write(
    'app.js',
    app('2', `if (worker.id === 2) { console.error('tried'); throw new Error('no room for three') }`),
  )
  const result = await project.shiftwork('reload')
  expect(result.code).toBe(6)
  expect(result.stdout).toContain('no room for three')
  expect(result.stdout).toMatch(/reload mixed in .*: web\/0, web\/1, web\/3 run the new code, the others the old\n$/)
  const after = await project.pids()
  expect(after.map((pid, id) => pid === before[id])).toEqual([false, false, true, false])
  const status = await project.status()
  expect(status.groups[0]).toMatchObject({ state: 'mixed' })
  expect(status.groups[0]?.processes.map((row) => [row.id, row.generation, row.state])).toEqual([
    [0, 2, 'serving'],
    [1, 2, 'serving'],
    [2, 1, 'serving'],
    [3, 2, 'serving'],
  ])
  expect(status.lastReload).toMatchObject({ result: 'mixed', error: { worker: 'web/2' } })
  await load.more(500)
  await expectOnly(project, after)
  expect(project.log.match(/web\/2 .* failed, try/g)).toHaveLength(2)

  project.write('app.js', app('3'))
  const healed = await project.reload()
  expect([healed.code, healed.summary.result]).toEqual([0, 'done'])
  expect((await project.status()).groups[0]?.state).toBe('ok')
  expect(new Set((await expectNoneFailed(load)).lastVersions)).toEqual(new Set(['3']))
})

/** Answers `/held` when the file `let-go` is there. */
function holdingApp(version: string): string {
  const more = `const answer = (response, version) => existsSync('let-go')
    ? response.end(JSON.stringify({ pid: process.pid, version })) : setTimeout(answer, 10, response, version)`
  return `import { existsSync } from 'node:fs'\n${app(version, more).replace(
    'return (request, response) => {',
    `return (request, response) => {\n    if (request.url === '/held') return answer(response, '${version}')`,
  )}`
}

it('--wait serving answers as soon as every successor serves; what drains has no drainMs yet, and lastReload gets it later', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2, bakeMs: 50 }), 'app.js': holdingApp('1') })
  await project.start()
  const load = new Load({ target: { port: await project.port() }, clients: 10, pauseMs: [0, 20] })
  await load.more(50)
  const held = await Client.open({ port: await project.port() })
  held.send({ path: '/held' })
  await load.more(50)
  const before = await project.pids()
  project.write('app.js', app('2'))
  const { code, summary } = await project.reload('--wait', 'serving')
  expect([code, summary.result]).toEqual([0, 'done'])
  expect(summary.replaced.map((row) => row.oldPid).sort()).toEqual([...before].sort())
  expect(summary.replaced.map((row) => row.newPid).sort()).toEqual((await project.pids()).sort())
  const open = summary.replaced.filter((row) => row.drainMs === null)
  expect(open.length).toBeGreaterThan(0)
  const between = await project.status()
  expect([between.master.state, between.lastReload]).toEqual(['reloading', null])

  project.write('let-go', '')
  const answer = JSON.parse((await held.answer()).body) as { pid: number; version: string }
  held.close()
  expect(answer.version).toBe('1')
  expect(open.map((row) => row.oldPid)).toContain(answer.pid)
  await until('the reload is over', async () => (await project.status()).lastReload !== null)
  const final = await project.status()
  expect(final.master.state).toBe('running')
  expect(final.lastReload).toMatchObject({ result: 'done', generation: summary.generation })
  expect(final.lastReload?.replaced.map((row) => row.oldPid).sort()).toEqual([...before].sort())
  expect(final.lastReload?.replaced.filter((row) => row.drainMs === null)).toEqual([])
  expect(new Set((await expectNoneFailed(load)).lastVersions)).toEqual(new Set(['2']))
})

const PRE_RELOAD = `Worker.runAll({ preReload: 'touch pre-reload-ran' })`

it('--dry-run says what a reload would do, in text and as JSON, and does none of it', async () => {
  const start = webStart(FOUR).replace('Worker.runAll()', PRE_RELOAD)
  const project = Project.create({ 'start.js': start, 'app.js': app('1') })
  await project.start()
  const before = await project.pids()
  const grown = webStart({ ...FOUR, count: 5 }).replace(
    'Worker.runAll()',
    `const more = new Worker('http://127.0.0.1:0', { name: 'more' })\nmore.onRequest = (_, response) => response.end()\n${PRE_RELOAD}`,
  )
  project.write('start.js', grown)
  project.write('app.js', app('2'))
  const text = await project.shiftwork('reload', '--dry-run', '--surge', '2')
  expect(text).toMatchObject({ code: 0, stderr: '' })
  expect(text.stdout).toMatch(/^runs {6}touch pre-reload-ran\n/)
  expect(text.stdout).toContain('replaces  web (5 workers, 2 at a time), more (1 worker, new)')
  expect(text.stdout).toContain('applies   web: count 4 → 5')
  expect(text.stdout).toContain('applies   more: new in the start file')
  expect(text.stdout).toMatch(/rolling reload possible: nothing was touched\n$/)
  const json = await project.shiftwork('reload', '--dry-run', '--json', '--strategy', 'atomic', 'web')
  expect(json.code).toBe(0)
  expect(oneJson<ReloadPlan>(json)).toMatchObject({
    result: 'possible',
    strategy: 'atomic',
    preReload: 'touch pre-reload-ran',
    stages: [[{ name: 'web', count: 5, surge: 5, isNew: false }]],
    applied: ['web: count 4 → 5'],
    needsRestart: [expect.stringContaining('more: new in the start file')],
    error: null,
  })
  await expectOnly(project, before)
  expect(existsSync(join(project.dir, 'pre-reload-ran'))).toBe(false)
  expect((await project.status()).lastReload).toBeNull()
  expect(project.log).not.toContain('reload of')
})

it('--dry-run of a start file that is broken, and of an address that somebody has: exit 5 with the reason', async () => {
  const { project, load } = await started()
  const before = await project.pids()
  project.write('start.js', 'const = 1')
  const broken = await project.shiftwork('reload', '--dry-run')
  expect(broken).toMatchObject({ code: 5, stderr: '' })
  expect(broken.stdout).toMatch(
    /start\.js:1[\s\S]*SyntaxError[\s\S]*rolling reload would be rejected: nothing was touched\n$/,
  )

  const other = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void other.close())
  await until('somebody has it', () => other.listening)
  const address = other.address()
  const port = typeof address === 'object' && address ? address.port : 0
  project.write('start.js', webStart(FOUR, `http://127.0.0.1:${port}`))
  const taken = await project.shiftwork('reload', '--dry-run', '--json')
  expect(taken.code).toBe(5)
  const plan = oneJson<ReloadPlan>(taken)
  expect(plan).toMatchObject({ result: 'rejected', error: { worker: 'web' } })
  expect(plan.error?.message).toContain(`Cannot listen on http://127.0.0.1:${port}: address already in use`)
  // and the reload itself does what was foretold
  const real = await project.reload()
  expect([real.code, real.summary.error?.message]).toEqual([5, plan.error?.message])
  await expectOnly(project, before)
  await expectNoneFailed(load)
})

const KEPT = webStart({ count: 1, bakeMs: 0 }).replace(
  'Worker.runAll()',
  `const gateway = new Worker('http://127.0.0.1:0', { name: 'gateway', reloadable: false, bakeMs: 0 })
gateway.onRequest = (_, response) => response.end(JSON.stringify({ pid: process.pid, version: 'gateway' }))
Worker.runAll()`,
)

it('--force with its name replaces a kept group; without it, and without a name, exit 2 with a hint', async () => {
  const project = Project.create({ 'start.js': KEPT, 'app.js': app('1') })
  await project.start()
  const before = { gateway: await project.pids('gateway'), web: await project.pids('web') }
  const load = new Load({ target: { port: await project.port('gateway') }, clients: 10, pauseMs: [0, 20] })
  await load.more(50)
  const refused = await project.shiftwork('reload', 'gateway')
  expect(refused.code).toBe(2)
  expect(refused.stderr).toContain('Worker "gateway" is not reloadable')
  expect(refused.stderr).toContain('reload --force gateway')
  const nameless = await project.shiftwork('reload', '--force')
  expect(nameless.code).toBe(2)
  expect(nameless.stderr).toContain('reload --force name')
  expect(await project.pids('gateway')).toEqual(before.gateway)
  const { code, summary } = await project.reload('--force', 'gateway')
  expect([code, summary.replaced.map((row) => [row.name, row.oldPid])]).toEqual([
    0,
    before.gateway.map((pid) => ['gateway', pid]),
  ])
  expect(await project.pids('gateway')).not.toEqual(before.gateway)
  expect(await project.pids('web')).toEqual(before.web)
  await expectNoneFailed(load)
})

it('D1 reloads with different options that wait become one, and each gets one true answer', async () => {
  const { project, load } = await started({ ...FOUR, startTimeoutMs: 150_000 })
  const before = await project.pids()
  project.write('closed.gate', '')
  project.write('app.js', GATE + app('2'))
  const first = project.reload()
  await until('it is under way', () => project.log.includes('reload of web'))
  const waiting = [
    ['--strategy', 'atomic'],
    ['--surge', '3', 'web'],
    ['--wait', 'serving'],
    ['--timeout', '20'],
  ]
  const asked = waiting.map((options) => project.reload(...options))
  const closed = Promise.all(asked)
  await load.more(100)
  await until('all five are connected', () => conversations(project) === 5)
  project.write('app.js', app('3'))
  rmSync(join(project.dir, 'closed.gate'))
  const one = await first
  const answers = await closed
  expect([one.code, ...answers.map(({ code }) => code)]).toEqual([0, 0, 0, 0, 0])
  expect(one.summary.replaced.map((row) => row.oldPid).sort()).toEqual([...before].sort())
  const last = (await project.status()).lastReload
  for (const { summary } of answers) {
    expect(summary.result).toBe('done')
    expect(summary.replaced).toHaveLength(4)
    // nobody is told of a process that ran before it asked
    expect(summary.replaced.filter((row) => before.includes(row.newPid))).toEqual([])
  }
  expect(last?.replaced.map((row) => row.newPid).sort()).toEqual((await project.pids()).sort())
  expect(new Set((await expectNoneFailed(load)).lastVersions)).toEqual(new Set(['3']))
})
