/** `reload`: asks, shows each worker as it changes over, and says what it came to. */
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { Reply } from '../ipc/messages.ts'
import type { Question, ReloadOrder } from '../ipc/requests.ts'
import type { ReloadSummary } from '../ipc/status.ts'
import type { StateDir } from '../os/statedir.ts'
import { ask } from './client.ts'
import type { CommandLine } from './parse.ts'
import { describeProgress, ProgressBoard } from './progress.ts'
import { planLines, reloadLines } from './render.ts'
import { paintFor, printJson, printLine } from './terminal.ts'

const EXIT_BY_RESULT: Record<ReloadSummary['result'], ExitCode> = {
  done: EXIT.done,
  rejected: EXIT.rejected,
  mixed: EXIT.mixed,
  cancelled: EXIT.failed,
  failed: EXIT.failed,
}

export async function reload(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  if (line.dryRun) return plan(stateDir, line)
  const board = line.json ? null : new ProgressBoard(process.stdout, describeProgress)
  const question: Question = { command: 'reload', ...orderOf(line) }
  const summary = summaryOf(await ask(stateDir, question, (progress) => board?.show(progress)))
  board?.end()
  if (line.json) printJson(summary)
  else for (const text of reloadLines(summary, paintFor(process.stdout))) printLine(text)
  return EXIT_BY_RESULT[summary.result]
}

/** Nothing is touched: what would be done, or why it would be rejected. */
async function plan(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  const reply = await ask(stateDir, { command: 'plan', ...orderOf(line) })
  if (reply.type !== 'plan') throw refusal(reply)
  if (line.json) printJson(reply.plan)
  else for (const text of planLines(reply.plan, paintFor(process.stdout))) printLine(text)
  return reply.plan.result === 'possible' ? EXIT.done : EXIT.rejected
}

function orderOf(line: CommandLine): ReloadOrder {
  const { names, graceful, timeoutMs, strategy, surge, wait, force } = line
  return { groups: names, graceful, timeoutMs, strategy, surge, wait, force }
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
