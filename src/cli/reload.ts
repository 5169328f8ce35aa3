/** `reload`: asks, shows each worker as it changes over, and says what it came to. */
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { Progress, ReloadSummary, Reply } from '../ipc/messages.ts'
import type { StateDir } from '../os/statedir.ts'
import { duration } from '../words.ts'
import { ask } from './client.ts'
import type { CommandLine } from './parse.ts'
import { ProgressBoard } from './progress.ts'
import { reloadLines } from './render.ts'
import { paintFor, printJson, printLine } from './terminal.ts'

const EXIT_BY_RESULT: Record<ReloadSummary['result'], ExitCode> = {
  done: EXIT.done,
  rejected: EXIT.rejected,
  mixed: EXIT.mixed,
  cancelled: EXIT.failed,
}

export async function reload(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  const board = line.json ? null : new ProgressBoard(process.stdout, describeProgress)
  const question = {
    command: 'reload',
    groups: line.names,
    graceful: line.graceful,
    timeoutMs: line.timeoutMs,
  } as const
  const summary = summaryOf(await ask(stateDir, question, (progress) => board?.show(progress)))
  board?.end()
  if (line.json) printJson(summary)
  else for (const text of reloadLines(summary, paintFor(process.stdout))) printLine(text)
  return EXIT_BY_RESULT[summary.result]
}

function summaryOf(reply: Reply): ReloadSummary {
  if (reply.type === 'reload') return reply.reload
  throw refusal(reply)
}

/** A reply that refuses, as the error that is shown for it. */
export function refusal(reply: Reply): ShiftworkError {
  if (reply.type !== 'error') return new ShiftworkError('ERR_NO_ANSWER', 'The master answers something else')
  const code = reply.code === 'usage' ? 'ERR_USAGE' : 'ERR_WORKER_FAILED'
  return new ShiftworkError(code, reply.message, { hint: reply.hint ?? undefined })
}

const MAX_DETAIL = 100

/** The beginning of a message: some say only in their second line what is wrong. */
function oneLine(text: string): string {
  const joined = text.replaceAll(/\s*\n\s*/g, ' ')
  return joined.length > MAX_DETAIL ? `${joined.slice(0, MAX_DETAIL)}…` : joined
}

/** What a person reads of one step; null: not worth a line. */
function describeProgress(progress: Progress): string | null {
  const after = duration(progress.ms)
  switch (progress.state) {
    case 'starting':
      return `pid ${progress.pid} starts`
    case 'prepared':
      return `pid ${progress.pid} is ready after ${after}`
    case 'serving':
      return `pid ${progress.pid} serves generation ${progress.generation} after ${after}`
    case 'draining':
      return `pid ${progress.pid} finishes what it has`
    case 'left':
      return `pid ${progress.pid} left after ${after}`
    case 'failed':
      return `pid ${progress.pid} failed: ${oneLine(progress.detail ?? '')}`
    case 'retrying':
      return `tries again`
  }
}
