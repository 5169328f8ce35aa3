/** Operations at the same time: each gets one true answer. Group D. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Client } from '../helpers/client.ts'
import { freeze, kill, thaw } from '../helpers/faults.ts'
import { conversations } from '../helpers/fleets.ts'
import { reloadOnce } from '../helpers/leaks.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

/** Code that notes each process that loads it in `loaded`, and goes on when there is a file `go`. */
function heldApp(version: string): string {
  return `
import { appendFileSync, existsSync } from 'node:fs'
appendFileSync('loaded', '${version}')
while (!existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 10))
${app(version)}`
}

/** @param versions of all such code that was loaded, one for each process. */
function loaded(project: Project, versions: string): Promise<void> {
  return until('it is loaded', () => project.written('loaded') === versions)
}

async function started(options: Record<string, unknown> = {}): Promise<Project> {
  const project = Project.create({ 'start.js': webStart(options), 'app.js': app('1') })
  await project.start()
  return project
}

it('D1 a reload during a reload follows it, and each caller is told of code that was loaded', async () => {
  const project = await started()
  const before = await project.pids()
  project.write('app.js', heldApp('2'))
  const first = project.reload()
  await loaded(project, '2')
  project.write('app.js', app('3'))
  const others = [reloadOnce(project), reloadOnce(project)]
  await until('all three are connected', () => conversations(project) === 3)
  // they have written before it, which is answered: the master has read them
  await project.status()
  project.write('go', '')
  const { code, summary: one } = await first
  const [two, three] = await Promise.all(others)
  expect([code, one.result, two?.result, three?.result]).toEqual([0, 'done', 'done', 'done'])
  expect(one.replaced.map((row) => row.oldPid).sort()).toEqual(before.sort())
  // the two that waited became one reload, which replaced what the first one started
  expect(two?.replaced.map((row) => row.oldPid).sort()).toEqual(one.replaced.map((row) => row.newPid).sort())
  expect(three).toEqual(two)
  expect(await project.pids()).toEqual(two?.replaced.sort((a, b) => a.id - b.id).map((row) => row.newPid))
  const load = new Load({ target: { port: await project.port() }, clients: 4, pauseMs: [0, 1] })
  await load.more(50)
  expect(new Set((await load.stop()).lastVersions)).toEqual(new Set(['3']))
})

it('D2 a stop during a reload cancels it, and everything ends', async () => {
  const project = await started()
  project.write('app.js', heldApp('2'))
  const reload = project.shiftwork('reload')
  await loaded(project, '2')
  const stopped = await project.shiftwork('stop')
  expect(stopped).toMatchObject({ code: 0, stderr: '' })
  expect(await reload).toMatchObject({ code: 1, stdout: expect.stringContaining('reload cancelled') as string })
  expect(project.processes).toEqual([])
})

it('D3 a reload during the start follows it', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': heldApp('1') })
  const { command, args } = project.commandFor('js')
  const running = project.launch(command, [...args, 'start'])
  await loaded(project, '11')
  project.write('app.js', app('2'))
  const reload = project.reload()
  await until('it is connected', () => conversations(project) === 1)
  project.write('go', '')
  const answer = await reload
  expect([answer.code, answer.summary.result]).toEqual([0, 'done'])
  await running.line(/^ready in /m)
  expect(project.log).toMatch(/ every worker serves\n[\s\S]* reload of web\n/)
  const load = new Load({ target: { port: await project.port() }, clients: 2, pauseMs: [0, 1] })
  await load.more(20)
  expect(new Set((await load.stop()).lastVersions)).toEqual(new Set(['2']))
})

it('D3 a stop during the start ends it, with exit 0 and nothing left', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': heldApp('1') })
  const { command, args } = project.commandFor('js')
  const running = project.launch(command, [...args, 'start'])
  await running.line(/WORKER/)
  await until('it listens for commands', async () => (await project.shiftwork('status')).code === 0)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect((await running.ended).code).toBe(0)
})

it('D5 a worker that crashes by itself during a reload comes back in the right generation', async () => {
  const project = await started({ count: 3 })
  const [, second = 0] = await project.pids()
  project.write('app.js', heldApp('2'))
  const reload = project.reload()
  await loaded(project, '2')
  await kill(project, second)
  await until('the master knows', () => project.log.includes(`(pid ${second}) left by SIGKILL`))
  project.write('go', '')
  expect((await reload).summary.result).toBe('done')
  const status = await project.status()
  expect(status.groups[0]?.state).toBe('ok')
  expect(status.groups[0]?.processes.map((row) => [row.id, row.generation, row.state])).toEqual([
    [0, 2, 'serving'],
    [1, 2, 'serving'],
    [2, 2, 'serving'],
  ])
  expect(status.groups[0]?.processes[1]).toMatchObject({
    restarts: 1,
    lastExit: { signal: expect.anything() as string },
  })
})

it('D9 the command that asked is killed during the reload: the reload goes on', async () => {
  const project = await started()
  const before = await project.pids()
  project.write('app.js', heldApp('2'))
  const asking = project.launch(process.execPath, [
    `${project.dir}/node_modules/shiftwork/bin/shiftwork.js`,
    'reload',
    project.startFile,
  ])
  await loaded(project, '2')
  asking.kill('SIGKILL')
  await asking.ended
  project.write('go', '')
  await until('it is done', () => /reload done after .*, 2 workers replaced/.test(project.log))
  expect((await project.pids()).filter((pid) => before.includes(pid))).toEqual([])
})

it('D9 a master that is stopped by a signal after it has accepted a command is told of, and stop --force ends it all the same', async () => {
  const project = Project.create({ 'start.js': webStart({ stopTimeoutMs: 60_000 }), 'app.js': app('1') })
  await project.start()
  const { pid } = (await project.status()).master
  const held = await Client.open({ port: await project.port() })
  held.send({ path: '/slow?ms=50000' })
  const reload = project.shiftwork('reload')
  await until('it is under way', () => project.log.includes(' drains'))
  await freeze(project, pid)
  const why = expect.stringContaining('a signal has stopped it') as string
  expect(await reload).toMatchObject({ code: 4, stderr: why })
  await thaw(project, pid)
  const stop = project.shiftwork('stop', '--force')
  await until('it is under way', () => project.log.includes(' stopping'))
  await freeze(project, pid)
  expect(await stop).toMatchObject({ code: 0, stdout: expect.stringContaining(`killed: master ${pid}`) as string })
  expect(project.processes).toEqual([])
  held.close()
})

it('a stop and a restart wait for workers, and not for what the master’s own code has started', async () => {
  const start = `import cluster from 'node:cluster'
import { spawn } from 'node:child_process'
if (cluster.isPrimary && process.argv[2] === 'start') spawn('sleep', ['1008'])
${webStart()}`
  const project = Project.create({ 'start.js': start, 'app.js': app('1') })
  expect((await project.through('js', 'start', '-d')).code).toBe(0)
  expect(await project.through('js', 'restart', '-d')).toMatchObject({ code: 0, stderr: '' })
  expect(await project.shiftwork('stop')).toMatchObject({ code: 0, stderr: '' })
  const left = project.processes
  expect(left.map(({ title }) => title)).toContain('sleep 1008')
  for (const { pid } of left) process.kill(pid, 'SIGKILL')
})
