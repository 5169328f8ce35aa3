/**
 * What a person sees and what a program reads: colours only on a terminal, one JSON value with
 * `--json`, errors as a sentence and what to do. Every command prints through this.
 */
import { Writable } from 'node:stream'
import pc from 'picocolors'
import { describeError, ShiftworkError, systemCode } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { ReloadFailure } from '../ipc/status.ts'
import { printable } from '../log.ts'
import { waitFor } from '../patience.ts'

export type Paint = ReturnType<typeof pc.createColors>

/** Colours if the stream is a terminal and nobody said no (https://no-color.org). */
export function paintFor(stream: NodeJS.WriteStream): Paint {
  const isWanted = stream.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb'
  return pc.createColors(isWanted)
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printJson(value: unknown): void {
  writeToStdout()(`${JSON.stringify(value)}\n`)
}

/** Prints, and waits until the kernel has it. @returns false when whoever reads is gone. */
export function printWhole(text: string): Promise<boolean> {
  if (text === '') return Promise.resolve(true)
  return new Promise((resolve) => writeToStdout()(text, (error) => resolve(!error)))
}

/** For what was told to end, though nobody may read its last words. */
const LAST_WORDS_MS = 1_000

/**
 * Waits until the kernel has all that was printed: `process.exit` throws away what a pipe has not taken. A reader
 * that is gone is known at once.
 * @param how `isToldToEnd`: not for long, as somebody waits for the end of it and not for its words.
 */
export async function outputTaken({ isToldToEnd }: { isToldToEnd: boolean }): Promise<void> {
  // past what a start file may have put in the place of `write`, to stamp its lines
  const taken = (stream: Writable): Promise<void> =>
    new Promise((resolve) => void (Writable.prototype.write as Write).call(stream, '', () => resolve()))
  const all = Promise.all([taken(process.stdout), taken(process.stderr)])
  let endWait = (): void => undefined
  const tooLong = new Promise<void>((resolve) => {
    if (isToldToEnd) endWait = waitFor(LAST_WORDS_MS, resolve)
  })
  await Promise.race([all, tooLong])
  endWait()
}

type Write = (text: string, done?: (error?: Error | null) => void) => boolean

/** On the process: the start file may have been loaded with its own copy of this package. */
const KEPT = Symbol.for('shiftwork.stdout')

/** What a start file prints goes to stderr from here on: stdout is for the one JSON value. */
export function keepStdoutPure(): void {
  const kept: Write = process.stdout.write.bind(process.stdout)
  Object.assign(process, { [KEPT]: kept })
  process.stdout.write = process.stderr.write.bind(process.stderr) as typeof process.stdout.write
}

function writeToStdout(): Write {
  const kept = (process as unknown as Record<symbol, Write | undefined>)[KEPT]
  return kept ?? process.stdout.write.bind(process.stdout)
}

const EXIT_BY_CODE: Partial<Record<ShiftworkError['code'], ExitCode>> = {
  ERR_USAGE: EXIT.usage,
  ERR_NOT_RUNNING: EXIT.notRunning,
  ERR_NO_ANSWER: EXIT.noAnswer,
}

/** Shows what went wrong. @returns the exit code for it. */
export function printError(thrown: unknown, json: boolean): ExitCode {
  const error = isWithoutDirectory(thrown) ? lostDirectory(thrown) : thrown
  const known = error instanceof ShiftworkError ? error : null
  const code = known ? (EXIT_BY_CODE[known.code] ?? EXIT.failed) : EXIT.failed
  const message = known ? known.message : describeError(error).stack
  const hint = known?.hint ?? null
  if (json) {
    const told = { code: known?.code ?? 'ERR_UNEXPECTED', message, hint }
    printJson({ error: told, exitCode: code, ...known?.facts })
    return code
  }
  const paint = paintFor(process.stderr)
  process.stderr.write(`${paint.red('error')} ${printable(message)}\n`)
  if (hint !== null) process.stderr.write(`      ${printable(hint).replaceAll('\n', '\n      ')}\n`)
  return code
}

/** What `process.cwd()` throws in a directory that was removed, an old release for one. */
function isWithoutDirectory(error: unknown): boolean {
  return systemCode(error) === 'ENOENT' && (error as NodeJS.ErrnoException).syscall === 'uv_cwd'
}

function lostDirectory(cause: unknown): ShiftworkError {
  return new ShiftworkError('ERR_USAGE', 'The directory that you are in does not exist any more', {
    hint: 'Go to another one, or to this one again: cd "$PWD"',
    cause,
  })
}

/** A worker's own error: its stack, and the last lines it wrote. Text of user code moves no cursor. */
export function describeFailure(failure: ReloadFailure, paint: Paint): string {
  const stack = printable(failure.stack === '' ? failure.message : failure.stack)
  const lines = [`${paint.red(failure.worker)} ${stack}`]
  const output = printable(failure.output)
  if (output !== '') lines.push('', paint.dim(`the last that ${failure.worker} wrote:`), quote(output, paint))
  return lines.join('\n')
}

function quote(text: string, paint: Paint): string {
  return text
    .split('\n')
    .slice(-20)
    .map((line) => `${paint.dim('│')} ${line}`)
    .join('\n')
}

/** A terminal that went away, a pipe that was closed: whoever reads is gone, the work goes on. */
export function surviveLostOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
}
