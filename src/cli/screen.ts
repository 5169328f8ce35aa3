/** What a master in the foreground shows of itself: to a person line by line, to a program one JSON value. */
import { EXIT } from '../ipc/commands.ts'
import { type Orphan, orphanStatus } from '../ipc/orphan.ts'
import type { ReloadFailure, Status } from '../ipc/status.ts'
import { indented, type LogLine } from '../log.ts'
import { packageVersion } from '../version.ts'
import { duration, firstLine } from '../words.ts'
import { bannerLines } from './render.ts'
import { describeFailure, type Paint, paintFor, printJson, printLine } from './terminal.ts'

/** What the foreground master shows itself on. */
export interface Screen {
  bound(status: Status): void
  line(line: LogLine): void
  started(status: Promise<Status>, durationMs: number): Promise<void> | void
  /** @param isWaiting it will be tried again at the next change. */
  failed(failure: ReloadFailure | null, isWaiting: boolean): void
}

/** A screen that tells why the start failed when all is over, so that it is the last thing to be read. */
export type LastingScreen = Screen & { ended(): void }

/** The banner, then a line for each event. @param outcome what is, when the start has failed. */
export function terminalScreen(outcome: string): LastingScreen {
  const paint = paintFor(process.stdout)
  let early: LogLine[] | null = []
  let isStarting = true
  let failed: (() => void) | null = null
  const show = (line: LogLine): void => printLine(logText(isStarting ? headOf(line) : line, paint))
  return {
    bound: (status) => {
      for (const text of bannerLines(status, packageVersion(), paint)) printLine(text)
      for (const line of early ?? []) show(line)
      early = null
    },
    line: (line) => {
      if (early) early.push(line)
      else show(line)
    },
    started: (_status, durationMs) => {
      isStarting = false
      printLine(`${paint.green('ready')} in ${duration(durationMs)}`)
    },
    failed: (failure, isWaiting) => {
      if (!isWaiting) {
        failed = () => printFailed(failure, outcome)
        return
      }
      printWaiting(failure)
      // from here on it is the log that shows whole what fails
      isStarting = false
    },
    ended: () => failed?.(),
  }
}

/** While the first workers start: a failure is shown whole, once, at the end. */
function headOf(line: LogLine): LogLine {
  return { ...line, text: firstLine(line.text) }
}

function printWaiting(failure: ReloadFailure | null): void {
  const paint = paintFor(process.stderr)
  const lines = failure ? ['', describeFailure(failure, paint), ''] : []
  lines.push(`${paint.red('error')} ${failedMessage(failure)}`, '      Waiting for a change. Ctrl-C ends it.')
  process.stderr.write(`${lines.join('\n')}\n`)
}

function printFailed(failure: ReloadFailure | null, outcome: string): void {
  const paint = paintFor(process.stderr)
  const lines = failure ? ['', describeFailure(failure, paint), ''] : []
  lines.push(`${paint.red('error')} ${failedMessage(failure)}`, `      ${outcome}`)
  process.stderr.write(`${lines.join('\n')}\n`)
}

function failedMessage(failure: ReloadFailure | null): string {
  return failure ? `${failure.worker} did not start` : 'The workers could not be started'
}

/** With `--json`: one value when it is known how the start went; the log goes to stderr. @param hint of a failed start. */
export function jsonScreen(hint: string | null): LastingScreen {
  let failed: (() => void) | null = null
  return {
    bound: () => undefined,
    line: (line) => process.stderr.write(`${logText(line, paintFor(process.stderr))}\n`),
    started: async (status) => {
      failed = null
      printJson(await status)
    },
    failed: (failure) => {
      failed = () => printJson(failedJson(failedMessage(failure), hint, failure))
    },
    ended: () => failed?.(),
  }
}

/** A start that failed, as `--json` prints it. */
export function failedJson(
  message: string,
  hint: string | null,
  failure: ReloadFailure | null,
  orphans: readonly Orphan[] = [],
): unknown {
  const left = orphans.length === 0 ? {} : { orphans: orphans.map(orphanStatus) }
  return { error: { code: 'ERR_WORKER_FAILED', message, hint, failure }, exitCode: EXIT.failed, ...left }
}

function logText(line: LogLine, paint: Paint): string {
  const time = paint.dim(line.at.toTimeString().slice(0, 8))
  if (line.level === 'info') return `${time} ${indented(line.text)}`
  return `${time} ${line.level === 'error' ? paint.red('error') : paint.yellow('warning')} ${indented(line.text)}`
}
