/** Each command in each state a master can be in: the exit code, and the truth. Group G. */
import { once } from 'node:events'
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type Look, lookAt } from '../../src/cli/look.ts'
import { encodeLine } from '../../src/ipc/lines.ts'
import { WIRE_VERSION } from '../../src/ipc/requests.ts'
import type { SeenStatus, Status } from '../../src/ipc/status.ts'
import { findStateDir } from '../../src/os/statedir.ts'
import { app, webStart } from '../helpers/apps.ts'
import { asNobody, canBeNobody, heard, oneJson, shiftwork, untilHeard } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { freeze, kill, thaw } from '../helpers/faults.ts'
import { until } from '../helpers/processes.ts'
import { BIN, Project, type Result } from '../helpers/project.ts'

function web(options: Record<string, unknown> = {}): Project {
  return Project.create({ 'start.js': webStart(options), 'app.js': app('1') })
}

async function masterPid(project: Project): Promise<number> {
  return (await project.status()).master.pid
}

/** What each command exits with, one after the other. */
async function expectCodes(project: Project, codes: Record<string, number>): Promise<void> {
  for (const [words, code] of Object.entries(codes)) {
    const typed = words.split(' ')
    const type = (): Promise<Result> => shiftwork(project, typed)
    const result = code === 4 ? await type() : await heard(typed, type)
    expect({ words, code: result.code, output: result.stdout + result.stderr }).toMatchObject({ words, code })
    if (code !== 0) expect(result.stderr).toMatch(/^error \S.*\n( {6}\S.*\n)+$/m)
  }
}

const IDLE = { status: 3, connections: 3, stop: 3, 'stop --force': 3, reload: 3, 'reload web': 3, version: 0, help: 0 }

it('G1 not running: status, stop and reload exit 3; start and restart begin', async () => {
  const project = web()
  await expectCodes(project, IDLE)
  await expectCodes(project, { 'start -d': 0, stop: 0, 'restart -d': 0 })
  expect(await project.pids()).toHaveLength(2)
})

it('G1 running: start exits 1, all else does what it says', async () => {
  const project = web()
  await expectCodes(project, {
    'start -d': 0,
    status: 0,
    connections: 0,
    start: 1,
    reload: 0,
    'reload web': 0,
    restart: 0,
    stop: 0,
  })
  expect(project.processes).toEqual([])
})

it('G1 starting: status says so, a second start exits 1, a stop ends it', async () => {
  const project = web()
  project.write('start.js', webStart({ startTimeoutMs: 150_000 }))
  project.write('app.js', 'await new Promise(() => setInterval(() => undefined, 60_000))')
  const start = project.launch(process.execPath, [join(project.dir, 'start.js'), 'start', '-d'])
  await until('the master is there', async () => (await project.shiftwork('status')).code === 0)
  expect((await project.status()).master.state).toBe('starting')
  await expectCodes(project, { start: 1, 'start -d': 1, stop: 0 })
  const result = await start.ended
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/^error The master .* before every worker served$/m)
  expect(project.processes).toEqual([])
})

it('G1 a frozen master: every command exits 4, start 1, and nothing is changed by any of them', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const pid = await masterPid(project)
  const before = project.processes.map((row) => row.pid)
  await freeze(project, pid)
  try {
    await expectCodes(project, {
      status: 4,
      connections: 4,
      reload: 4,
      'reload web': 4,
      stop: 4,
      'restart -d': 4,
      start: 1,
      'start -d': 1,
    })
    expect(project.processes.map((row) => row.pid)).toEqual(before)
  } finally {
    await thaw(project, pid)
  }
  await expectCodes(project, { status: 0, reload: 0, stop: 0 })
})

it('G1 what was asked of a frozen master by one who has given up since is not done when it goes on', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const pid = await masterPid(project)
  await freeze(project, pid)
  const asker = connect(join(project.stateDir, 'control.sock'))
  await once(asker, 'connect')
  const request = { version: WIRE_VERSION, command: 'stop', graceful: false, timeoutMs: null }
  await new Promise((resolve) => asker.write(encodeLine(request), resolve))
  asker.destroy()
  await once(asker, 'close')
  await thaw(project, pid)
  await expectCodes(project, { status: 0, reload: 0 })
  expect((await project.status()).master).toMatchObject({ pid, state: 'running' })
  expect(project.log).not.toContain('stopping')
  await expectCodes(project, { stop: 0 })
})

it('G1 a master that was killed: as not running, and the next start works', async () => {
  const project = web({ stopTimeoutMs: 6_000 })
  await project.shiftwork('start', '-d')
  await kill(project, await masterPid(project))
  await until('its workers have left', () => project.processes.length === 0)
  await expectCodes(project, IDLE)
  await expectCodes(project, { 'start -d': 0, status: 0, stop: 0 })
})

it.skipIf(!canBeNobody)('G1 another user\'s master is not called "not running"', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const before = project.processes.map((row) => row.pid)
  for (const command of ['status', 'connections', 'stop', 'reload', 'start', 'restart']) {
    const result = await asNobody(project, [command])
    // without root the same user asks, who may
    if (process.getuid?.() !== 0) continue
    expect({ command, code: result.code }).toEqual({ command, code: 1 })
    expect(result.stderr).toMatch(/belongs to another user/)
    expect(result.stderr).toMatch(/--state-dir/)
  }
  if (process.getuid?.() === 0) expect(project.processes.map((row) => row.pid)).toEqual(before)
})

const SOON_MS = 2_000

/** What `status` sees, and how long it waits for it: the first of some looks that nothing here has held up. */
async function timedLook(project: Project): Promise<Look & { ms: number }> {
  for (let tries = 1; ; tries++) {
    const startedAt = performance.now()
    const look = await lookAt(findStateDir(project.startFile, null))
    const ms = performance.now() - startedAt
    if (ms < SOON_MS || tries === 5) return { ...look, ms }
  }
}

async function expectSilent(project: Project, pid: number): Promise<void> {
  const { status, problem, ms } = await timedLook(project)
  expect({ state: status.master.state, pid: status.master.pid, code: problem?.code, isSoon: ms < SOON_MS }).toEqual({
    state: 'frozen',
    pid,
    code: 'ERR_NO_ANSWER',
    isSoon: true,
  })
}

it('G2 a frozen master: status names every process within two seconds, stop --force ends them all', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const pid = await masterPid(project)
  const workers = await project.pids()
  await freeze(project, pid)
  await expectSilent(project, pid)
  const json = await shiftwork(project, ['status', '--json'])
  expect(json.code).toBe(4)
  const status = oneJson<SeenStatus>(json)
  const unknown = { generation: null, node: null, daemon: null, watching: null }
  expect(status.master).toMatchObject({ pid, state: 'frozen', startedAt: expect.any(String), ...unknown })
  expect(status.groups[0]).toMatchObject({ listen: null, count: null, reloadable: null, after: null, state: null })
  expect(status.groups[0]?.processes[0]).toMatchObject({ state: null, leader: null, restarts: null, generation: 1 })
  expect(status.groups.map((group) => [group.name, group.processes.map((row) => row.pid).sort()])).toEqual([
    ['web', [...workers].sort()],
  ])
  const text = await shiftwork(project, ['status'])
  expect(text.code).toBe(4)
  for (const each of [pid, ...workers]) expect(text.stdout).toMatch(new RegExp(`\\b${each}\\b`))
  expect(text.stdout).not.toMatch(/no listener|degraded|serving/)
  const stop = await shiftwork(project, ['stop', '--force'])
  expect(stop.code).toBe(0)
  expect(stop.stdout).toBe(`killed: master ${pid} and 2 workers\n`)
  expect(project.processes).toEqual([])
  expect((await shiftwork(project, ['start', '-d'])).code).toBe(0)
})

/** Blocks its event loop at SIGWINCH, until there is a file `go-on`. */
const BLOCKING = `
import { existsSync, writeFileSync } from 'node:fs'
process.on('SIGWINCH', () => {
  writeFileSync('blocked', '')
  while (!existsSync('go-on')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
})
Worker.runAll()`

it('G2 a master whose event loop is blocked is told from one that runs, within two seconds', async () => {
  const start = webStart().replace('Worker.runAll()', BLOCKING)
  const project = Project.create({ 'start.js': start, 'app.js': app('1') })
  await project.shiftwork('start', '-d')
  const pid = await masterPid(project)
  process.kill(pid, 'SIGWINCH')
  await until('it is blocked', () => existsSync(join(project.dir, 'blocked')))
  await expectSilent(project, pid)
  const result = await shiftwork(project, ['status', '--json'])
  expect(result.code).toBe(4)
  expect(oneJson<Status>(result).master).toMatchObject({ pid, state: 'frozen' })
  project.write('go-on', '')
  await until('it answers again', async () => (await shiftwork(project, ['status'])).code === 0)
})

it('G6 a broken start file: stop, status and reload work, and none of them evaluates it', async () => {
  const project = Project.create({ 'start.js': `console.log('evaluated')\n${webStart()}`, 'app.js': app('1') })
  await project.shiftwork('start', '-d')
  const before = await project.pids()
  project.write('start.js', `console.log('evaluated'\n`)
  const status = await untilHeard(() => shiftwork(project, ['status']))
  expect(status.code).toBe(0)
  expect(status.stdout).not.toContain('evaluated')
  const reload = await shiftwork(project, ['reload'])
  expect(reload.code).toBe(5)
  expect(reload.stdout).toMatch(/start\.js:1/)
  expect(await project.pids()).toEqual(before)
  const stop = await shiftwork(project, ['stop'])
  expect({ code: stop.code, stderr: stop.stderr }).toEqual({ code: 0, stderr: '' })
  expect(stop.stdout).toMatch(/^stopped: master \d+ and 2 workers\n$/)
})

it('G6 a start file that is gone: its master is still found by name, and by default', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  rmSync(project.startFile)
  expect((await untilHeard(() => shiftwork(project, ['status', 'start.js']))).code).toBe(0)
  expect((await shiftwork(project, ['stop', project.startFile])).code).toBe(0)
  const idle = await shiftwork(project, ['status', 'start.js'])
  expect({ code: idle.code, stderr: idle.stderr }).toEqual({
    code: 3,
    stderr: `error Not running\n      There is no ${project.startFile}. Name it: shiftwork status path/to/start.ts\n`,
  })
  const nothing = await shiftwork(project, ['status'])
  expect(nothing.code).toBe(3)
  expect(nothing.stderr).toContain(`There is no start file in ${project.dir}`)
})

it('G6 a master whose start file has chosen its state directory is found, and the file not evaluated', async () => {
  const start = webStart().replace('Worker.runAll()', `Worker.runAll({ stateDir: 'run/chosen' })`)
  const project = Project.create({ 'start.js': `console.log('evaluated')\n${start}`, 'app.js': app('1') })
  for (const mode of ['-d', null]) {
    if (mode === null) await project.start()
    else expect((await project.shiftwork('start', mode)).code).toBe(0)
    for (const words of [['status'], ['connections'], ['reload', '--dry-run'], ['logs']]) {
      const [command = '', ...rest] = words
      const result = await heard(words, () => project.shiftwork(command, ...rest))
      expect({ words, code: result.code, stderr: result.stderr }).toEqual({ words, code: 0, stderr: '' })
      if (words[0] !== 'logs') expect(result.stdout).not.toContain('evaluated')
    }
    // it may have been chosen by the environment, and be another one's: what changes something wants it typed
    const chosen = join(project.dir, 'run/chosen')
    for (const words of [['reload'], ['scale', 'web=2'], ['stop']]) {
      const [command = '', ...rest] = words
      const result = await project.shiftwork(command, ...rest)
      expect({ words, code: result.code }).toEqual({ words, code: 3 })
      expect(result.stderr).toContain(`--state-dir ${chosen}`)
    }
    expect((await project.shiftwork('stop', '--state-dir', chosen)).code).toBe(0)
    expect(project.processes).toEqual([])
    expect((await project.shiftwork('status')).code).toBe(3)
  }
})

it('G10 status during a reload shows both generations, and the old one serves', async () => {
  const project = web({ bakeMs: 60_000 })
  await project.start()
  const port = await project.port()
  const [oldPid] = await project.pids()
  const reload = project.launch(process.execPath, [BIN, 'reload', project.startFile])
  const rows = async (): Promise<[number, string][]> =>
    ((await project.status()).groups[0]?.processes ?? [])
      .filter((row) => row.id === 0)
      .map((row) => [row.generation, row.state])
  await until('the successor is prepared', async () => (await rows()).some(([, state]) => state === 'prepared'))
  expect(await rows()).toEqual([
    [1, 'serving'],
    [2, 'prepared'],
  ])
  expect((await project.status()).master.state).toBe('reloading')
  const text = (await untilHeard(() => shiftwork(project, ['status']))).stdout
  expect(text).toMatch(/^Shiftwork reloading/)
  expect(text).toMatch(new RegExp(`^ +0 +${oldPid} +serving.* 1 `, 'm'))
  expect(text).toMatch(/^ +0 +\d+ +prepared +2 /m)
  expect(JSON.parse((await get({ port })).body)).toMatchObject({ generation: 1 })
  // one that bakes for less is seen to its end
  expect((await shiftwork(project, ['stop'])).code).toBe(0)
  expect((await reload.ended).code).toBe(1)
  project.write('start.js', webStart())
  await project.start()
  expect((await project.reload()).code).toBe(0)
  expect(await rows()).toEqual([[2, 'serving']])
})

it('a master whose state directory was removed is found again within seconds, says so, and takes nothing from another', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 1 }), 'app.js': app('1') })
  const running = await project.start()
  const port = await project.port()
  // in one step: the master may look at any moment, and make again what is not all removed yet
  renameSync(project.stateDir, `${project.stateDir}.gone`)
  rmSync(`${project.stateDir}.gone`, { recursive: true })
  await running.line(/was removed: made again/)
  expect((await project.status()).master.pid).toBe(running.pid)
  expect((await project.reload()).code).toBe(0)
  expect((await get({ port })).status).toBe(200)
  rmSync(join(project.stateDir, 'control.sock'))
  await until('it is found again', () =>
    project.status().then(
      () => true,
      () => false,
    ),
  )
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect((await running.ended).code).toBe(0)
  expect(readdirSync(project.stateDir)).not.toContain('control.sock')
  expect(readdirSync(project.stateDir)).not.toContain('master.pid')
})
