/** What a start says of an address it cannot have, and which addresses it can. Scenarios F5 and F10. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { formatMark } from '../../src/ipc/mark.ts'
import { startTimeOf } from '../../src/os/processes.ts'
import { app, webStart } from '../helpers/apps.ts'
import { asNobody, canBeNobody, freePort, openToAll, shiftwork } from '../helpers/cli.ts'
import { Client, get, type Target } from '../helpers/client.ts'
import { kill } from '../helpers/faults.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

function web(listen: string, options: Record<string, unknown> = {}): Project {
  return Project.create({ 'start.js': webStart(options, listen), 'app.js': app('1') })
}

/** Neither a process nor a pid file is left of a start that was refused. */
function expectNothingLeft(project: Project): void {
  expect(project.processes).toEqual([])
  expect(existsSync(join(project.stateDir, 'master.pid'))).toBe(false)
}

/** In the foreground and as a daemon: exit 1, one sentence, what to do, and nothing is left. */
async function expectRefused(project: Project, sentence: RegExp): Promise<void> {
  for (const words of [['start'], ['start', '-d']]) {
    const result = await shiftwork(project, words)
    expect({ words, code: result.code, stdout: result.stdout }).toEqual({ words, code: 1, stdout: '' })
    expect(result.stderr).toMatch(sentence)
    expect(result.stderr).not.toMatch(/^\s+at /m)
    expectNothingLeft(project)
  }
}

/** A listener of this process, for the running test. */
async function listen(options: { port: number; host?: string } | { path: string }): Promise<Server> {
  const server = createServer().listen(options)
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  onTestFinished(() => void server.close())
  return server
}

const SENTENCE_IN_USE = `address already in use by .* \\(pid ${process.pid}\\)\\n +Stop what listens there, or choose another address\\.\\n`

for (const [what, host, held] of [
  ['the same address', '127.0.0.1', '127.0.0.1'],
  ['every address', '0.0.0.0', '127.0.0.1'],
  ['an IPv6 address', '[::1]', '::1'],
] as const)
  it(`F5 a port in use (${what}) is the error of the start, and names the process that holds it`, async () => {
    const port = await freePort()
    await listen({ port, host: held })
    const url = `http://${host}:${port}`
    const escaped = url.replaceAll(/[[\].]/g, '\\$&')
    await expectRefused(web(url), new RegExp(`^error Cannot listen on ${escaped}: ${SENTENCE_IN_USE}`, 'm'))
  })

it('F5 a port in use by another Shiftwork master names its start file, whether a worker of it lives or none', async () => {
  const port = await freePort()
  const [first, second] = [web(`http://127.0.0.1:${port}`), web(`http://127.0.0.1:${port}`)]
  // it was typed by a worker of a third one
  const third = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' }
  const mark = formatMark({ startFile: '/third.js', stateDir: '/third', master: third, worker: 'web/0', key: 1 })
  const { pid } = await first.start('js', [], { SHIFTWORK_WORKER: mark })
  const inUse = `by the Shiftwork master of ${first.startFile} (pid ${pid})\n      shiftwork stop ${first.startFile} ends it;`
  const result = await second.shiftwork('start', '-d')
  expect(result.code).toBe(1)
  expect(result.stderr).toContain(inUse)

  first.write('app.js', 'process.exit(1)')
  await kill(first, ...(await first.pids()))
  await until('none can be started', async () => (await first.status()).groups[0]?.state === 'backoff')
  expect((await second.shiftwork('start', '-d')).stderr).toContain(inUse)
  expectNothingLeft(second)
})

it.skipIf(!canBeNobody || process.getuid?.() !== 0)(
  "F5 a port in use by another user's process, which one may not look at: the user is named",
  async () => {
    const port = await freePort()
    await listen({ port, host: '127.0.0.1' })
    const project = web(`http://127.0.0.1:${port}`)
    const state = join(openToAll(project, 'open'), 'state')
    const result = await asNobody(project, ['start', '--state-dir', state])
    expect(result.code).toBe(1)
    expect(result.stderr).toMatch(/address already in use by a process of user root\n +Stop what listens there/)
  },
)

const firstFreePort = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))

it.skipIf(!canBeNobody || firstFreePort < 2)(
  'F5 a port that the user may not bind: permission denied, and what gives it',
  async () => {
    const project = web(`http://127.0.0.1:${firstFreePort - 1}`)
    const state = join(openToAll(project, 'open'), 'state')
    for (const words of [['start'], ['start', '-d']]) {
      const result = await asNobody(project, [...words, '--state-dir', state])
      expect({ words, code: result.code }).toEqual({ words, code: 1 })
      expect(result.stderr).toMatch(/^error Cannot listen on http:\/\/127\.0\.0\.1:\d+: permission denied$/m)
      expect(result.stderr).toMatch(/^ +Ports below 1024 need root or the capability cap_net_bind_service/m)
      expectNothingLeft(project)
    }
  },
)

it('F5 an unknown user or group is the error of the start', async () => {
  const hint = (option: string): string => `\\n +Create it, or correct the option ${option}\\.\\n`
  const user = web('http://127.0.0.1:0', { user: 'nosuchuser' })
  await expectRefused(user, new RegExp(`^error This machine has no user "nosuchuser"${hint('user')}`, 'm'))
  const group = web('http://127.0.0.1:0', { group: 'nosuchgroup' })
  await expectRefused(group, new RegExp(`^error This machine has no group "nosuchgroup"${hint('group')}`, 'm'))
})

it.skipIf(!canBeNobody)('F5 another user can be had from root only, and the start says so', async () => {
  const project = web('http://127.0.0.1:0', { user: 'root' })
  const result = await asNobody(project, ['start', '--state-dir', join(openToAll(project, 'open'), 'state')])
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/^error Worker "web" cannot become user "root"\n +Only a master that root started/m)
})

it('F5 a unix socket in a directory that does not exist: says so', async () => {
  const project = web('http+unix:///nowhere/at/all/web.sock')
  await expectRefused(
    project,
    /^error Cannot listen on .*web\.sock: its directory does not exist\n +Create the directory/m,
  )
})

it.skipIf(!canBeNobody)('F5 a unix socket in a directory that the user may not write to: says so', async () => {
  const project = web('http://127.0.0.1:0')
  const state = join(openToAll(project, 'open'), 'state')
  mkdirSync(join(project.dir, 'closed'), { mode: 0o555 })
  project.write('start.js', webStart({}, `http+unix://${project.dir}/closed/web.sock`))
  const result = await asNobody(project, ['start', '--state-dir', state])
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(
    /^error Cannot listen on .*: permission denied\n +Choose a place that this user may write/m,
  )
})

it('F5 a host that is not of this machine, or not known, says so', async () => {
  await expectRefused(web('http://192.0.2.1:8080'), /this machine has no such address\n +Use 0\.0\.0\.0 or \[::\]/)
  await expectRefused(
    web('http://no-such-host.invalid:8080'),
    /the host name is not known\n +Use an address of this machine/,
  )
})

it.skipIf(!canBeNobody)(
  'F5 a state directory that cannot be written: the error names --state-dir, which helps',
  async () => {
    const project = web('http://127.0.0.1:0')
    chmodSync(project.dir, 0o555)
    for (const words of [['start'], ['start', '-d']]) {
      const result = await asNobody(project, words)
      expect({ words, code: result.code }).toEqual({ words, code: 1 })
      expect(result.stderr).toMatch(
        /^error Cannot write to the state directory .*\n +Choose another one with --state-dir/m,
      )
      expectNothingLeft(project)
    }
    chmodSync(project.dir, 0o755)
    const words = ['--state-dir', join(openToAll(project, 'open'), 'state')]
    expect((await asNobody(project, ['start', '-d', ...words])).code).toBe(0)
    expect((await asNobody(project, ['stop', ...words])).code).toBe(0)
  },
)

// ---- F10 -----------------------------------------------------------------------------------------------------------

/** Asks on new connections until every pid has answered. */
async function expectAllAnswer(target: Target, pids: readonly number[]): Promise<void> {
  const answered = new Set<number>()
  for (let request = 0; request < 5_000 && answered.size < pids.length; request += 50) {
    const clients = await Promise.all(Array.from({ length: 50 }, () => Client.open(target)))
    const answers = await Promise.all(clients.map((client) => client.request({ path: '/slow?ms=5' })))
    for (const client of clients) client.close()
    for (const answer of answers) answered.add((JSON.parse(answer.body) as { pid: number }).pid)
  }
  expect([...answered].sort()).toEqual([...pids].sort())
}

for (const [what, listenOn, host] of [
  ['127.0.0.1', 'http://127.0.0.1:0', '127.0.0.1'],
  ['IPv6', 'http://[::1]:0', '::1'],
  ['every IPv6 address', 'http://[::]:0', '127.0.0.1'],
  ['a name', 'http://localhost:0', 'localhost'],
] as const)
  it(`F10 port 0 on ${what} is one port for all processes, the same through a reload`, async () => {
    const project = web(listenOn)
    await project.shiftwork('start', '-d')
    const { groups } = await project.status()
    expect(groups[0]?.listen).toEqual([expect.stringMatching(/:[1-9]\d*$/)])
    const port = await project.port()
    await expectAllAnswer({ port, host }, await project.pids())
    expect((await project.reload()).code).toBe(0)
    expect(await project.port()).toBe(port)
    await expectAllAnswer({ port, host }, await project.pids())
  })

it('F10 a unix socket is served by all processes, and removed after the stop', async () => {
  const project = web('http://127.0.0.1:0')
  const path = join(project.root, 'web.sock')
  project.write('start.js', webStart({}, `http+unix://${path}`))
  await project.shiftwork('start', '-d')
  expect((await project.status()).groups[0]?.listen).toEqual([`http+unix://${path}`])
  await expectAllAnswer({ path }, await project.pids())
  expect((await project.reload()).code).toBe(0)
  await expectAllAnswer({ path }, await project.pids())
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(existsSync(path)).toBe(false)
})

it('F10 a socket file that a killed master left is replaced; one that is answered is refused', async () => {
  const project = web('http://127.0.0.1:0')
  const path = join(project.root, 'web.sock')
  project.write('start.js', webStart({ stopTimeoutMs: 6_000 }, `http+unix://${path}`))
  await project.shiftwork('start', '-d')
  await kill(project, ...project.processes.map(({ pid }) => pid))
  expect(statSync(path).isSocket()).toBe(true)
  expect((await project.shiftwork('start', '-d')).code).toBe(0)
  const second = web(`http+unix://${path}`)
  const by = `the Shiftwork master of ${project.startFile} \\(pid ${(await project.status()).master.pid}\\)`
  await expectRefused(
    second,
    new RegExp(`^error Cannot listen on .*web\\.sock: address already in use by ${by}\\n`, 'm'),
  )
  expect((await get({ path })).status).toBe(200)
})

it('F10 a file, a directory or a link to a file in the place of the socket is refused and left as it is', async () => {
  const project = web('http://127.0.0.1:0')
  const path = join(project.root, 'web.sock')
  const refused = /^error Cannot listen on .*: a file that is no socket is there\n +Move .*web\.sock\d? away/m
  writeFileSync(path, 'precious')
  mkdirSync(`${path}2`)
  symlinkSync(path, `${path}3`)
  for (const place of [path, `${path}2`, `${path}3`]) {
    project.write('start.js', webStart({}, `http+unix://${place}`))
    await expectRefused(project, refused)
  }
  expect(readFileSync(path, 'utf8')).toBe('precious')
  expect(readFileSync(`${path}3`, 'utf8')).toBe('precious')
})

it('F10 socketMode is the mode of the socket, from its first moment and through a reload', async () => {
  const project = web('http://127.0.0.1:0')
  const path = join(project.root, 'web.sock')
  for (const mode of [0o660, 0o666, 0o600]) {
    project.write('start.js', webStart({ socketMode: mode }, `http+unix://${path}`))
    expect((await project.shiftwork('start', '-d')).code).toBe(0)
    expect((statSync(path).mode & 0o777).toString(8)).toBe(mode.toString(8))
    expect((await project.reload()).code).toBe(0)
    expect((statSync(path).mode & 0o777).toString(8)).toBe(mode.toString(8))
    expect((await project.shiftwork('stop')).code).toBe(0)
  }
})

it.skipIf(process.getuid?.() !== 0)('F10 socketOwner owns the socket', async () => {
  const project = web('http://127.0.0.1:0')
  const path = join(project.root, 'web.sock')
  project.write('start.js', webStart({ socketOwner: '65534:65534', socketMode: 0o600 }, `http+unix://${path}`))
  const result = await project.shiftwork('start', '-d')
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
  expect(statSync(path)).toMatchObject({ uid: 65534, gid: 65534 })
})
