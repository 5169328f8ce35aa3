/**
 * `-d`: launches the process that will be the master, and waits until every worker serves, or the start has failed
 * and is told why. Called by `start`.
 */
import { spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { DaemonSettings } from '../ipc/daemon.ts'
import { findOrphans } from '../ipc/findorphans.ts'
import type { LaunchMessage } from '../ipc/messages.ts'
import { type Orphan, orphanHint } from '../ipc/orphan.ts'
import { printable } from '../log.ts'
import { loaderArgs } from '../os/startfile.ts'
import type { StateDir } from '../os/statedir.ts'
import { DAEMON_VARIABLE } from '../variables.ts'
import { packageVersion } from '../version.ts'
import { duration } from '../words.ts'
import type { Interrupts } from './interrupts.ts'
import { bannerLines } from './render.ts'
import { failedJson } from './screen.ts'
import { assertFiles, type Before, formerSentence, openFile, outcomeOf, type StartContext } from './startcontext.ts'
import { describeFailure, paintFor, printJson, printLine } from './terminal.ts'

/** From a master's death to that of its workers, which have nothing to finish before they serve. */
const LEAVE_TIMEOUT_MS = 2_000
const LEAVE_LOOK_MS = 100

/** @throws ShiftworkError `ERR_ALREADY_RUNNING`, where another start was faster. */
export async function launchDaemon(context: StartContext, { former, interrupts }: Before): Promise<ExitCode> {
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
