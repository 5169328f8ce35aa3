/** What a master that was killed has left: named, waited for, ended by force; and nobody else's processes are. F4, F5, G1, G6. */
import { readFileSync, rmSync } from 'node:fs'
import { expect, it, onTestFinished } from 'vitest'
import { parseAddress } from '../../src/address.ts'
import { ShiftworkError } from '../../src/errors.ts'
import type { OrphanStatus } from '../../src/ipc/orphan.ts'
import { Inheritance } from '../../src/master/inherited.ts'
import { app, webStart } from '../helpers/apps.ts'
import { type JsonError, oneJson, quietPorts } from '../helpers/cli.ts'
import { Client, get } from '../helpers/client.ts'
import { freeze, gone, kill, thaw } from '../helpers/faults.ts'
import { isListening } from '../helpers/listening.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const HEAD = 'An earlier master was killed and has left:'
const STUCK = 'stop --force ends them.'
const LEAVING = 'They leave when they have finished what they have; stop --force ends them at once.'

interface Fleet {
  master: number
  /** By slot. */
  workers: [number, number]
}

function web(port: number, code = app('1')): Project {
  return Project.create({
    'start.js': webStart({ stopTimeoutMs: 60_000 }, `http://127.0.0.1:${port}`),
    'app.js': code,
  })
}

async function start(project: Project): Promise<Fleet> {
  const result = await project.shiftwork('start', '-d')
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
  const [first = 0, second = 0] = await project.pids()
  return { master: (await project.status()).master.pid, workers: [first, second] }
}

/** A fleet whose master was killed: one worker has left, the other one is frozen and has the port. */
async function leftFrozen(): Promise<{ project: Project; port: number; workers: [number, number] }> {
  const [port = 0] = await quietPorts(1)
  const project = web(port)
  const { master, workers } = await start(project)
  await freeze(project, workers[0])
  await kill(project, master)
  await gone(workers[1])
  return { project, port, workers }
}

async function orphansOf(project: Project): Promise<OrphanStatus[]> {
  const result = await project.shiftwork('status', '--json')
  const json = oneJson<JsonError & { orphans: OrphanStatus[] }>(result)
  expect({ exit: result.code, told: json.exitCode, code: json.error.code }).toEqual({
    exit: 3,
    told: 3,
    code: 'ERR_NOT_RUNNING',
  })
  return json.orphans
}

/** Sends a request but for the two bytes at its end; returns when somebody works at it. */
async function busy(project: Project, port: number): Promise<Client> {
  const client = await Client.open({ port })
  client.send({ method: 'POST', headers: { 'Content-Length': '2' } })
  await until('somebody works at it', async () => {
    const rows = (await project.status()).groups[0]?.processes ?? []
    return rows.some((row) => (row.requests ?? 0) > 0)
  })
  return client
}

/** `/loop` never gives the event loop back, and says before that it is there. */
const LOOPS = `
import { writeFileSync } from 'node:fs'
${app(
  '1',
  `worker.server.prependListener('request', (request) => {
    if (request.url !== '/loop') return
    writeFileSync('loops', 'now')
    for (;;);
  })`,
)}`

it('F4 G1 an orphan that is frozen has the port: status, stop and start name it; start waits for it before it fails; stop --force ends it', async () => {
  const [port = 0] = await quietPorts(1)
  const project = web(port)
  const { master, workers } = await start(project)
  const [held, other] = workers
  await freeze(project, held)
  await kill(project, master)
  await gone(other)
  const line = `web/0 pid ${held} of master ${master}, up \\S.*: stopped by a signal, listens on 127\\.0\\.0\\.1:${port}, no open connection`
  const named = `      ${HEAD}\\n      ${line}\\n      ${STUCK.replaceAll('.', '\\.')}\\n`

  for (const command of ['status', 'stop', 'reload']) {
    const result = await project.shiftwork(command)
    expect({ command, code: result.code, stdout: result.stdout }).toEqual({ command, code: 3, stdout: '' })
    expect(result.stderr).toMatch(new RegExp(`^error Not running\\n${named}$`))
  }
  expect(await orphansOf(project)).toMatchObject([
    {
      pid: held,
      kind: 'worker',
      worker: 'web/0',
      masterPid: master,
      stopped: true,
      listen: [`127.0.0.1:${port}`],
      connections: 0,
    },
  ])

  for (const how of [[], ['-d']]) {
    const result = await project.through('js', 'start', ...how)
    expect({ how, code: result.code }).toEqual({ how, code: 1 })
    expect(result.ms).toBeGreaterThan(5_000)
    const inUse = `error Cannot listen on http://127.0.0.1:${port}: address already in use by web/0 \\(pid ${held}\\), which a killed Shiftwork master of ${project.startFile} has left\\n`
    expect(result.stderr).toMatch(new RegExp(`^${inUse}${named}`))
    expect(result.stderr).not.toContain('Nothing is left running')
  }
  const json = oneJson<JsonError>(await project.through('js', 'start', '-d', '--json'))
  expect(json.error.hint).toMatch(new RegExp(line))

  const stopped = await project.shiftwork('stop', '--force')
  expect({ code: stopped.code, stdout: stopped.stdout }).toEqual({
    code: 0,
    stdout: `killed: web/0 pid ${held}, left by master ${master}\n`,
  })
  expect(project.processes).toEqual([])
  expect((await project.shiftwork('stop', '--force')).code).toBe(3)
  expect(await orphansOf(project)).toEqual([])
  await start(project)
})

it('F4 an orphan that goes on within five seconds holds up the start, and no more', async () => {
  const { project, workers } = await leftFrozen()
  const starting = project.launch(project.commandFor('js').command, [...project.commandFor('js').args, 'start'])
  // it has the pid file when it looks
  await until('it starts', () => masterIn(project) === starting.pid)
  // time to meet the address; what is left of the five seconds is for all that must have its turn in them
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(starting.stderr).toBe('')
  await thaw(project, workers[0])
  await starting.line(/^ready in /m)
  expect((await project.pids()).includes(workers[0])).toBe(false)
})

it('F4 an orphan that lets go of an address while that is tried is no reason to fail', async () => {
  const { project, port, workers } = await leftFrozen()
  const inheritance = await Inheritance.of(project.stateDir)
  let tries = 0
  const bind = async (): Promise<string> => {
    if (++tries > 1) return 'bound'
    // the kernel has said no already
    await kill(project, workers[0])
    throw new ShiftworkError('ERR_ADDRESS_IN_USE', 'in use by nobody who could be named')
  }
  expect(await inheritance.claim(parseAddress(`http://127.0.0.1:${port}`), bind)).toBe('bound')
  expect(tries).toBe(2)
})

function masterIn(project: Project): number {
  try {
    return Number(readFileSync(`${project.stateDir}/master.pid`, 'utf8').split('\n')[0])
  } catch {
    // it is being replaced
    return 0
  }
}

it('F4 an orphan whose loop never ends has the port: start fails with its name, restart --force ends it and starts', async () => {
  const [port = 0] = await quietPorts(1)
  const project = web(port, LOOPS)
  const { master, workers } = await start(project)
  get({ port }, '/loop', { timeoutMs: 60_000 }).catch(() => undefined)
  await until('it loops', () => project.written('loops') === 'now')
  await kill(project, master)
  await until('only it is left', () => workers.filter(isAlive).length === 1)
  const looping = workers.find(isAlive)
  const failed = await project.shiftwork('start', '-d')
  expect(failed.code).toBe(1)
  expect(failed.stderr).toMatch(new RegExp(`^      web/[01] pid ${looping} of master ${master}, .*: listens on `, 'm'))
  const again = await project.shiftwork('restart', '-d', '--force')
  expect({ code: again.code, stderr: again.stderr }).toEqual({ code: 0, stderr: '' })
  expect(isAlive(looping ?? 0)).toBe(false)
})

for (const how of ['in the foreground', 'as a daemon'])
  it(`F4 an orphan in the middle of a long request (${how}): the next start serves beside it, warns of it, and it answers`, async () => {
    const [port = 0] = await quietPorts(1)
    const project = web(port)
    const { master, workers } = await start(project)
    const client = await busy(project, port)
    await kill(project, master)
    await until(
      'the other has left, and none listens',
      () => workers.filter(isAlive).length === 1 && !isListening(port),
    )
    const left = workers.find(isAlive)
    const line = `web/[01] pid ${left} of master ${master}, up \\S.*: 1 open connection`
    const idle = await project.shiftwork('status')
    expect(idle.stderr).toMatch(new RegExp(`^      ${line}\\n      ${LEAVING.replaceAll('.', '\\.')}\\n$`, 'm'))

    const warning = new RegExp(`warning left by a master that was killed: ${line}$`, 'm')
    if (how === 'as a daemon') expect((await project.shiftwork('start', '-d')).stdout).toMatch(warning)
    else await (await project.start()).line(warning)
    expect(project.log).toMatch(new RegExp(`warn  left by a master that was killed: ${line}$`, 'm'))
    expect((await project.status()).master.warnings).toEqual([expect.stringMatching(new RegExp(`${line}$`))])
    expect((await project.pids()).includes(left ?? 0)).toBe(false)

    client.socket.write('ok')
    expect((await client.answer('POST')).status).toBe(200)
    await gone(left ?? 0)
    expect((await project.status()).master.warnings).toEqual([])
  })

it('F4 two start files in one folder do not see, wait for or end what the other has left', async () => {
  const [port = 0, other = 0] = await quietPorts(2)
  const project = web(port)
  project.write('second.js', webStart({ stopTimeoutMs: 60_000 }, `http://127.0.0.1:${other}`))
  const { master, workers } = await start(project)
  await freeze(project, workers[0])
  await kill(project, master)
  await gone(workers[1])

  const second = async (...words: string[]) => project.exec(process.execPath, [`${project.dir}/second.js`, ...words])
  for (const words of [['status'], ['stop'], ['stop', '--force']]) {
    const result = await second(...words)
    expect({ words, code: result.code, stderr: result.stderr }).toEqual({
      words,
      code: 3,
      stderr: 'error Not running\n      Start it with: start, or start -d.\n',
    })
  }
  const started = await second('start', '-d')
  expect({ code: started.code, warns: started.stdout.includes('warning') }).toEqual({ code: 0, warns: false })
  expect((await second('stop', '--force')).code).toBe(0)
  expect(isAlive(workers[0])).toBe(true)

  // a port that the other's orphan has is somebody else's: not waited for
  project.write('second.js', webStart({}, `http://127.0.0.1:${port}`))
  const failed = await second('start', '-d')
  expect(failed.code).toBe(1)
  expect(failed.stderr).toContain(`in use by web/0 (pid ${workers[0]}), which a killed Shiftwork master of `)
  expect(failed.stderr).toContain(`shiftwork stop --force ${project.startFile} ends it;`)
  expect(isAlive(workers[0])).toBe(true)
  expect((await project.shiftwork('stop', '--force')).code).toBe(0)
})

/** `sleep` with a mark, ended at the end of the test. */
async function carrying(project: Project, mark: string): Promise<number> {
  const { pid } = project.launch('/bin/sleep', ['1005'], { env: { SHIFTWORK_WORKER: mark } })
  onTestFinished(() => {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
  await until('it carries the mark', () => markOf(pid) === mark)
  return pid
}

function markOf(pid: number): string | null {
  return /(?:^|\0)SHIFTWORK_WORKER=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1] ?? null
}

it('G6 a copied mark of another state directory, of a master that lives, or of nobody makes no process ours: stop --force lets it live', async () => {
  const [port = 0, another = 0] = await quietPorts(2)
  const [project, other] = [web(port), web(another)]
  const living = await start(project)
  const mark = markOf(living.workers[0]) ?? ''
  const dead = { pid: living.master, startTime: '1' }
  // not the very mark of a worker: what carries that ends with the worker, in a stop, too
  const copied = { ...JSON.parse(mark), key: 9_999 }
  const marks = [
    JSON.stringify(copied),
    JSON.stringify({ ...JSON.parse(mark), stateDir: other.stateDir, master: dead }),
    JSON.stringify({ ...JSON.parse(mark), stateDir: '/', master: dead }),
    JSON.stringify({ ...JSON.parse(mark), stateDir: '', master: dead }),
    JSON.stringify({ ...JSON.parse(mark), master: { pid: living.master } }),
    'true',
    '{}',
    '',
  ]
  const pids: number[] = []
  for (const text of marks) pids.push(await carrying(other, text))
  const [copy = 0, ...foreign] = pids

  // with a master that lives, nobody is an orphan; when it was stopped, the copy is as good as a child that was left
  expect((await project.status()).master.warnings).toEqual([])
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect((await orphansOf(project)).map(({ pid, kind }) => [pid, kind])).toEqual([[copy, 'child']])
  const stopped = await project.shiftwork('stop', '--force')
  expect(stopped.stdout).toBe(`killed: pid ${copy} (/bin/sleep 1005), left by master ${living.master}\n`)
  expect(foreign.filter((pid) => !isAlive(pid))).toEqual([])
  expect((await project.shiftwork('stop', '--force')).code).toBe(3)
})

it('G6 stop --force ends also what the workers had started: of orphans, and of a master that does not hear', async () => {
  const [port = 0] = await quietPorts(1)
  const project = web(
    port,
    app('1', `spawn('/bin/sh', ['-c', 'sleep 1006 & wait'], { detached: true })`).replace(
      'export',
      `import { spawn } from 'node:child_process'\nexport`,
    ),
  )
  const started = async (): Promise<Fleet> => {
    const fleet = await start(project)
    const theirs = (): number => project.processes.filter(({ title }) => title.includes('sleep 1006')).length
    await until('each worker has a shell and a sleep', () => theirs() === 4)
    return fleet
  }
  const first = await started()
  await freeze(project, first.workers[0])
  // one that hears of the death of its master ends its children itself
  await freeze(project, first.master)
  await kill(project, first.workers[1])
  await kill(project, first.master)
  const left = await orphansOf(project)
  expect(left.map(({ kind }) => kind)).toEqual(['worker', ...Array(4).fill('child')])
  const ended = await project.shiftwork('stop', '--force', '--json')
  expect(oneJson(ended)).toEqual({
    stopped: true,
    pid: null,
    processes: 5,
    connectionsCut: 0,
    killed: 5,
    leftEarly: 0,
    stopFaults: [],
    forced: true,
    orphans: expect.arrayContaining([expect.objectContaining({ pid: first.workers[0] })]),
  })
  expect(project.processes).toEqual([])

  const second = await started()
  await freeze(project, second.master)
  const stopped = await project.shiftwork('stop', '--force')
  expect(stopped.stdout).toMatch(
    new RegExp(
      `^killed: master ${second.master} and 2 workers\\nkilled: pid .*sleep 1006.*, left by master ${second.master}\\n$`,
    ),
  )
  expect(project.processes).toEqual([])
})

it('G6 orphans are named also when the start file is gone, and status --watch names them, too', async () => {
  const [port = 0] = await quietPorts(1)
  const project = web(port)
  const { master, workers } = await start(project)
  await freeze(project, workers[0])
  await kill(project, master)
  await gone(workers[1])
  rmSync(project.startFile)
  for (const words of [['status'], ['status', '--watch']]) {
    const [command = '', ...rest] = words
    const result = await project.shiftwork(command, ...rest)
    expect(result.code).toBe(3)
    expect(result.stderr).toContain(`web/0 pid ${workers[0]} of master ${master}`)
  }
  expect((await project.shiftwork('stop', '--force')).code).toBe(0)
})
