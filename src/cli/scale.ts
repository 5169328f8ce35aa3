/** `scale`: more or fewer workers of a group; done when they serve, or are gone. */
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { Count } from '../ipc/requests.ts'
import type { Scaled } from '../ipc/status.ts'
import type { StateDir } from '../os/statedir.ts'
import { MAX_COUNT } from '../spec/spec.ts'
import { duration } from '../words.ts'
import { ask } from './client.ts'
import type { CommandLine } from './parse.ts'
import { describeProgress, ProgressBoard } from './progress.ts'
import { refusal } from './reload.ts'
import { describeFailure, type Paint, paintFor, printJson, printLine } from './terminal.ts'

export async function scale(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  const counts = parseCounts(line.names)
  const board = line.json ? null : new ProgressBoard(process.stdout, describeProgress)
  const reply = await ask(stateDir, { command: 'scale', counts }, (progress) => board?.show(progress))
  board?.end()
  if (reply.type !== 'scaled') throw refusal(reply)
  if (line.json) printJson(reply.scaled)
  else for (const text of scaledLines(reply.scaled, paintFor(process.stdout))) printLine(text)
  return reply.scaled.result === 'done' ? EXIT.done : EXIT.failed
}

/** `web=4`, `web=+1`, `web=-1`: the last two are not taken, so that typing it twice does no harm. */
function parseCounts(words: readonly string[]): Count[] {
  if (words.length === 0)
    throw new ShiftworkError('ERR_USAGE', 'scale needs a worker and a number', { hint: 'Type: scale web=4' })
  const counts = words.map(parseCount)
  for (const { name } of counts)
    if (counts.filter((one) => one.name === name).length > 1)
      throw new ShiftworkError('ERR_USAGE', `"${name}" is given twice`, { hint: 'Once is enough.' })
  return counts
}

function parseCount(word: string): Count {
  const match = /^([^=]+)=(\d{1,4})$/.exec(word)
  const count = Number(match?.[2])
  if (match?.[1] !== undefined && count >= 1 && count <= MAX_COUNT) return { name: match[1], count }
  throw new ShiftworkError('ERR_USAGE', `"${word}" is not a worker and a number`, {
    hint: `Write it as web=4, from 1 to ${MAX_COUNT}. A group ends when the start file no longer has it.`,
  })
}

function scaledLines(scaled: Scaled, paint: Paint): string[] {
  const lines = scaled.error ? [describeFailure(scaled.error, paint), ''] : []
  const groups = scaled.groups.map(({ name, from, to }) => `${name} ${from} → ${to}`).join(', ')
  const result = scaled.result === 'done' ? paint.green('done') : paint.red(scaled.result)
  const remark = { done: '', failed: ': the number of workers is what it was', cancelled: ': the master was stopped' }
  const what = groups === '' ? 'scale' : `scale ${groups}`
  return [...lines, `${what} ${result} in ${duration(scaled.durationMs)}${remark[scaled.result]}`]
}
