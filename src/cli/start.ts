/**
 * `start`, and the second half of `restart`: in the foreground this process becomes the master; with `-d` a
 * daemon is launched and waited for until every worker serves, or the start has failed and is told why.
 */

import { spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Address } from '../address.ts'
import { ShiftworkError, systemCode } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { DaemonSettings } from '../ipc/daemon.ts'
import { findOrphans } from '../ipc/findorphans.ts'
import type { LaunchMessage } from '../ipc/messages.ts'
import { type Orphan, orphanHint } from '../ipc/orphan.ts'
import { printable } from '../log.ts'
import { alreadyRunning } from '../os/pidfile.ts'
import type { ProcessId } from '../os/processes.ts'
import { loaderArgs } from '../os/startfile.ts'
import { createStateDir, type StateDir } from '../os/statedir.ts'
import type { Spec } from '../spec/spec.ts'
import { DAEMON_VARIABLE } from '../variables.ts'
import { packageVersion } from '../version.ts'
import { duration } from '../words.ts'
import { findMaster } from './client.ts'
import { findElsewhere } from './elsewhere.ts'
import { FIRST_ENDS, type Interrupts } from './interrupts.ts'
import type { CommandLine } from './parse.ts'
import { bannerLines } from './render.ts'
import { failedJson, jsonScreen, type Screen, terminalScreen } from './screen.ts'
import { describeFailure, paintFor, printJson, printLine } from './terminal.ts'

/** From a master's death to that of its workers, which have nothing to finish before they serve. */
const LEAVE_TIMEOUT_MS = 2_000
const LEAVE_LOOK_MS = 100

export interface StartContext {
  line: CommandLine
  startFile: string
  stateDir: StateDir
  logFile: string
  stdoutFile: string
  /** Checks what the start file describes. @throws ShiftworkError */
  check: () => { specs: Spec[]; warnings: string[] }
  /**
   * Binds what it wants to listen on, for a moment, but for what the former master `has`.
   * @throws ShiftworkError for the first that cannot be had, where not the former master alone `isInTheWay`.
   */
  tryAddresses: (former: Record<'has' | 'isInTheWay', (address: Address) => boolean>) => Promise<void>
  /** Becomes the master, in this process. */
  startHere: (
    files: { stateDir: StateDir; logFile: string; stdoutFile: string; watch: boolean; keepStdoutPure: boolean },
    screen: Screen,
  ) => Promise<ExitCode>
}

export async function start(context: StartContext): Promise<ExitCode> {
  context.check()
  const master = await findLiving(context.stateDir)
  if (master) throw alreadyRunning(master)
  return begin(context, { former: null, interrupts: FIRST_ENDS, bound: () => undefined })
}

/** What a start comes after. */
export interface Before {
  /** The pid of the master that was stopped for it; null: nothing ran. */
  former: number | null
  interrupts: Interrupts
  /** Called when a master in this process heeds the signals itself. */
  bound(): void
}

/** Starts in the mode that the line says. @throws ShiftworkError `ERR_ALREADY_RUNNING`, where another start was faster. */
export function begin(context: StartContext, before: Before): Promise<ExitCode> {
  return context.line.daemon ? launchDaemon(context, before) : startForeground(context, before)
}

/** Also one whose pid file was removed a moment ago. @throws ShiftworkError when that one cannot be asked. */
export async function findLiving(stateDir: StateDir): Promise<ProcessId | null> {
  return findMaster(stateDir) ?? ((await findElsewhere(stateDir, null)) && findMaster(stateDir))
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

// ---- foreground ----------------------------------------------------------------------------------------------------

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

/** Before a master is there: what it could not write to is this command's own error. */
export function assertFiles({ stateDir, logFile, stdoutFile, line }: StartContext): void {
  createStateDir(stateDir)
  closeSync(openFile('logFile', logFile))
  if (line.daemon) closeSync(openFile('stdoutFile', stdoutFile))
}

/** What is, when a start has failed: a restart has stopped what ran. */
function outcomeOf(sentence: string, former: number | null): string {
  return former === null ? sentence : formerSentence(former)
}

/** Of a restart whose start has failed. */
export function formerSentence(former: number): string {
  return `The former fleet (master ${former}) was stopped: nothing runs now.`
}

// ---- daemon --------------------------------------------------------------------------------------------------------

async function launchDaemon(context: StartContext, { former, interrupts }: Before): Promise<ExitCode> {
  assertFiles(context)
  const out = openFile('stdoutFile', context.stdoutFile)
  const outputFrom = fstatSync(out).size
  try {
    const message = await launch(context, { out, interrupts })
    if (message.type === 'started') {
      showStarted(message, context)
      return EXIT.done
    }
    if (message.code === 'ERR_ALREADY_RUNNING')
      throw new ShiftworkError(message.code, message.message, { hint: message.hint ?? undefined })
    const orphans = message.hint === null ? await leftBehind(context.stateDir) : []
    showFailed(message, context, { tail: tailOf(context.stdoutFile, outputFrom), orphans, former })
    return EXIT.failed
  } finally {
    closeSync(out)
  }
}

const PURPOSE = { logFile: "It is the runtime's own log", stdoutFile: 'It is where a daemon prints to' } as const

/** Opens a file to append to. @throws ShiftworkError that names the option which chooses another one. */
function openFile(option: keyof typeof PURPOSE, path: string): number {
  try {
    return openSync(path, 'a', 0o640)
  } catch (cause) {
    throw new ShiftworkError('ERR_STATE_DIR', `Cannot write to ${path}: ${systemCode(cause) ?? String(cause)}`, {
      hint: `${PURPOSE[option]}: choose another one with Worker.runAll({ ${option} }).`,
      cause,
    })
  }
}

/** Starts the process that will be the master, in a session of its own, and waits for its word. */
function launch(
  context: StartContext,
  { out, interrupts }: { out: number; interrupts: Interrupts },
): Promise<LaunchMessage> {
  const { startFile, stateDir, logFile, stdoutFile, line } = context
  const settings: DaemonSettings = { stateDir: stateDir.path, logFile, stdoutFile, watch: line.watch !== null }
  const args = [...loaderArgs(process.execArgv, process.cwd()), startFile, 'start', '-d']
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', out, out, 'ipc'],
    env: { ...process.env, [DAEMON_VARIABLE]: JSON.stringify(settings) },
  })
  const unheed = interrupts.heed(() => void child.kill('SIGTERM'))
  return new Promise<LaunchMessage>((resolve) => {
    let failure: LaunchMessage | null = null
    child.on('message', (message) => {
      const word = message as LaunchMessage
      if (word.type === 'failed') {
        // it ends by itself: nothing is left when this command returns
        failure = word
        return
      }
      if (child.connected) child.disconnect()
      child.unref()
      resolve(word)
    })
    child.once('error', (error) => resolve(failed(error.message)))
    child.once('exit', (code, signal) => resolve(failure ?? ended(code, signal)))
  }).finally(unheed)
}

function ended(code: number | null, signal: string | null): LaunchMessage {
  const how = signal ? `was ended by ${signal}` : code === 0 ? 'was stopped' : `ended with code ${code ?? 'unknown'}`
  return failed(`The master ${how} before every worker served`)
}

function failed(message: string): LaunchMessage {
  return { type: 'failed', code: null, message, hint: null, failure: null }
}

function showStarted(message: Extract<LaunchMessage, { type: 'started' }>, context: StartContext): void {
  if (context.line.json) {
    printJson(message.status)
    return
  }
  const paint = paintFor(process.stdout)
  for (const text of bannerLines(message.status, packageVersion(), paint)) printLine(text)
  for (const warning of message.status.master.warnings) printLine(`${paint.yellow('warning')} ${warning}`)
  printLine(paint.dim(`log     ${context.logFile}`))
  printLine(paint.dim(`output  ${context.stdoutFile}`))
  printLine(`${paint.green('ready')} in ${duration(message.durationMs)}, in the background`)
}

/** Workers of a master that was killed meanwhile leave by themselves as a rule. */
async function leftBehind(stateDir: StateDir): Promise<Orphan[]> {
  const giveUpAt = performance.now() + LEAVE_TIMEOUT_MS
  for (;;) {
    const orphans = await findOrphans(stateDir.path)
    if (orphans.length === 0 || performance.now() >= giveUpAt) return orphans
    await delay(LEAVE_LOOK_MS)
  }
}

interface Remains {
  /** The last of its output. */
  tail: string
  orphans: readonly Orphan[]
  former: number | null
}

function showFailed(
  message: Extract<LaunchMessage, { type: 'failed' }>,
  context: StartContext,
  { tail, orphans, former }: Remains,
): void {
  if (context.line.json) {
    const said = former === null ? message.hint : [message.hint ?? [], formerSentence(former)].flat().join('\n')
    printJson(failedJson(message.message, said, message.failure, orphans))
    return
  }
  const paint = paintFor(process.stderr)
  const lines = message.failure ? [describeFailure(message.failure, paint), ''] : []
  if (!message.failure && message.hint === null && tail !== '') lines.push(printable(tail), '')
  lines.push(`${paint.red('error')} ${printable(message.message)}`)
  // a hint is the master's own, before it has forked
  const hint = orphans.length > 0 ? orphanHint(orphans, Date.now()) : message.hint
  if (hint !== null) lines.push(`      ${hint.replaceAll('\n', '\n      ')}`)
  const outcome = message.hint === null ? 'Nothing is left running.' : 'Nothing was started.'
  lines.push(`      ${orphans.length > 0 ? '' : `${outcomeOf(outcome, former)} `}Its output: ${context.stdoutFile}`)
  process.stderr.write(`${lines.join('\n')}\n`)
}

const TAIL_BYTES = 4 * 1024

/** What was written to a file since `from`, at most its last 4 KB. */
function tailOf(path: string, from: number): string {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const at = Math.max(from, size - TAIL_BYTES)
    const buffer = Buffer.alloc(Math.max(0, size - at))
    const read = readSync(fd, buffer, 0, buffer.length, at)
    return buffer.toString('utf8', 0, read)
  } finally {
    closeSync(fd)
  }
}
