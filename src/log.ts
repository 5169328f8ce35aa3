/**
 * The runtime's own log: one line an event, appended to a file and, in the foreground, shown on the
 * terminal. Used by the master only; workers write to the output that they inherited. Writing never
 * throws: a full disk must not bring a server down.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { debuglog } from 'node:util'

export type Level = 'info' | 'warn' | 'error'

export interface LogLine {
  at: Date
  level: Level
  text: string
}

export interface Log {
  info(text: string): void
  warn(text: string): void
  error(text: string): void
  /** Opens the file again under its name, after logrotate has moved it. */
  reopen(): void
}

/** `NODE_DEBUG=shiftwork` shows every message, transition and action of all three kinds of process. */
export const debug = debuglog('shiftwork')

/** A log that appends to `file` and hands each line to `show`, when there is one. */
export function openLog(file: string, show: ((line: LogLine) => void) | null): Log {
  let fd = openSync(file, 'a', 0o640)
  const write = (level: Level, text: string): void => {
    const line: LogLine = { at: new Date(), level, text }
    appendLine(fd, `${line.at.toISOString()} ${level.padEnd(5)} ${text}\n`)
    show?.(line)
  }
  return {
    info: (text) => write('info', text),
    warn: (text) => write('warn', text),
    error: (text) => write('error', text),
    reopen: () => {
      const old = fd
      fd = openSync(file, 'a', 0o640)
      closeSync(old)
    },
  }
}

function appendLine(fd: number, line: string): void {
  try {
    writeSync(fd, line)
  } catch (error) {
    // a full disk or a revoked file: the line is lost, the server is not
    debug('log line lost: %s', error)
  }
}
