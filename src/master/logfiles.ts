/**
 * What the master writes to: the runtime's log and, as a daemon, the file that takes what the
 * master's hooks and the workers print. Both are opened again on SIGUSR1; a worker writes to the
 * descriptor that it was forked with, so it moves to the new file when it is replaced.
 */
import { createLog, encodeEntry, type Log, type LogFormat, type LogLine, REOPENED } from '../log.ts'
import { AppendFile } from '../os/appendfile.ts'
import { linkLog } from '../os/loglink.ts'
import type { StateDir } from '../os/statedir.ts'
import { Losses, type Lost, lostText } from './losses.ts'
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
  /** When that was done last, or the first time. */
  openedAt(): Date
  /** For `status`: what cannot be written. */
  warnings(): string[]
}

/** @throws a system error when a file cannot be opened. */
export function openLogFiles(options: LogOptions): LogFiles {
  const file = new AppendFile(options.logFile)
  const output = options.daemon ? new AppendFile(options.stdoutFile) : null
  const entries = new Losses(file, (lost) => encodeEntry(lostLine(lost), options.settings.logFormat))
  const prints = output && new Losses(output, (lost) => encodeEntry(lostLine(lost), 'text'))
  let openedAt = new Date()
  const log = createLog((line) => {
    entries.write(encodeEntry(line, options.settings.logFormat))
    options.screen.line(line)
  })
  const warning = linkLog(options.stateDir, options.logFile)
  if (warning !== null) log.warn(warning)
  if (prints) printTo(prints)
  return {
    log,
    launcher: output ? { ...options.launcher, workerOutput: () => [output.fd, output.fd] } : options.launcher,
    reopen: () => {
      if (reopen(log, output ? [file, output] : [file])) openedAt = new Date()
    },
    openedAt: () => openedAt,
    warnings: () => [...entries.warnings(), ...(prints?.warnings() ?? [])],
  }
}

function lostLine(lost: Lost): LogLine {
  return { at: new Date(), level: 'warn', text: lostText(lost), fields: { event: 'lost', entries: lost.entries } }
}

/** @returns whether all could be opened. */
function reopen(log: Log, files: readonly AppendFile[]): boolean {
  const problems = files.map((file) => ({ path: file.path, why: file.reopen() })).filter(({ why }) => why !== null)
  for (const { path, why } of problems)
    log
      .with({ event: 'reopen-failed' })
      .warn(`cannot open ${path} again: ${why}; the file that is open stays, until the next SIGUSR1`)
  if (problems.length === 0) log.with({ event: 'reopened' }).info(REOPENED)
  return problems.length === 0
}

/** What hooks and the start file's top level print in the master. Node.js has no dup2(2) to move descriptor 1 itself. */
function printTo(file: Losses): void {
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
