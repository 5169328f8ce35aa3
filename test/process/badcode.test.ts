/** Bad new code: the old pids serve at full capacity, the worker's own error is shown, the fix reloads. Group C. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { kill } from '../helpers/faults.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Result, stripsTypes } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'

interface Bad {
  id: string
  what: string
  /** The broken file, whole. */
  app: string
  /** What the user must be shown. */
  shows: RegExp
  /** What the start file says beside it. */
  options?: Record<string, unknown>
  /** What the start file says before: a reload bakes for as long as the old code wants. */
  oldOptions?: Record<string, unknown>
}

/** A start that hangs takes so long; one that does not has time enough to say what it says. */
const START_MS = 5_000

/** On a busy machine a start may not come in its time as far as it is to hang. */
function playUntilShown(bad: Bad, play: () => Promise<Result>): Promise<Result> {
  return inTime(play, ({ stdout, stderr }) => bad.options !== undefined && !bad.shows.test(stdout + stderr))
}

const BAD: Bad[] = [
  {
    id: 'C1',
    what: 'a syntax error',
    app: 'export function createApp( }',
    shows: /app\.js:1\n[\s\S]*\n *\^+\n[\s\S]*SyntaxError/,
  },
  {
    id: 'C2',
    what: 'a throw in onWorkerStart',
    app: `throw new Error('no such table: users')`,
    shows: /no such table: users[\s\S]*app\.js:1/,
  },
  {
    id: 'C3',
    what: 'a rejection later',
    app: `await new Promise((resolve, reject) => setTimeout(() => reject(new Error('database is away')), 100))\nexport const createApp = 1`,
    shows: /database is away/,
  },
  {
    id: 'C4',
    what: 'an exit with 0',
    app: `console.log('bye bye')\nprocess.exit(0)`,
    shows: /exited with code 0 before it served[\s\S]*bye bye/,
  },
  {
    id: 'C5',
    what: 'an exit with 1',
    app: `console.error('cannot go on')\nprocess.exit(1)`,
    shows: /exited with code 1 before it served[\s\S]*cannot go on/,
  },
  {
    id: 'C6',
    what: 'code that is never prepared',
    app: `console.log('waiting for the cache')\nawait new Promise(() => setInterval(() => {}, 1000))`,
    shows:
      /not ready 5000 ms after its start \(startTimeoutMs\): .* onWorkerStart has not settled[\s\S]*waiting for the cache/,
    options: { startTimeoutMs: START_MS },
  },
  {
    id: 'C7',
    what: 'a death within the bake',
    app: `${app('bad')}\nsetTimeout(() => { throw new Error('lost the queue') }, 300)`,
    shows: /lost the queue/,
    oldOptions: { bakeMs: 4_000 },
  },
  {
    id: 'C13',
    what: 'a loop for ever in onWorkerStart',
    app: `console.log('counting to infinity')\nfor (;;);`,
    shows:
      /not ready 5000 ms after its start \(startTimeoutMs\): .* onWorkerStart has not settled[\s\S]*counting to infinity/,
    options: { startTimeoutMs: START_MS },
  },
  {
    id: 'C14',
    what: 'an error whose message is no text',
    app: `throw Object.assign(new Error('x'), { message: { status: 404 } })`,
    shows: /\{"status":404\}/,
  },
  {
    id: 'C14',
    what: 'a hook that is misspelled',
    app: `export function createApp(worker) { worker.onclosed = () => {}; return (_, response) => response.end() }`,
    shows: /Worker "web" has an unknown hook "onclosed"[\s\S]*Did you mean "onClose"/,
  },
  {
    id: 'C14',
    what: 'a Worker inside a worker',
    app: `import { Worker } from 'shiftwork'\nexport function createApp() { new Worker('text://127.0.0.1:5678') }`,
    shows: /new Worker\('text:\/\/127\.0\.0\.1:5678'\) comes after Worker\.runAll\(\)[\s\S]*listen\('text:/,
  },
  {
    id: 'C14',
    what: 'a megabyte of output before it fails',
    app: `for (let i = 0; i < 10_000; i++) console.log('x'.repeat(100))\nconsole.log('the last words')\nthrow new Error('too much')`,
    shows: /too much[\s\S]*the last words/,
  },
]

for (const bad of BAD)
  it(`${bad.id} ${bad.what}: the old pids serve on, exit 5, the error is shown, the fix reloads`, async () => {
    const start = webStart(bad.oldOptions)
    const project = Project.create({ 'start.js': start, 'app.js': app('1') })
    await project.start()
    const before = await project.pids()
    const load = new Load({ target: { port: await project.port() }, clients: 20, pauseMs: [0, 50] })
    await load.more(100)

    project.write('start.js', webStart({ ...bad.oldOptions, ...bad.options }))
    project.write('app.js', bad.app)
    const rejected = await playUntilShown(bad, () => project.shiftwork('reload'))
    expect(rejected.stdout).toMatch(bad.shows)
    expect(rejected.stdout).toMatch(/reload rejected in .*: nothing was touched, the old code serves\n$/)
    expect(rejected).toMatchObject({ code: 5, stderr: '' })
    expect(await project.pids()).toEqual(before)
    // the failed canaries are gone when the command returns
    expect((await project.status()).groups[0]?.processes.map((row) => row.pid)).toEqual(before)

    project.write('start.js', start)
    project.write('app.js', app('2'))
    expect((await project.reload()).code).toBe(0)
    await load.more(300)
    const result = await load.stop()
    expect(result.errors).toEqual([])
    expect(new Set(result.lastVersions)).toEqual(new Set(['2']))
    const after = await project.pids()
    // nobody but the good old and the good new workers ever answered
    expect([...result.byPid.keys()].filter((pid) => !before.includes(pid) && !after.includes(pid))).toEqual([])
  })

it('C15 TypeScript that cannot be read is shown with file and line, under tsx and under type stripping', async () => {
  const start = webStart().replace('./app.js', './app.ts')
  for (const flavour of stripsTypes ? (['tsx-import', 'strip'] as const) : (['tsx-import'] as const)) {
    const project = Project.create({ 'start.ts': start, 'app.ts': app('1') }, { startFile: 'start.ts' })
    await project.start(flavour)
    const before = await project.pids()
    // an enum is no erasable syntax: only stripping minds it; a broken annotation is wrong for both
    const broken = flavour === 'strip' ? 'const a = 1\nenum Colour { Red }\n' : 'const a = 1\nconst b: = 2\n'
    project.write('app.ts', broken + app('2'))
    const rejected = await project.shiftwork('reload')
    expect(rejected.stdout).toMatch(/app\.ts:2/)
    expect(rejected.code).toBe(5)
    expect(await project.pids()).toEqual(before)
    project.write('app.ts', app('2'))
    expect((await project.reload()).code).toBe(0)
  }
})

it('a syntax error in the start file itself rejects the reload and is shown', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const before = await project.pids()
  project.write('start.js', 'const = 1')
  const rejected = await project.shiftwork('reload')
  expect(rejected.stdout).toMatch(/SyntaxError/)
  expect(rejected.code).toBe(5)
  expect(await project.pids()).toEqual(before)
})

it('a reload by a name that the start file has lost says so, and touches nothing', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const before = await project.pids()
  project.write('start.js', webStart({ name: 'site' }))
  const rejected = await project.shiftwork('reload', 'web')
  expect(rejected.stdout).toContain('the start file describes no worker "web" any more')
  expect(rejected.code).toBe(5)
  expect(await project.pids()).toEqual(before)
})

it('C9 the first try fails, the second works: the reload is done', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const once = `
import { existsSync, writeFileSync } from 'node:fs'
if (!existsSync('tried')) { writeFileSync('tried', ''); throw new Error('the first try') }
`
  project.write('app.js', once + app('2'))
  const { code, summary } = await project.reload()
  expect({ code, result: summary.result, error: summary.error }).toEqual({ code: 0, result: 'done', error: null })
  expect(project.log).toContain('the first try')
})

it('C17 two groups, the second canary fails: neither group was touched', async () => {
  const two = `
import { Worker } from 'shiftwork'
for (const name of ['web', 'api']) {
  const worker = new Worker('http://127.0.0.1:0', { name, count: 2, bakeMs: 50 })
  worker.onWorkerStart = async (self) => {
    const { createApp } = await import('./' + name + '.js')
    self.onRequest = createApp(self)
  }
}
Worker.runAll()`
  const project = Project.create({ 'start.js': two, 'web.js': app('1'), 'api.js': app('1') })
  await project.start()
  const before = [await project.pids('web'), await project.pids('api')]
  project.write('web.js', app('2'))
  project.write('api.js', `throw new Error('api is broken')`)
  const rejected = await project.reload()
  expect(rejected.code).toBe(5)
  expect(rejected.summary).toMatchObject({
    result: 'rejected',
    error: { worker: 'api/0', message: 'api is broken' },
    replaced: [],
  })
  expect([await project.pids('web'), await project.pids('api')]).toEqual(before)
})

it('a later worker that fails twice stops the roll: exit 6, and it is said who runs what', async () => {
  const second = `
if (process.title.includes('web/1 ')) throw new Error('only the first place works')
`
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const before = await project.pids()
  project.write('app.js', second + app('2'))
  const result = await project.shiftwork('reload')
  expect(result.code).toBe(6)
  expect(result.stdout).toContain('only the first place works')
  expect(result.stdout).toMatch(/reload mixed in .*: web\/0 run the new code, the others the old/)
  const [first, kept] = await project.pids()
  expect(first).not.toBe(before[0])
  expect(kept).toBe(before[1])
  expect((await project.status()).groups[0]?.state).toBe('mixed')
  project.write('app.js', app('3'))
  expect((await project.reload()).code).toBe(0)
  expect((await project.status()).groups[0]?.state).toBe('ok')
})

it('C18 after a rejected reload recycling waits and status warns, until a good reload', async () => {
  const project = Project.create({ 'start.js': webStart({ maxRequests: 50 }), 'app.js': app('1') })
  await project.start()
  const port = await project.port()
  project.write('app.js', `throw new Error('bad')`)
  expect((await project.reload()).code).toBe(5)
  const before = await project.pids()
  const load = new Load({ target: { port }, clients: 5, pauseMs: [0, 1] })
  await load.more(500)
  expect(await project.pids()).toEqual(before)
  expect((await project.status()).master.warnings.join()).toContain('recycling waits for a good reload')
  project.write('app.js', app('2'))
  expect((await project.reload()).code).toBe(0)
  expect((await project.status()).master.warnings).toEqual([])
  const fresh = await project.pids()
  await until('both are recycled', async () => (await project.pids()).every((pid) => !fresh.includes(pid)))
  const result = await load.stop()
  expect(result.errors).toEqual([])
})

it('C18 a worker that crashes after a rejected reload is started from what is there, and the others serve', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const [first = 0, second = 0] = await project.pids()
  project.write('app.js', `throw new Error('bad')`)
  expect((await project.reload()).code).toBe(5)
  const load = new Load({ target: { port: await project.port() }, clients: 5, pauseMs: [5, 10] })
  await load.more(20)
  await kill(project, first)
  await until('backoff', async () => (await project.status()).groups[0]?.state === 'backoff')
  expect(await project.pids()).toEqual([second])
  project.write('app.js', app('2'))
  expect((await project.reload()).code).toBe(0)
  await load.more(50)
  expect(await project.pids()).toHaveLength(2)
  const result = await load.stop()
  // the killed worker may have held a request of each of its clients, and no more
  expect(result.failed).toBeLessThanOrEqual(5)
  expect(result.counts.refused + result.counts.timeout + result.counts.wrong).toBe(0)
})

it('C18 a rejected reload where no worker serves does not say that the old code does', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 1 }), 'app.js': app('1') })
  await project.start()
  project.write('app.js', `throw new Error('bad')`)
  await kill(project, ...(await project.pids()))
  await until('backoff', async () => (await project.status()).groups[0]?.state === 'backoff')
  const shown = await project.shiftwork('reload')
  expect(shown.stdout).toMatch(
    /reload rejected in .*: nothing was touched; web: no worker serves \(none did before\)\n$/,
  )
  expect(shown.code).toBe(5)
  expect(project.log).toMatch(/reload rejected after .*: nothing was touched; web: no worker serves/)
  const { code, summary } = await project.reload()
  expect({ code, standing: summary.standing }).toEqual({
    code: 5,
    standing: [{ name: 'web', count: 1, serving: 0, servedBefore: 0, fresh: [], hasServed: false }],
  })
})

it('C18 new code that has served and then dies is not taken for untried: exit 6', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const [first = 0, second = 0] = await project.pids()
  project.write('app.js', `throw new Error('bad')`)
  await kill(project, first)
  await until('backoff', async () => (await project.status()).groups[0]?.state === 'backoff')
  // the place that is empty runs the new code, the other one never comes to it
  const waits = `
import { existsSync } from 'node:fs'
while (!existsSync('go')) await new Promise((wait) => setTimeout(wait, 10))
if (process.title.includes('web/1 ')) await new Promise(() => setInterval(() => undefined, 1_000))
`
  project.write('app.js', waits + app('2'))
  const reloading = project.shiftwork('reload')
  // the place is tried again without a reload, too: from here on only what the reload has started can serve in it
  await until('it is under way', () => project.log.includes('reload of web'))
  project.write('go', '')
  const fresh = async (): Promise<number> => (await project.pids()).find((pid) => pid !== second) ?? 0
  for (let before = 0, times = 0; times < 2; times++) {
    await until('the new code serves', async () => ![0, before].includes(await fresh()))
    before = await fresh()
    await kill(project, before)
  }
  const result = await reloading
  expect(result.stdout).toMatch(/reload mixed in .*: no worker runs the new code, the others the old/)
  expect(result.code).toBe(6)
  expect(await project.pids()).toContain(second)
  expect((await project.status()).lastReload).toMatchObject({ result: 'mixed', standing: [{ hasServed: true }] })
})

for (const bad of BAD.filter((row) => ['C1', 'C2', 'C3', 'C4', 'C5', 'C6'].includes(row.id)))
  it(`C16 a first start with ${bad.what}: exit 1, the error shown, nothing left`, async () => {
    const project = Project.create({ 'start.js': webStart(bad.options), 'app.js': bad.app })
    const foreground = await playUntilShown(bad, () => project.through('js', 'start'))
    expect(foreground.code).toBe(1)
    expect(foreground.stdout + foreground.stderr).toMatch(bad.shows)
    expect(foreground.stderr).toContain('Nothing is left running')
    expect(project.processes).toEqual([])
    const daemon = await playUntilShown(bad, () => project.through('js', 'start', '-d'))
    expect(daemon.code).toBe(1)
    expect(daemon.stdout).toBe('')
    expect(daemon.stderr).toMatch(bad.shows)
    expect(project.processes).toEqual([])
    expect((await project.shiftwork('status')).code).toBe(3)
  })
