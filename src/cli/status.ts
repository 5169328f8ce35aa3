/** `status`: every group and every process, once or, with `--watch`, again and again. */
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { SeenStatus } from '../ipc/status.ts'
import type { StateDir } from '../os/statedir.ts'
import { lookAt } from './look.ts'
import type { CommandLine } from './parse.ts'
import { statusLines } from './render.ts'
import { paintFor, printError, printJson, printLine } from './terminal.ts'

export async function status(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  if (line.watch) {
    const { watchStatus } = await import('./live.ts')
    return watchStatus(stateDir, { everyMs: line.watch.everyMs, json: line.json })
  }
  const { status, problem } = await lookAt(stateDir)
  if (line.json) printJson(status)
  else printStatus(status)
  if (!problem) return EXIT.done
  return line.json ? EXIT.noAnswer : printError(problem, false)
}

function printStatus(status: SeenStatus): void {
  const { columns } = process.stdout
  for (const text of statusLines(status, Date.now(), paintFor(process.stdout), { columns })) printLine(text)
}
