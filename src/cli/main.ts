/**
 * The command line: what was typed, led to the file that does it. Called by `runAll` when the start
 * file was run, and by `bin/shiftwork` without it. Every error ends here, as a sentence and an exit code.
 */
import { resolve } from 'node:path'
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import { findStateDir, type StateDir } from '../os/statedir.ts'
import { packageVersion } from '../version.ts'
import { notRunning } from './client.ts'
import { connections } from './connections.ts'
import { findElsewhere } from './elsewhere.ts'
import { logs } from './logs.ts'
import { withOrphans } from './orphans.ts'
import { type CommandLine, helpText, parseCommandLine, type Usage, wantsJson } from './parse.ts'
import { reload } from './reload.ts'
import { restart } from './restart.ts'
import { scale } from './scale.ts'
import { start, startOver } from './start.ts'
import type { StartContext } from './startcontext.ts'
import { status } from './status.ts'
import { stop } from './stop.ts'
import { outputTaken, printError, printJson, printLine, surviveLostOutput } from './terminal.ts'

export interface CommandContext extends Omit<StartContext, 'line' | 'stateDir' | 'logFile' | 'stdoutFile'> {
  argv: readonly string[]
  /** This process will be ended when the worker that started it is gone. */
  isOfWorker: boolean
  program: string
  /** What the start file gave to `runAll`; the command line wins. */
  options: { stateDir?: string; logFile?: string; stdoutFile?: string }
}

/** @returns the exit code, when all that was printed is with the kernel; nothing is thrown. */
export async function runCommandLine(context: CommandContext): Promise<ExitCode> {
  surviveLostOutput()
  const usage: Usage = { program: context.program, takesStartFile: false }
  let isToldToEnd = false
  const startHere: CommandContext['startHere'] = (files, screen) => {
    isToldToEnd = true
    return context.startHere(files, screen)
  }
  const run = async (): Promise<ExitCode> => {
    const line = await parseCommandLine(context.argv, usage)
    isToldToEnd = goesOn(line)
    return runStarting(line, { ...context, startHere }, usage)
  }
  const code = await run().catch((error: unknown) => printError(error, wantsJson(context.argv)))
  process.exitCode = code
  await outputTaken({ isToldToEnd })
  return code
}

/** It ends when it is told to, by Ctrl-C for one. */
export function goesOn(line: CommandLine): boolean {
  return line.follow || (line.command === 'status' && line.watch !== null)
}

async function runStarting(line: CommandLine, context: CommandContext, usage: Usage): Promise<ExitCode> {
  const { options } = context
  const place = choosePlace(line, context.startFile, options.stateDir)
  if (line.command !== 'start' && line.command !== 'restart') return runAsking(line, place, usage)
  const { stateDir } = place
  const files = {
    stateDir,
    logFile: options.logFile ?? stateDir.logFile,
    stdoutFile: options.stdoutFile ?? stateDir.stdoutFile,
  }
  const { startFile, check, tryAddresses, startHere } = context
  // it stops the worker that it belongs to, and goes on after that
  if (line.command === 'restart' && context.isOfWorker) return startOver(context)
  const ready: StartContext = { line, startFile, check, tryAddresses, startHere, ...files }
  return line.command === 'start' ? start(ready) : restart(ready)
}

/** Where a command looks for its master. */
export interface Place {
  stateDir: StateDir
  /** Whose master it is; null: the directory was chosen, and no other will do. */
  startFile: string | null
}

export function choosePlace(line: CommandLine, startFile: string, fromFile?: string): Place {
  const chosen = line.stateDir === null ? fromFile : resolve(line.stateDir)
  const stateDir = findStateDir(startFile, chosen ?? null)
  return { stateDir, startFile: chosen === undefined ? startFile : null }
}

/**
 * The commands that need no start file. A master that lives is found also where it is not looked for at first.
 * @throws ShiftworkError `ERR_NOT_RUNNING` names what an earlier master has left.
 */
export async function runAsking(line: CommandLine, { stateDir, startFile }: Place, usage: Usage): Promise<ExitCode> {
  try {
    return await run(line, stateDir, usage)
  } catch (error) {
    const isIdle = error instanceof ShiftworkError && error.code === 'ERR_NOT_RUNNING'
    if (!isIdle) throw error
    const other = await findElsewhere(stateDir, startFile).catch(async (found: unknown) => {
      throw await withOrphans(found, stateDir)
    })
    if (!other) throw await withOrphans(error, stateDir)
    // a directory that was chosen by the environment may be that of another fleet
    if (other.path !== stateDir.path && !isLook(line))
      throw notRunning(`One runs with another state directory; if it is meant, add: --state-dir ${other.path}`)
    return run(line, other, usage)
  }
}

function isLook({ command, dryRun }: CommandLine): boolean {
  return command === 'status' || command === 'logs' || command === 'connections' || (command === 'reload' && dryRun)
}

async function run(line: CommandLine, stateDir: StateDir, usage: Usage): Promise<ExitCode> {
  switch (line.command) {
    case 'stop':
      return stop(stateDir, line)
    case 'reload':
      return reload(stateDir, line)
    case 'scale':
      return scale(stateDir, line)
    case 'connections':
      return connections(stateDir, line)
    case 'status':
      return status(stateDir, line)
    case 'logs':
      return logs(stateDir, line)
    case 'version':
      if (line.json) printJson({ shiftwork: packageVersion(), node: process.version })
      else printLine(`Shiftwork ${packageVersion()}, Node.js ${process.version}`)
      return EXIT.done
    case 'help':
      if (line.json) printJson({ help: await helpText(usage) })
      else printLine(await helpText(usage))
      return EXIT.done
    case 'start':
    case 'restart':
      throw new Error(`"${line.command}" needs the start file`)
  }
}
