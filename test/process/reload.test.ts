/** Nothing is lost in a reload: strict clients under load through reloads, group A. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import type { Target } from '../helpers/client.ts'
import { Load, type LoadOptions, type LoadResult } from '../helpers/load.ts'
import { Project } from '../helpers/project.ts'

const KEEP_ALIVE = { clients: 100, pauseMs: [0, 20], slowShare: 0.02 } as const

/** Ten reloads, each of new code, under this load. Returns what the load came to. */
async function tenReloads(project: Project, load: Load): Promise<LoadResult> {
  await load.more(300)
  for (let version = 2; version <= 11; version++) {
    const before = await project.pids()
    project.write('app.js', app(String(version)))
    const { code, summary } = await project.reload()
    expect({ code, result: summary.result, error: summary.error }).toEqual({ code: 0, result: 'done', error: null })
    const after = await project.pids()
    expect(after).toHaveLength(before.length)
    expect(after.filter((pid) => before.includes(pid))).toEqual([])
    expect(summary.replaced.map((row) => row.oldPid).sort()).toEqual([...before].sort())
    await load.more(50)
  }
  await load.more(300)
  return load.stop()
}

function expectNothingLost(result: LoadResult): void {
  expect(result.errors).toEqual([])
  expect(result.counts).toEqual({
    answered: result.counts.answered,
    wrong: 0,
    refused: 0,
    reset: 0,
    closed: 0,
    timeout: 0,
  })
  expect(result.counts.answered).toBeGreaterThan(1_000)
  expect(new Set(result.lastVersions)).toEqual(new Set(['11']))
}

async function loadOf(project: Project, options: Omit<LoadOptions, 'target'>): Promise<Load> {
  const target: Target = { port: await project.port() }
  return new Load({ target, ...options })
}

it('A1 keep-alive clients lose nothing in ten reloads, and the last answers come from new code', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  expectNothingLost(await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, pauseMs: [0, 20] })))
})

it('A1 clients that pause for 0 to 50 ms lose nothing either', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  expectNothingLost(await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, pauseMs: [0, 50] })))
})

it('A2 POSTs of 16 KB are received whole and answered through ten reloads', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const request = { method: 'POST', body: 'x'.repeat(16 * 1024) }
  expectNothingLost(await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, pauseMs: [0, 20], request })))
})

it('A3 a new connection for each request loses nothing in ten reloads', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  expectNothingLost(
    await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, pauseMs: [0, 20], isShort: true })),
  )
})

it('A4 the same over a unix socket', async () => {
  const project = Project.create({ 'app.js': app('1') })
  const path = `${project.root}/web.sock`
  project.write('start.js', webStart({}, `http+unix://${path}`))
  await project.start()
  expectNothingLost(await tenReloads(project, new Load({ target: { path }, ...KEEP_ALIVE, pauseMs: [0, 20] })))
})

for (const [what, more] of [
  ['keep-alive clients', {}],
  ['new connections', { isShort: true }],
] as const)
  it(`A4 the same over TLS: ${what} lose nothing in ten reloads`, async () => {
    const project = Project.create({ 'app.js': app('1') })
    const subject = ['-subj', '/CN=localhost', '-days', '2']
    const key = ['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
    const made = await project.exec('openssl', [...key, '-keyout', 'key.pem', '-out', 'cert.pem', ...subject])
    expect(made.code).toBe(0)
    const tls = `tls: { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }, `
    const start = webStart({}, 'https://127.0.0.1:0').replace('"name"', `${tls}"name"`)
    project.write('start.js', `import { readFileSync } from 'node:fs'\n${start}`)
    await project.start()
    const target = { port: await project.port(), tls: true }
    // each new connection costs a handshake: fewer clients, or the processor is all that is measured
    const clients = 'isShort' in more ? 30 : 100
    const load = new Load({ target, ...KEEP_ALIVE, clients, pauseMs: [0, 20], ...more })
    expectNothingLost(await tenReloads(project, load))
  })

for (const [what, more] of [
  ['keep-alive clients', {}],
  ['new connections', { isShort: true }],
  ['POSTs', { request: { method: 'POST', body: 'x'.repeat(16 * 1024) } }],
] as const)
  it(`A5 with a single worker: ${what} lose nothing in ten reloads`, async () => {
    const project = Project.create({ 'start.js': webStart({ count: 1 }), 'app.js': app('1') })
    await project.start()
    expectNothingLost(await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, pauseMs: [0, 20], ...more })))
  })

it('A12 reloads right after the start and without a pause lose nothing', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const load = await loadOf(project, { ...KEEP_ALIVE, pauseMs: [0, 20] })
  project.write('app.js', app('11'))
  const fired = Array.from({ length: 8 }, () => project.reload())
  const answers = await Promise.all(fired)
  expect(answers.map((answer) => [answer.code, answer.summary.result])).toEqual(answers.map(() => [0, 'done']))
  await load.more(500)
  expectNothingLost(await load.stop())
})

it('A12 nothing is lost while every core is busy', async () => {
  const project = Project.create({
    'start.js': webStart(),
    'app.js': app('1'),
    'busy.js': 'for (const end = Date.now() + 60_000; Date.now() < end; );',
  })
  await project.start()
  const busy = [1, 2].map(() => project.launch(process.execPath, [`${project.dir}/busy.js`]))
  const result = await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, clients: 50, pauseMs: [0, 20] }))
  for (const spinner of busy) spinner.kill('SIGKILL')
  await Promise.all(busy.map((spinner) => spinner.ended))
  expectNothingLost(result)
})
