/** `logs`: the last lines of the runtime's log, and with `-f` those to come. */
import { readFileSync } from 'node:fs'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { StateDir } from '../os/statedir.ts'
import type { CommandLine } from './parse.ts'

export async function logs(stateDir: StateDir, _line: CommandLine): Promise<ExitCode> {
  process.stdout.write(readFileSync(stateDir.logFile))
  return EXIT.done
}
