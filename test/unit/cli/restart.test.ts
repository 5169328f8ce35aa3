/** What `restart` and `stop` do with a master before, and without, its help. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { ask } from '../../../src/cli/client.ts'
import { modeShownBy } from '../../../src/cli/formermode.ts'
import { lookAt } from '../../../src/cli/look.ts'
import { parseCommandLine } from '../../../src/cli/parse.ts'
import { restart } from '../../../src/cli/restart.ts'
import type { StartContext } from '../../../src/cli/start.ts'
import { assertMortal, stopMaster } from '../../../src/cli/stop.ts'
import type { Reply } from '../../../src/ipc/messages.ts'
import { UNKNOWN_REQUEST } from '../../../src/ipc/requests.ts'
import type { GroupStatus, Status } from '../../../src/ipc/status.ts'
import { isAlive } from '../../../src/os/processes.ts'
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
