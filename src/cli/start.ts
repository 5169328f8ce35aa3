/**
 * `start`, and the second half of `restart`: in the foreground this process becomes the master; with `-d` a
 * daemon is launched.
 */
import { spawn } from 'node:child_process'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import { occupied } from '../os/occupancy.ts'
import { alreadyRunning } from '../os/pidfile.ts'
import type { ProcessId } from '../os/processes.ts'
import { loaderArgs } from '../os/startfile.ts'
import type { StateDir } from '../os/statedir.ts'
import { findHolder, findMaster } from './client.ts'
import { findElsewhere } from './elsewhere.ts'
import { FIRST_ENDS } from './interrupts.ts'
import { launchDaemon } from './launch.ts'
import { jsonScreen, type Screen, terminalScreen } from './screen.ts'
import { assertFiles, type Before, outcomeOf, type StartContext } from './startcontext.ts'

export async function start(context: StartContext): Promise<ExitCode> {
  context.check()
  const master = await findLiving(context.stateDir)
  if (master) throw alreadyRunning(master)
  return begin(context, { former: null, interrupts: FIRST_ENDS, bound: () => undefined })
}

/** Starts in the mode that the line says. @throws ShiftworkError `ERR_ALREADY_RUNNING`, where another start was faster. */
export function begin(context: StartContext, before: Before): Promise<ExitCode> {
  return context.line.daemon ? launchDaemon(context, before) : startForeground(context, before)
}

/**
 * Also one whose pid file was removed a moment ago.
 * @throws ShiftworkError when that one cannot be asked, and for one that answers from another process table: it
 * cannot be begun anew from here.
 */
export async function findLiving(stateDir: StateDir): Promise<ProcessId | null> {
  const holder = (await findHolder(stateDir)) ?? ((await findElsewhere(stateDir, null)) && findMaster(stateDir))
  if (holder === 'unseen') throw occupied(stateDir, holder)
  return holder
}

/** Types the same once more in a process that carries no worker's mark; what becomes of this one is no matter then. */
export function startOver({ startFile, argv }: { startFile: string; argv: readonly string[] }): Promise<ExitCode> {
  const args = [...loaderArgs(process.execArgv, process.cwd()), startFile, ...argv]
  const child = spawn(process.execPath, args, { stdio: 'inherit' })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve((code ?? EXIT.failed) as ExitCode))
  })
}

async function startForeground(context: StartContext, { former, bound }: Before): Promise<ExitCode> {
  const { stateDir, logFile, stdoutFile, line } = context
  assertFiles(context)
  const outcome = outcomeOf('Nothing is left running.', former)
  const screen = line.json ? jsonScreen(former === null ? null : outcome) : terminalScreen(outcome)
  const files = { stateDir, logFile, stdoutFile, watch: line.watch !== null }
  const showBound: Screen['bound'] = (status) => {
    bound()
    screen.bound(status)
  }
  const code = await context.startHere({ ...files, keepStdoutPure: line.json }, { ...screen, bound: showBound })
  screen.ended()
  return code
}
