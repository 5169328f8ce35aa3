/** What workers start and leave behind: it ends with them, but for what was asked to live on. Scenario E8. */
import { readdirSync } from 'node:fs'
import { expect, it, onTestFinished } from 'vitest'
import { kill } from '../helpers/faults.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

/** In `start.js`: `run(command, env)` starts a process in a session of its own and returns its pid. */
const RUN = `
import { spawn } from 'node:child_process'
import { existsSync, writeFileSync, renameSync } from 'node:fs'
import { Worker } from 'shiftwork'
const run = (command, env = {}) =>
  spawn('/bin/sh', ['-c', command], { env: { ...process.env, ...env }, stdio: 'inherit', detached: true }).pid
const tell = (name, value) => {
  writeFileSync(name + '.new', JSON.stringify(value))
  renameSync(name + '.new', name)
}
`
const STUBBORN = `trap '' TERM; while :; do sleep 100; done`

/** Two workers; each has a child, worker 0 one more that ignores SIGTERM and one that takes its mark off. */
const START = `${RUN}
const jobs = new Worker({ name: 'jobs', count: 2, bakeMs: 50 })
jobs.onWorkerStart = ({ id }) => {
  const pids = { plain: run('exec sleep 1001') }
  if (id === 0) {
    pids.stubborn = run(${JSON.stringify(STUBBORN)})
    if (!existsSync('freed')) pids.free = run('exec sleep 1002', { SHIFTWORK_WORKER: undefined })
    tell('freed', true)
  }
  tell('children-' + process.pid, pids)
}
Worker.runAll()
`

interface Children {
  plain: number
  stubborn: number
  free: number
}

function childrenOf(project: Project, pid: number): Children {
  return JSON.parse(project.read(`children-${pid}`)) as Children
}

/** What the shells were told to start runs: each as often as it is named. */
async function begun(project: Project, ...titles: string[]): Promise<void> {
  const countIn = (all: string[], title: string): number => all.filter((other) => other === title).length
  await until(`${titles.join(', ')} run`, () => {
    const running = project.processes.map(({ title }) => title)
    return titles.every((title) => countIn(running, title) >= countIn(titles, title))
  })
}

/** Ended at the end of the test: nobody else does. */
function endLater(pid: number): void {
  onTestFinished(() => {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
}

it('E8 children of a worker end with it, in a crash, a reload and a stop; one that takes its mark off lives on', async () => {
  const project = Project.create({ 'start.js': START })
  const running = await project.start()
  const first = await project.pids('jobs')
  const [mine, others] = first.map((pid) => childrenOf(project, pid)) as [Children, Children]
  endLater(mine.free)
  await begun(project, 'sleep 1001', 'sleep 1001', 'sleep 1002', 'sleep 100')

  await kill(project, first[0] ?? 0)
  await until('the log tells it', () => project.log.includes('processes behind'))
  expect([mine.plain, mine.stubborn].filter(isAlive)).toEqual([])
  expect([mine.free, others.plain].filter((pid) => !isAlive(pid))).toEqual([])
  const named = `ended: pid ${mine.plain} (sleep 1001), pid ${mine.stubborn} (/bin/sh -c trap '' TERM`
  // the stubborn one has a child of its own
  expect(project.log).toContain(`jobs/0 (pid ${first[0]}) had left 3 processes behind, ${named}`)
  expect(project.log).toMatch(/ with SIGKILL/)

  await until('it is back', async () => (await project.pids('jobs')).length === 2)
  const second = await project.pids('jobs')
  expect((await project.reload()).code).toBe(0)
  const left = second
    .map((pid) => childrenOf(project, pid))
    .flatMap(({ plain, stubborn }) => [plain, stubborn ?? plain])
  await until('what the replaced ones had started is gone', () => !left.some(isAlive))

  const third = await project.pids('jobs')
  const last = third.map((pid) => childrenOf(project, pid)).flatMap(({ plain, stubborn }) => [plain, stubborn ?? plain])
  expect(last.filter((pid) => !isAlive(pid))).toEqual([])
  const stopped = await project.shiftwork('stop')
  // gone when the answer is there, not soon after
  const afterStop = project.processes.map(({ pid }) => pid)
  expect(stopped.code).toBe(0)
  expect(afterStop.filter((pid) => pid !== running.pid)).toEqual([mine.free])
})

it('E8 sweepChildren: false lets all of them live on', async () => {
  const project = Project.create({
    'start.js': `${RUN}
const jobs = new Worker({ name: 'jobs', sweepChildren: false })
jobs.onWorkerStart = () => tell('children-' + process.pid, { plain: run('exec sleep 1003') })
Worker.runAll()`,
  })
  await project.start()
  const [first = 0] = await project.pids('jobs')
  await kill(project, first)
  await until('it is back', async () => ![first, undefined].includes((await project.pids('jobs'))[0]))
  const [second = 0] = await project.pids('jobs')
  const children = [first, second].map((pid) => childrenOf(project, pid).plain)
  for (const pid of children) endLater(pid)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(children.filter(isAlive)).toEqual(children)
  expect(project.log).not.toContain('behind')
})

it('E8 of a master that was killed: a worker ends what it had started before it leaves, also when it had not served yet', async () => {
  const project = Project.create({
    'start.js': `${RUN}
const jobs = new Worker({ name: 'jobs' })
jobs.onWorkerStart = () => tell('jobs', run(${JSON.stringify(STUBBORN)}))
const late = new Worker({ name: 'late' })
late.onWorkerStart = async () => {
  tell('late', run('exec sleep 1004'))
  await new Promise(() => {})
}
Worker.runAll()`,
  })
  const { command, args } = project.commandFor('js')
  const running = project.launch(command, [...args, 'start'])
  await until('both have started theirs', () => {
    const names = readdirSync(project.dir)
    return names.includes('jobs') && names.includes('late')
  })
  await begun(project, 'sleep 100', 'sleep 1004')
  await until('one serves', async () => (await project.pids('jobs')).length === 1)
  await kill(project, running.pid)
  await until('nothing is left', () => project.processes.length === 0)
  const says = /the master is gone, this worker ends what it had started: pid \d+ \(\/bin\/sh .* with SIGKILL/
  await until('it says so', () => says.test(running.stderr))
})

it('E8 a master that a worker starts is not its child: start -d and restart -d from a worker outlive it', async () => {
  const other = Project.create({
    'start.js': `${RUN}
const jobs = new Worker({ name: 'jobs' })
Worker.runAll({ preReload: 'env | grep -c SHIFTWORK_WORKER > carried || true' })`,
  })
  const project = Project.create({
    'start.js': `${RUN}
const jobs = new Worker({ name: 'jobs' })
jobs.onWorkerStart = () => process.on('SIGUSR2', () => run(process.env.SAY))
Worker.runAll()`,
  })
  const say = `
cd ${other.dir} && SHIFTWORK_TEST_MARK=${other.mark} ${process.execPath} start.js start -d
${process.execPath} ${project.startFile} restart -d`
  const daemon = await project.exec(process.execPath, [project.startFile, 'start', '-d'], { env: { SAY: say } })
  expect(daemon.code).toBe(0)
  const before = (await project.status()).master.pid
  const [worker = 0] = await project.pids('jobs')
  process.kill(worker, 'SIGUSR2')
  await until('the other runs', async () => (await other.shiftwork('status')).code === 0)
  const started = await other.status()
  await until('this one runs anew', async () => {
    const result = await project.shiftwork('status', '--json')
    return result.code === 0 && (JSON.parse(result.stdout) as { master: { pid: number } }).master.pid !== before
  })
  expect(isAlive(worker)).toBe(false)
  expect((await other.status()).master.pid).toBe(started.master.pid)
  // what it forks and runs is marked by itself, or not at all
  expect((await other.reload()).code).toBe(0)
  expect(other.read('carried').trim()).toBe('0')
  expect((await other.shiftwork('stop')).code).toBe(0)
})

it('E8 what a process has started that only read the start file ends with it', async () => {
  const start = `${RUN}
// workers and readers have no command
if (process.argv.length === 2) run('exec sleep 1007')
new Worker({ name: 'jobs', count: 1, bakeMs: 50 })
Worker.runAll()
`
  const project = Project.create({ 'start.js': start })
  await project.start()
  await begun(project, 'sleep 1007')
  expect((await project.shiftwork('reload', '--dry-run')).code).toBe(0)
  await until('one is left, the worker’s', () => {
    return project.processes.filter(({ title }) => title === 'sleep 1007').length === 1
  })
  expect((await project.shiftwork('stop')).code).toBe(0)
  await until('none is left', () => project.processes.length === 0)
})
