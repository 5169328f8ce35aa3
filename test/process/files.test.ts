/** One master per start file: pid file and control socket, and whatever may stand in their place. Scenarios F1, F2, F7. */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Status } from '../../src/ipc/status.ts'
import { app, webStart } from '../helpers/apps.ts'
import { asNobody, canBeNobody, oneJson, openToAll, shiftwork } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { kill } from '../helpers/faults.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

function web(): Project {
  return Project.create({ 'start.js': webStart(), 'app.js': app('1') })
}

async function statusOf(project: Project, startFile: string): Promise<Status> {
  return oneJson<Status>(await shiftwork(project, ['status', '--json', startFile]))
}

function pidFile(project: Project): string {
  return join(project.stateDir, 'master.pid')
}

it('F1 a second start is refused with the pid of the first, exit 1, and the first is untouched', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const before = await project.status()
  const files = ['master.pid', 'control.sock'].map((name) => join(project.stateDir, name))
  for (const words of [['start'], ['start', '-d'], ['start', '--json']]) {
    const result = await shiftwork(project, words)
    expect({ words, code: result.code }).toEqual({ words, code: 1 })
    expect(result.stdout + result.stderr).toContain(`Already running, as pid ${before.master.pid}`)
  }
  expect((await project.through('js', 'start')).code).toBe(1)
  expect(files.map((file) => existsSync(file))).toEqual([true, true])
  const after = await project.status()
  expect(after.groups[0]?.processes.map((row) => row.pid)).toEqual(before.groups[0]?.processes.map((row) => row.pid))
  expect((await get({ port: await project.port() })).status).toBe(200)
  expect(project.processes).toHaveLength(3)
})

const ALL = [['status'], ['stop'], ['stop', '--force'], ['reload']]

/** Whatever the file holds: nothing runs, nobody is hurt, the next start works and leaves a good file. */
async function expectStale(project: Project, commands = ALL): Promise<void> {
  for (const words of commands)
    expect({ words, code: (await shiftwork(project, words)).code }).toEqual({ words, code: 3 })
  const start = await shiftwork(project, ['start', '-d'])
  expect({ code: start.code, stderr: start.stderr }).toEqual({ code: 0, stderr: '' })
  const { master } = await project.status()
  expect(readFileSync(pidFile(project), 'utf8')).toMatch(new RegExp(`^${master.pid}\nstarted=\\S.*\n`))
  expect((await shiftwork(project, ['stop'])).code).toBe(0)
  expect(existsSync(pidFile(project))).toBe(false)
  expect(existsSync(join(project.stateDir, 'control.sock'))).toBe(false)
}

it('F2 the pid file and the control socket of a master that was killed are no obstacle', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const { master } = await project.status()
  await kill(project, master.pid)
  await until('its workers have left', () => project.processes.length === 0)
  expect(existsSync(pidFile(project))).toBe(true)
  expect(existsSync(join(project.stateDir, 'control.sock'))).toBe(true)
  await expectStale(project)
})

it('F2 a pid that another program has now is not taken for the master, and not signalled', async () => {
  const project = web()
  const bystander = project.launch('sleep', ['600'])
  project.write('.shiftwork/start.js/master.pid', `${bystander.pid} 12345\n`)
  await expectStale(project)
  project.write('.shiftwork/start.js/master.pid', `${process.pid} 12345\n`)
  await expectStale(project)
  expect(isAlive(bystander.pid)).toBe(true)
  bystander.kill('SIGTERM')
  expect((await bystander.ended).signal).toBe('SIGTERM')
})

const GARBAGE: [what: string, content: string | Buffer][] = [
  ['an empty', ''],
  ['a blank', ' \n\n'],
  ['a wordy', 'the master is away\n'],
  ['a negative', '-1 1\n'],
  ['a zero', '0 0\n'],
  ['a huge', `${'9'.repeat(400)} 1\n`],
  ['a bare', `${process.pid}\n`],
  ['a binary', Buffer.from([0, 255, 254, 10, 0, 1, 2, 3])],
  ['a long', `1 ${'x'.repeat(1_000_000)}\n`],
]

for (const [what, content] of GARBAGE)
  it(`F2 ${what} pid file is no obstacle`, async () => {
    const project = web()
    mkdirSync(project.stateDir, { recursive: true })
    writeFileSync(pidFile(project), content)
    await expectStale(project, [['stop', '--force']])
  })

it.skipIf(!canBeNobody)('F2 a pid file that cannot be read is no obstacle in a directory of ones own', async () => {
  const project = web()
  const open = openToAll(project, 'open')
  const words = ['--state-dir', join(open, 'state'), project.startFile]
  expect((await asNobody(project, ['start', '-d', ...words])).code).toBe(0)
  expect((await asNobody(project, ['stop', ...words])).code).toBe(0)
  const file = join(open, 'state', 'master.pid')
  writeFileSync(file, '1 1\n')
  chmodSync(file, 0)
  expect((await asNobody(project, ['status', ...words])).code).toBe(3)
  const start = await asNobody(project, ['start', '-d', ...words])
  expect({ code: start.code, stderr: start.stderr }).toEqual({ code: 0, stderr: '' })
  expect((await asNobody(project, ['stop', ...words])).code).toBe(0)
})

it('F2 a directory in the place of the pid file is named, exit 1', async () => {
  const project = web()
  mkdirSync(pidFile(project), { recursive: true })
  const result = await shiftwork(project, ['start', '-d'])
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/^error .*master\.pid is a directory\n +Remove it, then start again\.$/m)
  expect(project.processes).toEqual([])
})

it('F2 a directory in the place of the control socket or of a log is named, exit 1', async () => {
  for (const [name, says] of [
    ['control.sock', /^error Cannot open the control socket .*control\.sock: EISDIR\n +Move away what is there/m],
    ['shiftwork.log', /^error Cannot write to .*shiftwork\.log: EISDIR\n.*Worker\.runAll\(\{ logFile \}\)\.$/m],
    ['stdout.log', /^error Cannot write to .*stdout\.log: EISDIR\n.*Worker\.runAll\(\{ stdoutFile \}\)\.$/m],
  ] as const) {
    const project = web()
    mkdirSync(join(project.stateDir, name), { recursive: true })
    const result = await shiftwork(project, ['start', '-d'])
    expect({ name, code: result.code }).toEqual({ name, code: 1 })
    expect(result.stderr).toMatch(says)
    expect(result.stderr).not.toMatch(/^ +at /m)
    expect(project.processes).toEqual([])
  }
})

it('F2 whatever stands in the place of the control socket is replaced', async () => {
  const project = web()
  project.write('.shiftwork/start.js/control.sock', 'a file')
  await expectStale(project)
  const server = createServer().listen(join(project.root, 'other.sock'))
  await new Promise((resolve) => server.once('listening', resolve))
  renameSync(join(project.root, 'other.sock'), join(project.stateDir, 'control.sock'))
  server.close()
  await expectStale(project)
})

it('F7 two start files in one folder have a master each, and do not meet', async () => {
  const project = Project.create({ 'one.js': webStart(), 'two.js': webStart({ count: 1 }), 'app.js': app('1') })
  for (const file of ['one.js', 'two.js']) expect((await shiftwork(project, ['start', '-d', file])).code).toBe(0)
  const [one, two] = [await statusOf(project, 'one.js'), await statusOf(project, 'two.js')]
  expect(one.master.pid).not.toBe(two.master.pid)
  expect((await shiftwork(project, ['reload', 'one.js'])).code).toBe(0)
  expect((await shiftwork(project, ['stop', 'one.js'])).code).toBe(0)
  const after = await statusOf(project, 'two.js')
  expect(after.groups[0]?.processes.map((row) => row.pid)).toEqual(two.groups[0]?.processes.map((row) => row.pid))
  expect((await shiftwork(project, ['stop', 'two.js'])).code).toBe(0)
})

it('F7 two copies of a project in two folders do not meet', async () => {
  const [first, second] = [web(), web()]
  for (const project of [first, second]) expect((await project.shiftwork('start', '-d')).code).toBe(0)
  const before = await second.pids()
  expect((await first.shiftwork('reload')).code).toBe(0)
  expect((await first.shiftwork('stop')).code).toBe(0)
  expect(await second.pids()).toEqual(before)
})
