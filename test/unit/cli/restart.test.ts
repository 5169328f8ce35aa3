/** What `restart` and `stop` do with a master before, and without, its help. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { parseAddress } from '../../../src/address.ts'
import { ask } from '../../../src/cli/client.ts'
import { modeShownBy } from '../../../src/cli/formermode.ts'
import { lookAt } from '../../../src/cli/look.ts'
import { parseCommandLine } from '../../../src/cli/parse.ts'
import { restart } from '../../../src/cli/restart.ts'
import type { StartContext } from '../../../src/cli/startcontext.ts'
import { assertMortal, stopMaster } from '../../../src/cli/stop.ts'
import { ShiftworkError } from '../../../src/errors.ts'
import type { Reply } from '../../../src/ipc/messages.ts'
import { UNKNOWN_REQUEST } from '../../../src/ipc/requests.ts'
import type { GroupStatus, Status } from '../../../src/ipc/status.ts'
import { alreadyRunning } from '../../../src/os/pidfile.ts'
import { isAlive, type ProcessId, startTimeOf, userOf } from '../../../src/os/processes.ts'
import { stateDirAt } from '../../../src/os/statedir.ts'
import type { Spec } from '../../../src/spec/spec.ts'
import { DAEMON_VARIABLE } from '../../../src/variables.ts'
import { temporaryDirectory } from '../tempdir.ts'
import { fakeMaster } from './fakemaster.ts'
import { OWN, sleeper } from './processes.ts'

const STATUS: Reply = {
  type: 'status',
  status: { master: { daemon: false, watching: false, metrics: null }, groups: [] as GroupStatus[] } as Status,
}
const UNKNOWN: Reply = { type: 'error', code: 'usage', message: UNKNOWN_REQUEST, hint: null }

async function contextIn(root: string, more: Partial<StartContext> = {}): Promise<StartContext> {
  const startFile = join(root, 'start.js')
  writeFileSync(startFile, '')
  return {
    line: await parseCommandLine(['restart'], { program: 'node start.js', takesStartFile: false }),
    startFile,
    stateDir: stateDirAt(join(root, 'state')),
    logFile: join(root, 'log'),
    stdoutFile: join(root, 'out'),
    check: () => ({ specs: [], warnings: [] }),
    tryAddresses: () => Promise.resolve(),
    startHere: () => Promise.resolve(0),
    ...more,
  }
}

describe('restart stops nothing', () => {
  it.each<[string, (root: string) => Partial<StartContext>, RegExp]>([
    ['whose log cannot be written', (root) => ({ logFile: join(root, 'no/log') }), /Cannot write to .*no\/log: ENOENT/],
    [
      'whose workers cannot become who they are to be',
      () => ({ check: () => ({ specs: [{ name: 'web', user: 'no-such-user', group: null } as Spec], warnings: [] }) }),
      /no user "no-such-user"/,
    ],
  ])('%s', async (_, more, message) => {
    const root = temporaryDirectory()
    const context = await contextIn(root, more(root))
    const asked = await fakeMaster(context.stateDir, OWN, () => STATUS)
    await expect(restart(context)).rejects.toThrow(message)
    expect(asked).toEqual(['status'])
  })

  it('whose output cannot be written, for a daemon', async () => {
    const root = temporaryDirectory()
    const context = await contextIn(root, { stdoutFile: join(root, 'no/out') })
    const daemon = { ...STATUS.status, master: { ...STATUS.status.master, daemon: true } }
    const asked = await fakeMaster(context.stateDir, OWN, () => ({ type: 'status', status: daemon }))
    await expect(restart(context)).rejects.toThrow(/Cannot write to .*no\/out/)
    expect(asked).toEqual(['status'])
  })
})

/** A master that is stopped by a signal, so that it need not be a master. */
async function stoppable(context: StartContext, then: () => Reply = () => UNKNOWN): Promise<ProcessId> {
  const master = await sleeper()
  await fakeMaster(context.stateDir, master, () => (isAlive(master) ? UNKNOWN : then()))
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  onTestFinished(() => void vi.restoreAllMocks())
  return master
}

it('restart stops nothing for an address that another program has', async () => {
  const taken = new ShiftworkError('ERR_ADDRESS_IN_USE', 'Cannot listen on http://127.0.0.1:1')
  const context = await contextIn(temporaryDirectory(), { tryAddresses: () => Promise.reject(taken) })
  const asked = await fakeMaster(context.stateDir, OWN, () => STATUS)
  await expect(restart(context)).rejects.toThrow(taken)
  expect(asked).toEqual(['status'])
})

it('what the former master has, and is in the way of, is no reason to refuse', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const tryAddresses: StartContext['tryAddresses'] = (former) => {
    expect(former.has(parseAddress(`http://127.0.0.1:${port}`))).toBe(true)
    expect(former.has(parseAddress(`http://0.0.0.0:${port}`))).toBe(false)
    expect(former.isInTheWay(parseAddress(`http://0.0.0.0:${port}`))).toBe(true)
    return Promise.reject(new Error('enough'))
  }
  const context = await contextIn(temporaryDirectory(), { tryAddresses })
  const groups = [{ listen: [`http://127.0.0.1:${port}`, 'gopher://127.0.0.1:70'] } as GroupStatus]
  await fakeMaster(context.stateDir, OWN, () => ({ ...STATUS, status: { ...STATUS.status, groups } }))
  await expect(restart(context)).rejects.toThrow('enough')
})

it('a start that fails after the stop says that nothing runs any more', async () => {
  const failed = new ShiftworkError('ERR_ADDRESS', 'Cannot listen', { hint: 'Choose another.' })
  const context = await contextIn(temporaryDirectory(), { startHere: () => Promise.reject(failed) })
  const { pid } = await stoppable(context)
  const hint = `Choose another.\nThe former fleet (master ${pid}) was stopped: nothing runs now.`
  await expect(restart(context)).rejects.toMatchObject({ code: 'ERR_ADDRESS', message: 'Cannot listen', hint })
})

describe('a restart that another one has overtaken', () => {
  const statusOf = (startedAt: Date, state: string): Reply => {
    const master = { pid: OWN.pid, startedAt: startedAt.toISOString(), state }
    return { type: 'status', status: { master, groups: [] as GroupStatus[] } as Status }
  }
  const overtaken = async (replies: Reply[]): Promise<{ restarted: Promise<number>; printed: () => string }> => {
    const startHere = (): Promise<never> => {
      writeFileSync(context.stateDir.pidFile, `${OWN.pid} ${OWN.startTime}\n`)
      return Promise.reject(alreadyRunning(OWN))
    }
    const context = await contextIn(temporaryDirectory(), { startHere })
    await stoppable(context, () => replies.shift() ?? UNKNOWN)
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    return { restarted: restart(context), printed: () => write.mock.calls.join('') }
  }

  it('is done when the other’s workers serve', async () => {
    const now = new Date()
    const { restarted, printed } = await overtaken([statusOf(now, 'starting'), statusOf(now, 'running')])
    expect(await restarted).toBe(0)
    expect(printed()).toContain(`Another restart was faster: master ${OWN.pid} is new\n`)
  })

  it('has failed where that master is an older one', async () => {
    const { restarted } = await overtaken([statusOf(new Date(0), 'running')])
    await expect(restarted).rejects.toMatchObject({
      code: 'ERR_ALREADY_RUNNING',
      hint: expect.not.stringMatching(/stopped/),
    })
  })

  it('does not stop a master that began after it was typed', async () => {
    const context = await contextIn(temporaryDirectory())
    const asked = await fakeMaster(context.stateDir, OWN, () => statusOf(new Date(), 'running'))
    vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    onTestFinished(() => void vi.restoreAllMocks())
    expect(await restart(context)).toBe(0)
    expect(asked).toEqual(['status', 'status'])
  })

  it('does not stop one that has come while it looked around either', async () => {
    const context = await contextIn(temporaryDirectory())
    const tryAddresses = (): Promise<void> => {
      writeFileSync(context.stateDir.pidFile, `${OWN.pid} ${OWN.startTime}\n`)
      return Promise.resolve()
    }
    const former = await sleeper()
    const isNew = (): boolean => readFileSync(context.stateDir.pidFile, 'utf8').startsWith(`${OWN.pid} `)
    const asked = await fakeMaster(context.stateDir, former, () => (isNew() ? statusOf(new Date(), 'running') : STATUS))
    vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    onTestFinished(() => void vi.restoreAllMocks())
    expect(await restart({ ...context, tryAddresses })).toBe(0)
    expect(asked).toEqual(['status', 'status'])
    expect(isAlive(former)).toBe(true)
  })
})

it.runIf(process.getuid?.() === 0)('root does not take over the fleet of another user by a restart', async () => {
  const child = spawn('sleep', ['600'], { stdio: 'ignore', uid: 65_534 })
  onTestFinished(() => void child.kill('SIGKILL'))
  const pid = child.pid ?? 0
  await expect.poll(() => userOf(pid)).toBe(65_534)
  const master = { pid, startTime: startTimeOf(pid) ?? '' }
  const specs = (user: string | null): StartContext['check'] => {
    return () => ({ specs: [{ name: 'web', user, group: null } as Spec], warnings: [] })
  }
  const refused = await contextIn(temporaryDirectory(), { check: specs(null) })
  const asked = await fakeMaster(refused.stateDir, master, () => STATUS)
  await expect(restart(refused)).rejects.toMatchObject({
    code: 'ERR_USER',
    message: expect.stringMatching(/^The master \(pid \d+\) runs as \S+, and worker "web" would run as root$/),
  })
  expect(asked).toEqual([])
  // whose workers are somebody of their own in any case
  const enough = { tryAddresses: () => Promise.reject(new Error('enough')), check: specs('nobody') }
  const taken = await contextIn(temporaryDirectory(), enough)
  await fakeMaster(taken.stateDir, master, () => STATUS)
  await expect(restart(taken)).rejects.toThrow('enough')
})

describe('a master of another version', () => {
  const how = { graceful: false, force: false, timeoutMs: null, json: false }

  it('is told from one that does not answer, and from a mistake, by every question', async () => {
    const dir = stateDirAt(join(temporaryDirectory(), 'state'))
    await fakeMaster(dir, OWN, () => UNKNOWN)
    const expected = { code: 'ERR_NO_ANSWER', message: expect.stringContaining('is of another version of Shiftwork') }
    await expect(ask(dir, { command: 'scale', counts: [] })).rejects.toMatchObject(expected)
    await expect(lookAt(dir)).rejects.toMatchObject(expected)
  })

  it('is stopped by a signal, and waited for', async () => {
    const dir = stateDirAt(join(temporaryDirectory(), 'state'))
    const master = await sleeper()
    await fakeMaster(dir, master, () => UNKNOWN)
    const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    onTestFinished(() => void vi.restoreAllMocks())
    expect(await stopMaster(dir, master, how)).toMatchObject({ forced: false, connectionsCut: null })
    expect(isAlive(master)).toBe(false)
    expect(told).toHaveBeenCalledWith(expect.stringContaining('another version of Shiftwork: SIGTERM stops it\n'))
  })

  it.runIf(process.platform === 'linux')('is followed in the mode that the process table shows', async () => {
    const settings = { stateDir: '/s', logFile: '/l', stdoutFile: '/o', watch: true }
    const daemon = await sleeper({ [DAEMON_VARIABLE]: JSON.stringify(settings) })
    expect(modeShownBy(daemon)).toEqual({ daemon: true, watching: true })
    expect(modeShownBy(await sleeper())).toEqual({ daemon: false, watching: false })
  })

  it('is begun anew by restart', async () => {
    const root = temporaryDirectory()
    const startHere = vi.fn(() => Promise.resolve(0 as const))
    const context = await contextIn(root, { startHere })
    const master = await sleeper()
    await fakeMaster(context.stateDir, master, () => UNKNOWN)
    vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    onTestFinished(() => void vi.restoreAllMocks())
    expect(await restart(context)).toBe(0)
    expect(isAlive(master)).toBe(false)
    expect(startHere).toHaveBeenCalledOnce()
  })
})

it('the words for a request that is not known are those that a master says', () => {
  const control = readFileSync(new URL('../../../src/master/control.ts', import.meta.url), 'utf8')
  expect(control.includes(UNKNOWN_REQUEST) || control.includes('UNKNOWN_REQUEST')).toBe(true)
})

it('the first process of a container is not killed from within', () => {
  expect(() => assertMortal({ pid: 1, startTime: '1' })).toThrow('The master (pid 1) does not answer')
  expect(() => assertMortal(OWN)).not.toThrow()
})
