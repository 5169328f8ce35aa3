/** `start -d`, `restart`, and two starts at once: who is left, and when the command has ended. Scenarios F3 and D8. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Status } from '../../src/ipc/status.ts'
import { app, webStart } from '../helpers/apps.ts'
import { oneJson, quietPorts, shiftwork, untilHeard } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { freeze, kill } from '../helpers/faults.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { BIN, type Flavour, Project, type Result } from '../helpers/project.ts'

function web(options: Record<string, unknown> = {}, listen?: string): Project {
  return Project.create({ 'start.js': webStart(options, listen), 'app.js': app('1') })
}

/** Session and terminal of a process (proc_pid_stat(5), fields 6 and 7). */
function sessionOf(pid: number): { session: number; terminal: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { session: Number(fields[3]), terminal: Number(fields[4]) }
}

function pidsOf(status: Status): number[] {
  const workers = status.groups.flatMap((group) => group.processes.map((row) => row.pid ?? 0))
  return [status.master.pid, ...workers].sort((a, b) => a - b)
}

/** Ours: tsx runs esbuild beside a process whose start file it has not compiled before. */
function alivePids(project: Project): number[] {
  const ours = project.processes.filter(({ title }) => !/\besbuild\b/.test(title))
  return ours.map((row) => row.pid).sort((a, b) => a - b)
}

const FLAVOURS: [flavour: Flavour | 'shiftwork', startFile: string][] = [
  ['js', 'start.js'],
  ['tsx', 'start.ts'],
  ['tsx-import', 'start.ts'],
  ['shiftwork', 'start.ts'],
]

for (const [flavour, startFile] of FLAVOURS)
  it(`F3 start -d of ${startFile} (${flavour}) leaves the master and its workers, in a session of their own`, async () => {
    const project = Project.create({ [startFile]: webStart(), 'app.js': app('1') }, { startFile })
    const result =
      flavour === 'shiftwork' ? await project.shiftwork('start', '-d') : await project.through(flavour, 'start', '-d')
    expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
    expect(result.stdout).toMatch(/^ready in .*, in the background$/m)
    const status = await project.status()
    expect(alivePids(project)).toEqual(pidsOf(status))
    expect(status.master).toMatchObject({ daemon: true, state: 'running' })
    for (const pid of pidsOf(status)) expect(sessionOf(pid)).toEqual({ session: status.master.pid, terminal: 0 })
    expect(result.stdout).toContain(`master ${status.master.pid} `)
    expect(result.stdout).toContain(status.groups[0]?.listen[0])
  })

it('F3 a daemon survives the terminal that it was started from', async () => {
  const project = web()
  const words = `${process.execPath} ${BIN} start -d ${project.startFile}; echo started; sleep 60`
  const terminal = project.launch('script', ['-qefc', words, '/dev/null'])
  await terminal.line(/^started/m)
  await until('the shell has gone on', () => project.processes.some(({ title }) => title === 'sleep 60'))
  const before = await project.status()
  const inTerminal = project.processes.filter((row) => !pidsOf(before).includes(row.pid))
  terminal.kill('SIGKILL')
  await terminal.ended
  await until('the terminal and its shell are gone', () => inTerminal.every((row) => !isAlive(row.pid)))
  expect(alivePids(project)).toEqual(pidsOf(before))
  expect((await get({ port: await project.port() })).status).toBe(200)
  expect((await project.reload()).code).toBe(0)
})

it('F3 start -d ends with 0 only when every worker serves', async () => {
  const project = web()
  project.write(
    'app.js',
    `import { existsSync } from 'node:fs'
    const gate = new URL('./gate', import.meta.url)
    export async function createApp(worker) {
      while (worker.id === 1 && !existsSync(gate)) await new Promise((resolve) => setTimeout(resolve, 10))
      return (request, response) => response.end('ok')
    }`,
  )
  project.write('start.js', webStart().replace('= createApp(', '= await createApp('))
  const start = project.launch(process.execPath, [BIN, 'start', '-d', project.startFile])
  let isEnded = false
  void start.ended.then(() => {
    isEnded = true
  })
  const states = async (): Promise<string[]> => {
    const result = await untilHeard(() => shiftwork(project, ['status', '--json']))
    return result.code === 0 ? (oneJson<Status>(result).groups[0]?.processes ?? []).map((row) => row.state) : []
  }
  await until('the first worker serves', async () => (await states())[0] === 'serving')
  expect(isEnded).toBe(false)
  project.write('gate', '')
  expect((await start.ended).code).toBe(0)
  expect(await states()).toEqual(['serving', 'serving'])
})

it("F3 start -d of workers that fail ends with 1 and the worker's own error, and leaves nothing", async () => {
  const project = web()
  project.write('app.js', `console.log('connecting to db.example')\nthrow new Error('no such database')`)
  const result = await project.shiftwork('start', '-d')
  expect({ code: result.code, stdout: result.stdout }).toEqual({ code: 1, stdout: '' })
  expect(result.stderr).toMatch(/no such database[\s\S]*app\.js:2/)
  expect(result.stderr).toMatch(/the last that web\/[01] wrote:\n. connecting to db\.example/)
  expect(result.stderr).toMatch(/^error web\/[01] did not start\n\s+Nothing is left running\./m)
  expect(project.processes).toEqual([])
  expect(existsSync(join(project.stateDir, 'master.pid'))).toBe(false)
  expect(existsSync(join(project.stateDir, 'control.sock'))).toBe(false)
})

it('F3 a start in the foreground that fails shows the error once, last, when nothing is left', async () => {
  const project = web()
  project.write('app.js', `throw new Error('no such database')`)
  const result = await project.through('js', 'start')
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(
    /no such database\n.*app\.js:1[\s\S]*^error web\/[01] did not start\n\s+Nothing is left running\.\n$/m,
  )
  expect((result.stdout + result.stderr).match(/app\.js:1/g)).toHaveLength(1)
  expect(project.processes).toEqual([])
})

it('F3 Ctrl-C while start -d waits ends the start, exit 1, and leaves nothing', async () => {
  const project = web()
  project.write('start.js', `console.log('loaded by ' + process.pid + ' at ' + Date.now())\n${webStart()}`)
  project.write('app.js', `await new Promise((resolve) => setTimeout(resolve, 30_000))`)
  const start = project.launch(process.execPath, [BIN, 'start', '-d', project.startFile])
  await until('workers start', () => project.processes.length >= 4)
  start.kill('SIGINT')
  const result = await start.ended
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/^error The master was stopped before every worker served$/m)
  expect(project.processes).toEqual([])
  expect(project.log).toMatch(/^.* stopped$/m)
  // told before they had run a line of ours, the workers still heard it: none was killed that had come so far, and had
  // a second to load what hears it
  const output = project.read('.shiftwork/start.js/stdout.log')
  const loaded = new Map([...output.matchAll(/^loaded by (\d+) at (\d+)$/gm)].map(([, pid, at]) => [pid, Number(at)]))
  const killed = [...project.log.matchAll(/^(\S+) .*\(pid (\d+)\) (?:killed|left by SIGKILL)/gm)]
  const isDeaf = ([, at = '', pid]: RegExpExecArray) => Date.parse(at) - (loaded.get(pid) ?? Infinity) > 1_000
  expect(killed.filter(isDeaf)).toEqual([])
})

it('F3 start -d whose master is killed meanwhile names the workers that live on', async () => {
  const project = web()
  project.write('app.js', `await new Promise((resolve) => setTimeout(resolve, 30_000))`)
  const start = project.launch(process.execPath, [BIN, 'start', '-d', project.startFile])
  const workers = (): number[] =>
    project.processes.filter(({ title }) => /^shiftwork: web\//.test(title)).map(({ pid }) => pid)
  await until('both workers start', () => workers().length === 2)
  const pids = workers()
  const { master } = await project.status()
  for (const pid of pids) await freeze(project, pid)
  await kill(project, master.pid)
  const result = await start.ended
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/^error The master was ended by SIGKILL before every worker served$/m)
  for (const pid of pids) expect(result.stderr).toMatch(new RegExp(`web/[01] pid ${pid} of master ${master.pid}`))
  expect(result.stderr).not.toContain('Nothing is left running')
  expect((await project.shiftwork('stop', '--force')).code).toBe(0)
  expect(project.processes).toEqual([])
})

it('F3 what a daemon prints is in stdout.log, and the working directory stays', async () => {
  const project = web()
  project.write('app.js', `console.log('I am in ' + process.cwd())\n${app('1')}`)
  const result = await project.shiftwork('start', '-d')
  expect(result.stdout).toContain(`output  ${project.stateDir}/stdout.log`)
  expect(result.stdout).toContain(`log     ${project.stateDir}/shiftwork.log`)
  const printed = readFileSync(join(project.stateDir, 'stdout.log'), 'utf8')
  expect(printed.match(/^I am in .*$/gm)).toEqual([`I am in ${project.dir}`, `I am in ${project.dir}`])
  expect(project.log).toMatch(/every worker serves/)
})

it('F3 restart of a daemon is a daemon again, on the same port, with new code', async () => {
  const [port = 0] = await quietPorts(1)
  const project = web({}, `http://127.0.0.1:${port}`)
  await project.shiftwork('start', '-d')
  const before = await project.status()
  project.write('app.js', app('2'))
  const result = await project.shiftwork('restart')
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
  const after = await project.status()
  expect(after.master.daemon).toBe(true)
  expect(pidsOf(after).filter((pid) => pidsOf(before).includes(pid))).toEqual([])
  expect(alivePids(project)).toEqual(pidsOf(after))
  expect(JSON.parse((await get({ port })).body)).toMatchObject({ version: '2' })
})

it('F3 restart of a master in the foreground stays in the foreground; with -d it becomes a daemon', async () => {
  const project = web()
  const first = await project.start()
  const second = project.launch(process.execPath, [BIN, 'restart', project.startFile])
  await second.line(/^ready in /m)
  expect((await first.ended).code).toBe(0)
  expect((await project.status()).master).toMatchObject({ pid: second.pid, daemon: false })
  expect((await project.shiftwork('restart', '-d')).code).toBe(0)
  expect((await second.ended).code).toBe(0)
  expect((await project.status()).master.daemon).toBe(true)
})

it('F3 restart --force of a frozen daemon is a daemon again', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const { master } = await project.status()
  await freeze(project, master.pid)
  const result = await project.shiftwork('restart', '--force')
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
  expect((await project.status()).master.daemon).toBe(true)
  expect(isAlive(master.pid)).toBe(false)
})

it('F3 a start file that runs under a loader of the user’s own is a daemon by it, too', async () => {
  const project = Project.create({ 'start.ts': webStart(), 'app.js': app('1') }, { startFile: 'start.ts' })
  project.write('register.mjs', `import ${JSON.stringify(import.meta.resolve('tsx'))}\n`)
  rmSync(join(project.dir, 'node_modules/tsx'))
  const words = ['--import', './register.mjs', 'start.ts']
  const result = await project.exec(process.execPath, [...words, 'start', '-d'])
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
  expect((await project.exec(process.execPath, [...words, 'reload'])).code).toBe(0)
})

it('F3 restart starts when nothing runs', async () => {
  const project = web()
  expect((await project.shiftwork('restart', '-d')).code).toBe(0)
  expect(await project.pids()).toHaveLength(2)
})

const BROKEN: [what: string, text: string, shows: RegExp][] = [
  [
    'a syntax error',
    'import { Worker } from "shiftwork"\nconst a = )\n',
    /start\.js:2\nconst a = \)\n *\^\n[\s\S]*SyntaxError/,
  ],
  ['a throw', 'import "shiftwork"\n\nthrow new Error("no configuration")\n', /no configuration\n.*start\.js:3/],
  ['a missing import', 'import "./nowhere.js"\n', /Cannot find module '.*nowhere\.js' imported from .*start\.js/],
  [
    'a wrong option',
    webStart({ cuont: 3 }),
    /^error Worker "web" has an unknown option "cuont"\n +Did you mean "count"\?$/m,
  ],
  [
    'a wrong address',
    webStart({}, 'htp://127.0.0.1:0'),
    /^error Cannot listen on "htp:.*no known protocol\n +Did you mean http/m,
  ],
  [
    'a log where nothing can be written',
    webStart().replace('Worker.runAll()', `Worker.runAll({ logFile: 'no/such/log' })`),
    /^error Cannot write to .*no\/such\/log: ENOENT\n +It is/m,
  ],
  ['a user that nobody knows', webStart({ user: 'no-such-user' }), /^error This machine has no user "no-such-user"$/m],
  ['no runAll', 'import "shiftwork"\n', /^error .*start\.js ended without a call of Worker\.runAll\(\)$/m],
]

for (const [what, text, shows] of BROKEN)
  it(`F3 restart with a start file that has ${what} says so, exit 1, and stops nothing`, async () => {
    const project = web()
    await project.shiftwork('start', '-d')
    const before = pidsOf(await project.status())
    project.write('start.js', text)
    const result = await project.shiftwork('restart')
    expect({ code: result.code, stdout: result.stdout }).toEqual({ code: 1, stdout: '' })
    expect(result.stderr).toMatch(shows)
    expect(result.stderr).not.toContain('node:internal')
    expect(pidsOf(await project.status())).toEqual(before)
    expect(alivePids(project)).toEqual(before)
  })

/** One result is the winner's, the other one says so. */
function expectOneWinner(results: readonly Result[], masterPid: number): void {
  const loser = results.find((result) => result.code !== 0)
  expect(results.map((result) => result.code).sort()).toEqual([0, 1])
  expect(loser?.stderr).toMatch(new RegExp(`^error Already running, as pid ${masterPid}\\n +Use reload`, 'm'))
}

it('D8 two starts at once: one wins, the other exits 1 and names it, eight times in a row', async () => {
  const [port = 0] = await quietPorts(1)
  const project = web({ count: 1 }, `http://127.0.0.1:${port}`)
  for (let round = 0; round < 8; round++) {
    const results = await Promise.all([project.shiftwork('start', '-d'), project.through('js', 'start', '-d')])
    const status = await project.status()
    expectOneWinner(results, status.master.pid)
    expect(alivePids(project)).toEqual(pidsOf(status))
    expect((await get({ port })).status).toBe(200)
    expect((await project.shiftwork('stop')).code).toBe(0)
    expect(project.processes).toEqual([])
  }
})

it('D8 five starts at once in the foreground: one serves, four exit 1', async () => {
  const project = web({ count: 1 })
  const starts = Array.from({ length: 5 }, () => project.launch(process.execPath, ['start.js', 'start']))
  const ready = starts.map((start) => start.line(/^ready in /m).then(() => start))
  const winner = await Promise.any(ready)
  await Promise.allSettled(ready)
  const losers = await Promise.all(starts.filter((start) => start !== winner).map((start) => start.ended))
  expect(losers.map((loser) => loser.code)).toEqual([1, 1, 1, 1])
  for (const loser of losers) expect(loser.stderr).toContain(`Already running, as pid ${winner.pid}`)
  expect((await project.status()).master.pid).toBe(winner.pid)
  expect(alivePids(project)).toHaveLength(2)
})
