/** A first start that fails while the files are watched waits for the fix, and says so meanwhile. C16, H7. */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { quietPorts } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'

const WAITING = /Waiting for a change\. Ctrl-C ends it\./

/** A careful editor: at no moment is the file half written. */
function save(project: Project, name: string, text: string): void {
  project.write(`${name}.tmp`, text)
  renameSync(join(project.dir, `${name}.tmp`), join(project.dir, name))
}

async function failing(
  files: Record<string, string>,
  ...args: string[]
): Promise<{ project: Project; running: Running }> {
  const project = Project.create({ 'start.js': webStart({ bakeMs: 0 }), ...files })
  const { command, args: words } = project.commandFor('js')
  const running = project.launch(command, [...words, 'start', '--watch', ...args])
  return { project, running }
}

/** Fixed: nothing is lost under load from here on, and the next change reloads as ever. */
async function expectWorks(project: Project, version: string): Promise<void> {
  const load = new Load({ target: { port: await project.port() }, clients: 10, pauseMs: [5, 30] })
  await load.more(50)
  const seen = project.log.length
  save(project, 'app.js', app(version))
  await until('it is reloaded', () => /changed: reload\n[\s\S]* reload done after /.test(project.log.slice(seen)))
  // more than the load remembers versions of
  await load.more(250)
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect(result.failed).toBe(0)
  expect(new Set(result.lastVersions)).toEqual(new Set([version]))
}

it('shows the error and waits; a second bad save shows its own and waits on; the fix starts everything, and says ready', async () => {
  const { project, running } = await failing({ 'app.js': `throw new Error('no such table: users')` })
  await running.line(WAITING)
  expect(running.stderr).toMatch(
    /no such table: users[\s\S]*app\.js:1[\s\S]*error web\/\d did not start\n +Waiting for a change/,
  )
  await until('nobody is left of it', () => project.processes.length === 1)
  const status = await project.status()
  expect(status.master).toMatchObject({
    state: 'starting',
    watching: true,
    warnings: ['the first start has failed: nothing runs until a file changes, or a reload'],
  })
  expect(status.groups.flatMap((group) => group.processes.filter((row) => row.pid !== null))).toEqual([])

  const scaled = await project.shiftwork('scale', 'web=3')
  expect(scaled.code).toBe(1)
  expect(scaled.stdout + scaled.stderr).toContain('nothing runs: the first start has failed')

  save(project, 'app.js', `const a = 1\nthrow new Error('no such column: age')`)
  await running.line(/reload failed after .*: nothing runs, waiting for a change/)
  expect(running.stdout).toMatch(/error web\/\d: no such column: age\n[\s\S]*app\.js:2/)
  expect(running.stdout + running.stderr).not.toContain('the old code serves')
  await until('nobody is left of it', () => project.processes.length === 1)
  expect((await project.status()).master.state).toBe('starting')
  expect(running.stdout).not.toMatch(/^ready in /m)

  save(project, 'app.js', app('1'))
  await running.line(/^ready in /m)
  expect((await project.status()).master).toMatchObject({ state: 'running', warnings: [] })
  expect(await project.pids()).toHaveLength(2)
  await expectWorks(project, '2')
})

it('a reload by command is tried as a change would be: exit 1 with the error while it fails, then 0', async () => {
  const { project, running } = await failing({ 'app.js': `import './missing.json'\nthrow new Error('bad')` })
  await running.line(WAITING)
  const failed = await project.shiftwork('reload')
  expect(failed.code).toBe(1)
  expect(failed.stdout).toContain('missing.json')
  expect(failed.stdout).toMatch(/reload failed in .*: nothing runs, the master waits for a change\n$/)
  const named = await project.reload('web')
  expect([named.code, named.summary.result]).toEqual([1, 'failed'])
  expect((await project.status()).lastReload).toMatchObject({ result: 'failed' })
  // what makes it good is no file of code
  save(project, 'app.js', app('1'))
  await running.line(/^ready in /m)
  expect((await project.reload()).code).toBe(0)
})

it('the fix may be of the start file itself: other groups, an order, a kept one, another number and address', async () => {
  const [port = 0] = await quietPorts(1)
  const broken = `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 1, bakeMs: 0 })
web.onWorkerStart = () => { throw new Error('not yet') }
const gone = new Worker('http://127.0.0.1:0', { name: 'gone' })
gone.onRequest = (_, response) => response.end()
Worker.runAll()`
  const fixed = webStart({ count: 3, bakeMs: 0, after: ['gateway'] }, `http://127.0.0.1:${port}`).replace(
    'Worker.runAll()',
    `const gateway = new Worker('http://127.0.0.1:0', { name: 'gateway', reloadable: false })
gateway.onRequest = (_, response) => response.end('gateway')
Worker.runAll()`,
  )
  const { project, running } = await failing({ 'start.js': broken, 'app.js': app('1') })
  await running.line(WAITING)
  save(project, 'start.js', 'const = 1')
  await running.line(/reload failed after /)
  expect(running.stdout).toMatch(/start\.js:1[\s\S]*SyntaxError/)
  save(project, 'start.js', fixed)
  await running.line(/^ready in /m)
  const status = await project.status()
  expect(status.groups.map((group) => [group.name, group.state, group.processes.length]).sort()).toEqual([
    ['gateway', 'ok', 1],
    ['web', 'ok', 3],
  ])
  expect(await project.port()).toBe(port)
  expect((await get({ port })).status).toBe(200)
  const log = project.log.slice(project.log.indexOf('waiting for a change'))
  expect(log.indexOf('gateway/0')).toBeLessThan(log.search(/web\/\d .* serves/))
  const [pid] = await project.pids('gateway')
  expect((await project.reload()).summary.kept).toEqual(['gateway'])
  expect(await project.pids('gateway')).toEqual([pid])
})

for (const [what, end] of [
  ['Ctrl-C', (_: Project, running: Running): unknown => running.kill('SIGINT')],
  ['stop', (project: Project): unknown => project.shiftwork('stop')],
] as const)
  it(`${what} while it waits ends it: exit 1, for it never served, and nothing is left`, async () => {
    const { project, running } = await failing({ 'app.js': `throw new Error('never')` })
    await running.line(WAITING)
    await end(project, running)
    expect((await running.ended).code).toBe(1)
    expect(project.processes).toEqual([])
    expect((await project.shiftwork('status')).code).toBe(3)
  })

it('one that has been mended and is then stopped ends with exit 0, and with --json has printed one value', async () => {
  const { project, running } = await failing({ 'app.js': `throw new Error('not yet')` }, '--json')
  await until('it waits', () => project.log.includes('waiting for a change'))
  await until('nobody is left of it', () => project.processes.length === 1)
  expect(running.stdout).toBe('')
  save(project, 'app.js', app('1'))
  await until('it has started', () => running.stdout.endsWith('\n'))
  expect((await project.shiftwork('stop')).code).toBe(0)
  const { code, stdout } = await running.ended
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ master: { state: 'running' } })
})

it('in the background nobody sees an error: start -d --watch fails as without, exit 1, and nothing is left', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': `throw new Error('no such table')` })
  const result = await project.through('js', 'start', '-d', '--watch')
  expect(result).toMatchObject({ code: 1, stdout: '' })
  expect(result.stderr).toContain('no such table')
  expect(project.processes).toEqual([])
})
