/** What a start works with, in this process or as a daemon, and what it leaves where it fails. */
import { closeSync, openSync } from 'node:fs'
import type { Address } from '../address.ts'
import { ShiftworkError, systemCode } from '../errors.ts'
import type { ExitCode } from '../ipc/commands.ts'
import { createStateDir, type StateDir } from '../os/statedir.ts'
import type { Spec } from '../spec/spec.ts'
import type { Interrupts } from './interrupts.ts'
import type { CommandLine } from './parse.ts'
import type { Screen } from './screen.ts'

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

/** What a start comes after. */
export interface Before {
  /** The pid of the master that was stopped for it; null: nothing ran. */
  former: number | null
  interrupts: Interrupts
  /** Called when a master in this process heeds the signals itself. */
  bound(): void
}

/** Before a master is there: what it could not write to is this command's own error. */
export function assertFiles({ stateDir, logFile, stdoutFile, line }: StartContext): void {
  createStateDir(stateDir)
  closeSync(openFile('logFile', logFile))
  if (line.daemon) closeSync(openFile('stdoutFile', stdoutFile))
}

/** What is, when a start has failed: a restart has stopped what ran. */
export function outcomeOf(sentence: string, former: number | null): string {
  return former === null ? sentence : formerSentence(former)
}

/** Of a restart whose start has failed. */
export function formerSentence(former: number): string {
  return `The former fleet (master ${former}) was stopped: nothing runs now.`
}

const PURPOSE = { logFile: "It is the runtime's own log", stdoutFile: 'It is where a daemon prints to' } as const

/** Opens a file to append to. @throws ShiftworkError that names the option which chooses another one. */
export function openFile(option: keyof typeof PURPOSE, path: string): number {
  try {
    return openSync(path, 'a', 0o640)
  } catch (cause) {
    throw new ShiftworkError('ERR_STATE_DIR', `Cannot write to ${path}: ${systemCode(cause) ?? String(cause)}`, {
      hint: `${PURPOSE[option]}: choose another one with Worker.runAll({ ${option} }).`,
      cause,
    })
  }
}
