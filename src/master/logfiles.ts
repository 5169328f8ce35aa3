/**
 * What the master writes to: the runtime's log and, as a daemon, the file that takes what the
 * master's hooks and the workers print. Both are opened again on SIGUSR1; a worker writes to the
 * descriptor that it was forked with, so it moves to the new file when it is replaced.
 */
import { createLog, encodeEntry, type Log, type LogFormat, type LogLine, REOPENED } from '../log.ts'
import { AppendFile } from '../os/appendfile.ts'
import { linkLog } from '../os/loglink.ts'
import type { StateDir } from '../os/statedir.ts'
import type { Launcher } from './spawn.ts'

export interface LogOptions {
  stateDir: StateDir
  logFile: string
  stdoutFile: string
  daemon: boolean
  settings: { logFormat: LogFormat }
  launcher: Launcher
  screen: { line(line: LogLine): void }
}

export interface LogFiles {
  log: Log
  /** Forks workers that write where this process writes now. */
  launcher: Launcher
  /** After a rotation. What cannot be opened stays as it is until the next time. */
  reopen(): void
}

/** @throws a system error when a file cannot be opened. */
export function openLogFiles(options: LogOptions): LogFiles {
  const file = new AppendFile(options.logFile)
  const output = options.daemon ? new AppendFile(options.stdoutFile) : null
  const log = createLog((line) => {
    file.write(encodeEntry(line, options.settings.logFormat))
    options.screen.line(line)
  })
  const warning = linkLog(options.stateDir, options.logFile)
  if (warning !== null) log.warn(warning)
  if (output) printTo(output)
  return {
    log,
    launcher: output ? { ...options.launcher, workerOutput: () => [output.fd, output.fd] } : options.launcher,
    reopen: () => reopen(log, output ? [file, output] : [file]),
  }
}

function reopen(log: Log, files: readonly AppendFile[]): void {
  const problems = files.map((file) => ({ path: file.path, why: file.reopen() })).filter(({ why }) => why !== null)
  for (const { path, why } of problems)
    log
      .with({ event: 'reopen-failed' })
      .warn(`cannot open ${path} again: ${why}; the file that is open stays, until the next SIGUSR1`)
  if (problems.length === 0) log.with({ event: 'reopened' }).info(REOPENED)
}

/** What hooks and the start file's top level print in the master. Node.js has no dup2(2) to move descriptor 1 itself. */
function printTo(file: AppendFile): void {
  const write = (chunk: string | Uint8Array, encoding?: unknown, callback?: unknown): boolean => {
    file.write(typeof chunk === 'string' ? Buffer.from(chunk, encodingOf(encoding)) : chunk)
    const done = typeof encoding === 'function' ? encoding : callback
    if (typeof done === 'function') process.nextTick(done)
    return true
  }
  for (const stream of [process.stdout, process.stderr]) stream.write = write as typeof stream.write
}

function encodingOf(value: unknown): BufferEncoding {
  return typeof value === 'string' && Buffer.isEncoding(value) ? value : 'utf8'
}
