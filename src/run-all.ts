/**
 * The one fork in the road: a process that evaluates a start file is the command line, the master
 * (in the foreground or as a daemon), or one worker. Called by `Worker.runAll`. Each side's code is
 * loaded only where it runs.
 */

import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeError, ShiftworkError } from './errors.ts'
import type { DaemonSettings } from './ipc/daemon.ts'
import type { LaunchMessage } from './ipc/messages.ts'
import { noteStateDir } from './ipc/ownstatedir.ts'
import type { MasterHooks, MasterScreen } from './master/main.ts'
import type { Launcher } from './master/spawn.ts'
import { startTimeOf } from './os/processes.ts'
import { absoluteStartFile, loaderArgs, throughLink } from './os/startfile.ts'
import { stateDirAt } from './os/statedir.ts'
import { workingDirectories } from './os/workingdirectory.ts'
import type { Runnable } from './protocols/hooks.ts'
import { checkSpecs, type RawWorker } from './spec/check.ts'
import { checkPlaces, checkSettings, type Places, type RunOptions, type Settings } from './spec/settings.ts'
import type { Spec } from './spec/spec.ts'
import { DAEMON_VARIABLE, WORKER_VARIABLE } from './variables.ts'
import { packageVersion } from './version.ts'
import { findParent, type ParentLink } from './worker/parent.ts'

/** A worker of the start file, before it was checked. */
export interface Described {
  raw: RawWorker
  runnable: () => Runnable
  /** Gives the public object its checked values. */
  adopt(spec: Spec): unknown
}

/** What a start file has handed to `runAll`. */
interface StartFile {
  startFile: string
  described: readonly Described[]
  options: RunOptions
  hooks: MasterHooks
}

interface Checked {
  specs: Spec[]
  warnings: string[]
  settings: Settings
}

export function runAll(described: readonly Described[], options: RunOptions, hooks: MasterHooks): void {
  const parent = findParent()
  if (parent) void runAsWorker(parent, described, options)
  else void runAsMain(described, options, hooks)
}

async function runAsWorker(parent: ParentLink, described: readonly Described[], options: RunOptions): Promise<void> {
  try {
    const { specs, settings } = check(described, options)
    const loaded = { type: 'loaded', version: packageVersion(), specs, settings } as const
    if (parent.identity.isReader) {
      parent.report(loaded, () => process.exit(0))
      return
    }
    parent.report(loaded)
    const runnables = new Map(specs.map((spec, index) => [spec.name, described[index]?.runnable() as Runnable]))
    const { runWorker } = await import('./worker/run.ts')
    await runWorker(parent, runnables, specs)
  } catch (error) {
    parent.fail(error)
  }
}

function check(described: readonly Described[], options: RunOptions): Checked {
  const checked = checkSpecs(described.map((worker) => worker.raw))
  const settings = checkSettings({ ...options })
  for (const [index, spec] of checked.specs.entries()) described[index]?.adopt(spec)
  return { ...checked, settings }
}

// ---- command line and master ---------------------------------------------------------------------------------------

async function runAsMain(described: readonly Described[], options: RunOptions, hooks: MasterHooks): Promise<void> {
  try {
    await runMain(described, options, hooks)
  } catch (error) {
    const { outputTaken, printError, surviveLostOutput } = await import('./cli/terminal.ts')
    surviveLostOutput()
    const code = printError(error, process.argv.includes('--json'))
    process.exitCode = code
    await outputTaken({ isToldToEnd: false })
    process.exit(code)
  }
}

async function runMain(described: readonly Described[], options: RunOptions, hooks: MasterHooks): Promise<void> {
  const startFile = absoluteStartFile(process.argv[1] ?? 'start', process.cwd(), process.env['PWD'])
  // typed, so to say, by a worker: what is started from here on is not that worker's
  const isOfWorker = process.env[WORKER_VARIABLE] !== undefined
  delete process.env[WORKER_VARIABLE]
  const settings = takeDaemonSettings()
  if (settings) {
    await runAsDaemon({ startFile, described, options, hooks }, settings)
    return
  }
  const places = checkPlaces({ ...options })
  const { runCommandLine } = await import('./cli/main.ts')
  const code = await runCommandLine({
    argv: options.argv ?? process.argv.slice(2),
    startFile,
    isOfWorker,
    program: program(startFile),
    options: absolutePaths(places),
    check: () => check(described, options),
    tryAddresses: async (former) => {
      const { specs, settings } = check(described, options)
      const { tryAddresses } = await import('./master/tryaddresses.ts')
      await tryAddresses({ specs, metrics: settings.metrics }, former)
    },
    startHere: async ({ keepStdoutPure, ...files }, screen) => {
      const checked = check(described, options)
      const { runMaster } = await import('./master/main.ts')
      noteStateDir(files.stateDir.path)
      const launch = launcher(startFile, files.stateDir.path, options)
      // stdout is for JSON alone
      if (keepStdoutPure) launch.workerOutput = () => [2, 'inherit']
      const how = { daemon: false, launcher: launch, hooks, screen } as const
      return runMaster({ ...checked, ...files, ...how })
    },
  })
  process.exit(code)
}

/** How the user can call this again: as they just did. */
function program(startFile: string): string {
  const file = process.argv[1] === startFile ? relativeTo(process.cwd(), startFile) : startFile
  const usesTsx = process.execArgv.some((arg) => /\btsx\b/.test(arg))
  return `${usesTsx ? 'tsx' : 'node'} ${file}`
}

function relativeTo(directory: string, path: string): string {
  return path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : path
}

function absolutePaths({ stateDir, logFile, stdoutFile }: Places): Partial<Record<keyof Places, string>> {
  return {
    ...(stateDir !== null && { stateDir: resolve(stateDir) }),
    ...(logFile !== null && { logFile: resolve(logFile) }),
    ...(stdoutFile !== null && { stdoutFile: resolve(stdoutFile) }),
  }
}

function launcher(startFile: string, stateDir: string, options: RunOptions): Launcher {
  const byFile = typeof options.stateDir === 'string' && resolve(options.stateDir) === stateDir
  const cwd = process.cwd()
  const bootstrap = fileURLToPath(new URL('./worker/main.js', import.meta.url))
  return {
    bootstrap: throughLink(bootstrap, startFile),
    execArgv: loaderArgs(process.execArgv, cwd).map((arg) => throughLink(arg, startFile)),
    directories: workingDirectories(cwd, process.env['PWD'], startFile),
    startFile,
    origin: { startFile, stateDir, byFile, master: { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' } },
    workerOutput: () => ['inherit', 'inherit'],
  }
}

// ---- daemon --------------------------------------------------------------------------------------------------------

function takeDaemonSettings(): DaemonSettings | null {
  const text = process.env[DAEMON_VARIABLE]
  delete process.env[DAEMON_VARIABLE]
  return text === undefined ? null : (JSON.parse(text) as DaemonSettings)
}

/** The launcher waits at the other end of the IPC channel until it has heard how the start went. */
async function runAsDaemon(
  { startFile, described, options, hooks }: StartFile,
  settings: DaemonSettings,
): Promise<void> {
  try {
    const checked = check(described, options)
    const { runMaster } = await import('./master/main.ts')
    const stateDir = stateDirAt(settings.stateDir)
    noteStateDir(stateDir.path)
    const files = { stateDir, logFile: settings.logFile, stdoutFile: settings.stdoutFile, watch: settings.watch }
    const screen = daemonScreen()
    const how = { daemon: true, launcher: launcher(startFile, stateDir.path, options), hooks, screen } as const
    const code = await runMaster({ ...checked, ...files, ...how })
    process.exit(code)
  } catch (error) {
    const hint = error instanceof ShiftworkError ? (error.hint ?? null) : null
    const message = error instanceof ShiftworkError ? error.message : describeError(error).stack
    const code = error instanceof ShiftworkError ? error.code : null
    tellLauncher({ type: 'failed', code, message, hint, failure: null }, () => process.exit(1))
  }
}

function daemonScreen(): MasterScreen {
  return {
    bound: () => undefined,
    line: () => undefined,
    started: async (status, durationMs) =>
      tellLauncher({ type: 'started', status: await status, durationMs }, () => undefined),
    failed: (failure) => {
      const message = failure ? `${failure.worker} did not start` : 'the workers could not be started'
      tellLauncher({ type: 'failed', code: null, message, hint: null, failure }, () => undefined)
    },
  }
}

/** A launcher that was killed meanwhile wants to hear nothing. */
function tellLauncher(message: LaunchMessage, then: () => void): void {
  if (!process.connected || !process.send) {
    then()
    return
  }
  process.send(message, undefined, undefined, () => {
    if (process.connected) process.disconnect()
    then()
  })
}
