/**
 * A line of the runtime's own log: how it is written, and how it is read again. The master writes it,
 * the command line reads it. Text of user code may hold anything: in either format it cannot begin a
 * line of its own, nor move a terminal's cursor. Pure.
 */
import { debuglog, stripVTControlCharacters } from 'node:util'

export type Level = 'info' | 'warn' | 'error'
export type LogFormat = 'text' | 'json'

/** What a program wants to know without reading the text: `event`, `worker`, `pid`. In JSON only. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>

export interface LogLine {
  at: Date
  level: Level
  /** Of one or several lines. */
  text: string
  fields: LogFields
}

export interface Log {
  info(text: string): void
  warn(text: string): void
  error(text: string): void
  /** The same log, its lines carrying these fields. */
  with(fields: LogFields): Log
}

/** `NODE_DEBUG=shiftwork` shows every message, transition and action of all three kinds of process. */
export const debug = debuglog('shiftwork')

/** What the log says when SIGUSR1 was heard; the first line of the new file. */
export const REOPENED = 'log files opened again'

const LEVELS: readonly string[] = ['info', 'warn', 'error'] satisfies Level[]
const INDENT = '    '
/** A stack is shorter; a message that holds a whole document must not fill the disk. */
const MAX_TEXT_CHARS = 64 * 1024

/** A log that hands each line, made printable, to `write`. */
export function createLog(write: (line: LogLine) => void, fields: LogFields = {}): Log {
  const log = (level: Level, text: string): void =>
    write({ at: new Date(), level, text: printable(shortened(text)), fields })
  return {
    info: (text) => log('info', text),
    warn: (text) => log('warn', text),
    error: (text) => log('error', text),
    with: (more) => createLog(write, { ...fields, ...more }),
  }
}

/** Without colours and cursor movements; every other control character but tab and line feed is shown as its code. */
export function printable(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll('\r\n', '\n')
    .trimEnd()
    .replaceAll(/(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}]/gu, escapeCharacter)
}

function shortened(text: string): string {
  const rest = text.length - MAX_TEXT_CHARS
  return rest > 0 ? `${text.slice(0, MAX_TEXT_CHARS)}… (${rest} characters more)` : text
}

function escapeCharacter(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16)
  return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`
}

// ---- written -------------------------------------------------------------------------------------------------------

/** One entry with its line feed: one JSON object on a line, or a line and its indented continuation. */
export function encodeEntry({ at, level, text, fields }: LogLine, format: LogFormat): string {
  const time = at.toISOString()
  if (format === 'json') return `${JSON.stringify({ at: time, level, text, ...fields })}\n`
  return `${time} ${level.padEnd(5)} ${indented(text)}\n`
}

/** Every line but the first moved to the right: only an entry's first line begins in the first column. */
export function indented(text: string): string {
  return text.replaceAll('\n', `\n${INDENT}`)
}

// ---- read ----------------------------------------------------------------------------------------------------------

/** An entry as it was read; `at` and `level` are null for a line that the runtime has not written. */
export interface Entry {
  at: string | null
  level: Level | null
  text: string
  [field: string]: unknown
}

/** The entry that begins with this line (and, in JSON, is this line), or null. */
export function decodeEntry(line: string): Entry | null {
  return line.startsWith('{') ? decodeJson(line) : decodeText(line)
}

function decodeJson(line: string): Entry | null {
  try {
    const entry = JSON.parse(line) as Record<string, unknown>
    const { at, level, text } = entry
    const isOurs = typeof at === 'string' && typeof text === 'string' && LEVELS.includes(String(level))
    return isOurs ? (entry as Entry) : null
  } catch {
    // a line that merely begins like JSON
    return null
  }
}

function decodeText(line: string): Entry | null {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (info |warn |error) (.*)$/.exec(line)
  if (!match) return null
  return { at: match[1] ?? '', level: (match[2] ?? '').trimEnd() as Level, text: match[3] ?? '' }
}

/** Joins lines to entries. A line of text may be continued: it is held back until another entry begins. */
export class EntryReader {
  #held: Entry | null = null

  /** @returns the entries that are whole with this line. */
  push(line: string): Entry[] {
    if (this.#held && line.startsWith(INDENT)) {
      this.#held.text += `\n${line.slice(INDENT.length)}`
      return []
    }
    const whole = this.flush()
    const entry = decodeEntry(line) ?? { at: null, level: null, text: line }
    if (line.startsWith('{') && entry.at !== null) whole.push(entry)
    else this.#held = entry
    return whole
  }

  /** @returns what is held back: nothing more is coming. */
  flush(): Entry[] {
    const held = this.#held
    this.#held = null
    return held ? [held] : []
  }
}
