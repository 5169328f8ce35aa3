/**
 * The command line: what was typed, led to the file that does it. Called by `runAll` when the start
 * file was run, and by `bin/shiftwork` without it. Every error ends here, as a sentence and an exit code.
 */
import { resolve } from 'node:path'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import { findStateDir, type StateDir } from '../os/statedir.ts'
import { packageVersion } from '../version.ts'
import { connections } from './connections.ts'
import { logs } from './logs.ts'
import { withOrphans } from './orphans.ts'
import { type CommandLine, helpText, parseCommandLine, type Usage, wantsJson } from './parse.ts'
import { reload } from './reload.ts'
import { scale } from './scale.ts'
import { restart, type StartContext, start, startOver } from './start.ts'
import { status } from './status.ts'
import { stop } from './stop.ts'
import { printError, printJson, printLine, surviveLostOutput } from './terminal.ts'

export interface CommandContext extends Omit<StartContext, 'line' | 'stateDir' | 'logFile' | 'stdoutFile'> {
  argv: readonly string[]
  /** This process will be ended when the worker that started it is gone. */
  isOfWorker: boolean
  program: string
  /** What the start file gave to `runAll`; the command line wins. */
  options: { stateDir?: string; logFile?: string; stdoutFile?: string }
}

/** @returns the exit code; nothing is thrown. */
export async function runCommandLine(context: CommandContext): Promise<ExitCode> {
  surviveLostOutput()
  const usage: Usage = { program: context.program, takesStartFile: false }
  try {
    const line = await parseCommandLine(context.argv, usage)
    return await runStarting(line, context, usage)
  } catch (error) {
    return printError(error, wantsJson(context.argv))
  }
}

async function runStarting(line: CommandLine, context: CommandContext, usage: Usage): Promise<ExitCode> {
  const { options } = context
  const stateDir = chooseStateDir(line, context.startFile, options.stateDir)
  if (line.command !== 'start' && line.command !== 'restart') return runAsking(line, stateDir, usage)
  const files = {
    stateDir,
    logFile: options.logFile ?? stateDir.logFile,
    stdoutFile: options.stdoutFile ?? stateDir.stdoutFile,
  }
  const { startFile, check, startHere } = context
  // it stops the worker that it belongs to, and goes on after that
  if (line.command === 'restart' && context.isOfWorker) return startOver(context)
  const ready: StartContext = { line, startFile, check, startHere, ...files }
  return line.command === 'start' ? start(ready) : restart(ready)
}

export function chooseStateDir(line: CommandLine, startFile: string, fromFile?: string): StateDir {
  const chosen = line.stateDir === null ? fromFile : resolve(line.stateDir)
  return findStateDir(startFile, chosen ?? null)
}

/**
 * The commands that need no start file.
 * @throws ShiftworkError `ERR_NOT_RUNNING` names what an earlier master has left.
 */
export async function runAsking(line: CommandLine, stateDir: StateDir, usage: Usage): Promise<ExitCode> {
  try {
    return await run(line, stateDir, usage)
  } catch (error) {
    throw await withOrphans(error, stateDir)
  }
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
