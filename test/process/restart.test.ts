/** `restart` when something is in its way: an address, an impatient user, another restart, root. F3, D8. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { asNobody, canBeNobody, openToAll, quietPorts } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { BIN, Project, type Running } from '../helpers/project.ts'

function web(options: Record<string, unknown> = {}, listen?: string): Project {
  return Project.create({ 'start.js': webStart(options, listen), 'app.js': app('1') })
}

async function masterPid(project: Project): Promise<number> {
  return (await project.status()).master.pid
}

it('F3 restart that wants an address which another program has says so, exit 1, and stops nothing', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const { port: taken } = server.address() as AddressInfo
  const [port = 0] = await quietPorts(1)
  const project = web({}, `http://127.0.0.1:${port}`)
  await project.shiftwork('start', '-d')
  const [master, pids] = [await masterPid(project), await project.pids()]
  project.write('start.js', webStart({}, `http://127.0.0.1:${taken}`))
  const refused = await project.shiftwork('restart')
  expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: '' })
  expect(refused.stderr).toMatch(
    new RegExp(`^error Cannot listen on http://127.0.0.1:${taken}: address already in use`),
  )
  expect([await masterPid(project), await project.pids()]).toEqual([master, pids])
  expect((await get({ port })).status).toBe(200)
  // what the former master alone is in the way of is free when it is wanted
  project.write('start.js', webStart({}, `http://0.0.0.0:${port}`))
  const done = await project.shiftwork('restart')
  expect({ code: done.code, stderr: done.stderr }).toEqual({ code: 0, stderr: '' })
  expect(await masterPid(project)).not.toBe(master)
})

for (const daemon of [true, false])
  it(`F3 a restart ${daemon ? 'of a daemon' : 'in the foreground'} whose workers fail says that the former fleet was stopped`, async () => {
    const project = web()
    if (daemon) await project.shiftwork('start', '-d')
    else await project.start()
    const master = await masterPid(project)
    project.write('app.js', 'throw new Error("broken")\n')
    const result = await project.shiftwork('restart')
    expect(result.code).toBe(1)
    expect(result.stderr).toContain(`The former fleet (master ${master}) was stopped: nothing runs now.`)
    expect(result.stderr).not.toMatch(/Nothing (was started|is left running)/)
    expect(project.processes).toEqual([])
  })

/** A fleet whose stop lasts until a file is there. */
function slowToStop(): Project {
  const start = webStart({ count: 1, stopTimeoutMs: 300_000 }).replace(
    'Worker.runAll()',
    `web.onWorkerStop = async () => {
  while (!existsSync('go-on')) await new Promise((resolve) => setTimeout(resolve, 20))
}
Worker.runAll()`,
  )
  return Project.create({ 'start.js': `import { existsSync } from 'node:fs'\n${start}`, 'app.js': app('1') })
}

/** Restarts that have asked the same master to stop, or are about to, while that lasts. */
async function restarting(project: Project, count: number): Promise<Running[]> {
  const restarts = Array.from({ length: count }, () => {
    return project.launch(process.execPath, [BIN, 'restart', '-d', project.startFile])
  })
  await until('it stops', async () => (await project.status()).master.state === 'stopping')
  await until('all have asked', () => openRequests(project) >= count)
  return restarts
}

/** Who talks to its control socket, which was bound under a longer name (unix(7): state 03 is connected). */
function openRequests(project: Project): number {
  const path = join(project.stateDir, 'control.sock')
  const rows = readFileSync('/proc/net/unix', 'utf8').split('\n')
  return rows.filter((row) => row.includes(` ${path}.`) && row.split(/\s+/)[5] === '03').length
}

it('F3 the first Ctrl-C, or a terminal that is lost, does not end a restart between the stop and the start', async () => {
  const project = slowToStop()
  await project.shiftwork('start', '-d')
  const master = await masterPid(project)
  const [restart] = (await restarting(project, 1)) as [Running]
  restart.kill('SIGINT')
  await restart.line(/^The restart goes on, so that nothing is left half done; Ctrl-C once more ends it$/m)
  restart.kill('SIGHUP')
  await restart.line(/(^The restart goes on.*\n){2}/m)
  project.write('go-on', '')
  const result = await restart.ended
  expect({ code: result.code, signal: result.signal }).toEqual({ code: 0, signal: null })
  expect(isAlive(master)).toBe(false)
  expect((await project.status()).master).toMatchObject({ daemon: true, state: 'running' })
})

it('F3 the second Ctrl-C ends it, and says what is', async () => {
  const project = slowToStop()
  await project.shiftwork('start', '-d')
  const master = await masterPid(project)
  const [restart] = (await restarting(project, 1)) as [Running]
  let code: number | null | undefined
  void restart.ended.then((result) => {
    code = result.code
  })
  await until('it has ended', () => {
    if (code === undefined) restart.kill('SIGINT')
    return code !== undefined
  })
  expect((await restart.ended).stderr).toMatch(
    new RegExp(`^error The master \\(pid ${master}\\) was asked to stop and was NOT started again\n`, 'm'),
  )
  expect(code).toBe(1)
  project.write('go-on', '')
  await until('the master has stopped', () => project.processes.length === 0)
})

it('D8 two restarts at once: one begins the new master, for the other that is as good', async () => {
  const project = slowToStop()
  await project.shiftwork('start', '-d')
  const master = await masterPid(project)
  const restarts = await restarting(project, 2)
  project.write('go-on', '')
  const results = await Promise.all(restarts.map((restart) => restart.ended))
  expect(results.map(({ code, stderr }) => ({ code, stderr }))).toEqual(Array(2).fill({ code: 0, stderr: '' }))
  const now = await project.status()
  expect(now.master).toMatchObject({ state: 'running', daemon: true })
  expect(now.master.pid).not.toBe(master)
  const followers = results.filter(
    ({ stdout }) => stdout === `Another restart was faster: master ${now.master.pid} is new\n`,
  )
  expect(followers).toHaveLength(1)
})

it.runIf(canBeNobody && process.getuid?.() === 0)(
  'F11 restart by root of a fleet of another user is refused, and nothing is stopped',
  async () => {
    const project = web()
    const state = join(openToAll(project, 'open'), 'state')
    expect((await asNobody(project, ['start', '-d', '--state-dir', state])).code).toBe(0)
    const before = project.processes.map(({ pid }) => pid)
    const result = await project.shiftwork('restart', '--state-dir', state)
    expect({ code: result.code, stdout: result.stdout }).toEqual({ code: 1, stdout: '' })
    expect(result.stderr).toMatch(
      /^error The master \(pid \d+\) runs as nobody, and worker "web" would run as root\n +Type/,
    )
    expect(project.processes.map(({ pid }) => pid)).toEqual(before)
    expect((await project.shiftwork('stop', '--state-dir', state)).code).toBe(0)
  },
)
