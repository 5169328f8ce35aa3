/** Rotation: the runtime's log and the workers' output, moved away under load, and no line of either lost. Scenario F12. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { webStart } from '../helpers/apps.ts'
import { oneJson } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { Load } from '../helpers/load.ts'
import { logFile, loggingProject, rotated, upTo } from '../helpers/logs.ts'
import { until } from '../helpers/processes.ts'
import { BIN, Project } from '../helpers/project.ts'

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0
const hasLogrotate = spawnSync('logrotate', ['--version']).status === 0

const ROTATIONS = 50

/**
 * In the master: what is thrown there is logged, so a numbered line of the runtime's own log each time, until there is
 * a file `enough`.
 */
const TICKING = `
import { existsSync } from 'node:fs'
Worker.onMasterReload = () => {
  let tick = 0
  const timer = setInterval(() => {
    const isLast = existsSync('enough')
    if (isLast) clearInterval(timer)
    throw new Error((isLast ? 'last tick ' : 'tick ') + ++tick)
  }, 1)
}`

it('F12 the log is renamed and opened again on SIGUSR1, over and over, under load: each line once', async () => {
  const project = loggingProject({}, TICKING)
  const running = await project.start()
  const load = new Load({ target: { port: await project.port() }, clients: 4, pauseMs: [0, 5] })
  const reload = project.reload()
  await running.line(/: tick 1$/m)
  let files = 0
  let isOver = false
  const over = running.line(/: last tick (\d+)\n/).finally(() => {
    isOver = true
  })
  while (!isOver) {
    if (existsSync(logFile(project))) {
      renameSync(logFile(project), `${logFile(project)}.${1_000 - ++files}`)
      running.kill('SIGUSR1')
    }
    if (files === ROTATIONS) project.write('enough', '')
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  const [, ticks] = await over
  expect((await reload).code).toBe(0)
  const result = await load.stop()
  expect((await project.shiftwork('stop')).code).toBe(0)
  const whole = rotated(project.stateDir, 'shiftwork.log').join('')
  const logged = [...whole.matchAll(/^\S+ error uncaught .*: (?:last )?tick (\d+)$/gm)]
  expect(logged.map((match) => Number(match[1]))).toEqual(upTo(Number(ticks)))
  expect(whole.match(/^\S+ info {2}log files opened again$/gm)).toHaveLength(files)
  expect(whole.match(/^\S+ info {2}stopped$/gm)).toHaveLength(1)
  expect({ failed: result.failed, errors: result.errors }).toEqual({ failed: 0, errors: [] })
})

it.skipIf(!hasPrlimit)(
  'a log that cannot be written: status warns, --reopen is no failure, the log says how much is lost',
  async () => {
    const project = loggingProject()
    await project.start()
    const { pid } = (await project.status()).master
    const limit = (bytes: string): Promise<unknown> =>
      project.exec('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`])
    const told = async (): Promise<string[]> =>
      (await project.status()).master.warnings.filter((text) => text.startsWith(logFile(project)))
    await limit('0')
    renameSync(logFile(project), `${logFile(project)}.1`)
    const reopened = await project.shiftwork('logs', '--reopen')
    const why = 'cannot be written: file too large (1 entry lost)'
    expect(reopened).toMatchObject({
      code: 0,
      stdout: 'log files opened again\n',
      stderr: expect.stringContaining(why),
    })
    expect(await told()).toEqual([`${logFile(project)} ${why}`])
    await limit('unlimited')
    await until('it warns no more', async () => (await told()).length === 0)
    expect(readFileSync(logFile(project), 'utf8')).toMatch(/^\S+ warn {2}1 entry was lost: file too large\n$/)
  },
)

it('F12 a log that cannot be opened again goes on in the old file, says so, and is tried again', async () => {
  const project = loggingProject({ logFile: 'var/app.log' })
  mkdirSync(join(project.dir, 'var'))
  const running = await project.start()
  renameSync(join(project.dir, 'var'), join(project.dir, 'old'))
  running.kill('SIGUSR1')
  await running.line(/warning cannot open .*var\/app\.log again: ENOENT; the file that is open stays/)
  mkdirSync(join(project.dir, 'var/app.log'), { recursive: true })
  running.kill('SIGUSR1')
  await running.line(/warning cannot open .*var\/app\.log again: EISDIR/)
  expect((await get({ port: await project.port() })).status).toBe(200)
  expect(project.read('old/app.log')).toMatch(/every worker serves\n.*again: ENOENT.*\n.*again: EISDIR.*\n$/)
  rmdirSync(join(project.dir, 'var/app.log'))
  running.kill('SIGUSR1')
  await running.line(/ log files opened again$/m)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(project.read('var/app.log')).toMatch(/^\S+ info {2}log files opened again\n[\s\S]* stopped\n$/)
})

/** As in the README, with this project's commands. */
function logrotateConf(project: Project): string {
  const command = (words: string): string => `${process.execPath} ${BIN} ${words} ${project.startFile}`
  return `${project.stateDir}/*.log {
    daily
    rotate 30
    compress
    delaycompress
    missingok
    notifempty
    sharedscripts
    postrotate
        ${command('logs --reopen')} && ${command('reload')}
    endscript
}
`
}

const NUMBERED = `
let count = 0
export function createApp(worker) {
  return (request, response) => {
    console.log('request ' + process.pid + ' ' + ++count)
    response.end(JSON.stringify({ pid: process.pid, version: '1' }))
  }
}
`

it.skipIf(!hasLogrotate)(
  "F12 the README's logrotate recipe, ten times under load: every worker's line once, and no request fails",
  async () => {
    const project = Project.create({ 'start.js': webStart({ count: 1, bakeMs: 0 }), 'app.js': NUMBERED })
    const conf = join(project.root, 'logrotate.conf')
    writeFileSync(conf, logrotateConf(project), { mode: 0o644 })
    expect((await project.shiftwork('start', '-d')).code).toBe(0)
    const load = new Load({ target: { port: await project.port() }, clients: 3, pauseMs: [5, 20], maxMs: 170_000 })
    for (let round = 0; round < 10; round++) {
      await load.more(20)
      const rotation = await project.exec('logrotate', ['-f', '-s', join(project.root, 'rotated'), conf])
      expect({ code: rotation.code, stderr: rotation.stderr }).toEqual({ code: 0, stderr: '' })
    }
    await load.more(20)
    const result = await load.stop()
    expect((await project.shiftwork('stop')).code).toBe(0)
    expect({ failed: result.failed, errors: result.errors }).toEqual({ failed: 0, errors: [] })
    const output = rotated(project.stateDir, 'stdout.log')
    expect(output).toHaveLength(11)
    const byPid = new Map<number, number[]>()
    for (const [, pid, count] of output.join('').matchAll(/^request (\d+) (\d+)$/gm))
      byPid.set(Number(pid), [...(byPid.get(Number(pid)) ?? []), Number(count)])
    for (const [pid, answered] of result.byPid) expect(byPid.get(pid), `lines of ${pid}`).toEqual(upTo(answered))
    expect(byPid.size).toBe(result.byPid.size)
    const log = rotated(project.stateDir, 'shiftwork.log').join('')
    expect(log.match(/ log files opened again$/gm)).toHaveLength(10)
    expect(log.match(/ reload done /g)).toHaveLength(10)
    expect(log.match(/ stopped$/gm)).toHaveLength(1)
  },
)

it("F12 after SIGUSR1 new workers and the master's hooks print to the new file, kept workers to the old one", async () => {
  const start = `
import { Worker } from 'shiftwork'
for (const [name, reloadable] of [['web', true], ['kept', false]]) {
  const worker = new Worker('http://127.0.0.1:0', { name, reloadable, bakeMs: 0 })
  worker.onRequest = (request, response) => {
    console.log(name + ' ' + request.url)
    console.error(name + ' complains')
    response.end()
  }
}
Worker.onMasterReload = () => console.log('master hook')
Worker.runAll({ stdoutFile: 'out.log' })
`
  const project = Project.create({ 'start.js': start })
  expect((await project.shiftwork('start', '-d')).code).toBe(0)
  const ports = { web: await project.port('web'), kept: await project.port('kept') }
  const ask = async (path: string): Promise<void> => {
    for (const port of Object.values(ports)) expect((await get({ port }, path)).status).toBe(200)
  }
  await ask('/1')
  renameSync(join(project.dir, 'out.log'), join(project.dir, 'out.log.1'))
  const reopened = await project.shiftwork('logs', '--reopen', '--json')
  expect(oneJson(reopened)).toEqual({ reopened: true, pid: (await project.status()).master.pid })
  await ask('/2')
  expect((await project.reload()).code).toBe(0)
  await ask('/3')
  const sorted = (name: string): string[] => project.read(name).trimEnd().split('\n').sort()
  const complaints = (web: number, kept: number): string[] => [
    ...Array.from({ length: kept }, () => 'kept complains'),
    ...Array.from({ length: web }, () => 'web complains'),
  ]
  expect(sorted('out.log.1')).toEqual(['kept /1', 'kept /2', 'kept /3', 'web /1', 'web /2', ...complaints(2, 3)].sort())
  expect(sorted('out.log')).toEqual(['master hook', 'web /3', 'web complains'])
})
