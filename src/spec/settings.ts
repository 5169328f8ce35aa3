/**
 * The options of `Worker.runAll`, checked: what concerns the fleet as a whole. They are the master's,
 * which reads them once; a reload does not change them. Pure.
 */
import { type Address, parseAddress } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import { nearest } from '../words.ts'
import { OptionCheck, show } from './options.ts'
import { MAX_TIMER_MS } from './spec.ts'

export interface RunOptions {
  /** Where pid file, control socket and logs are; default `.shiftwork/<start file>/` beside the start file. */
  stateDir?: string
  /** The runtime's own log; default `shiftwork.log` in the state directory. */
  logFile?: string
  /** How a line of it looks: for people, or one JSON object. Default `text`. */
  logFormat?: 'text' | 'json'
  /** What a daemon and its workers print; default `stdout.log` in the state directory. */
  stdoutFile?: string
  /** Reloads when a file changes: true for the project's code, or the paths to watch. Default: with `--watch` only. */
  watch?: boolean | string | string[]
  /** A shell command that runs before each reload; when it fails the reload is rejected. Default 300 000 ms for it. */
  preReload?: string | { command: string; timeoutMs?: number }
  /** Where the master answers `/metrics`, `/live` and `/ready`: `http://127.0.0.1:9100`. Default: nowhere. */
  metrics?: string
  /** The command line instead of the one that was typed: `['start', '-d']`. */
  argv?: string[]
}

/** What the master needs of them. */
export interface Settings extends Places {
  /** The paths to watch; empty: the project's code; null: not unless the command line says so. */
  watch: string[] | null
  preReload: { command: string; timeoutMs: number } | null
  metrics: Address | null
  logFormat: 'text' | 'json'
}

/** As they were given; null: the default. */
export interface Places {
  stateDir: string | null
  logFile: string | null
  stdoutFile: string | null
}

/** Every name that may stand in the options of `runAll`. */
export const RUN_OPTION_NAMES = [
  'stateDir',
  'logFile',
  'logFormat',
  'stdoutFile',
  'watch',
  'preReload',
  'metrics',
  'argv',
] as const satisfies readonly (keyof RunOptions)[]
const DEFAULT_PRE_RELOAD_MS = 300_000

/** @throws ShiftworkError `ERR_OPTION` or `ERR_ADDRESS`, for the first thing that is wrong. */
export function checkSettings(options: Readonly<Record<string, unknown>>): Settings {
  for (const name of Object.keys(options)) {
    if ((RUN_OPTION_NAMES as readonly string[]).includes(name)) continue
    const guess = nearest(name, RUN_OPTION_NAMES)
    throw new ShiftworkError('ERR_OPTION', `runAll has an unknown option "${name}"`, {
      hint: guess ? `Did you mean "${guess}"?` : `Known options: ${RUN_OPTION_NAMES.join(', ')}.`,
    })
  }
  const check = new OptionCheck(null, options)
  return {
    watch: checkWatch(check),
    preReload: checkPreReload(check),
    metrics: checkMetrics(check),
    logFormat: check.oneOf('logFormat', ['text', 'json']),
    ...checkPlaces(options),
  }
}

/**
 * What every command needs of them, `stop` for one, which must work whatever else is wrong.
 * @throws ShiftworkError `ERR_OPTION`
 */
export function checkPlaces(options: Readonly<Record<string, unknown>>): Places {
  const check = new OptionCheck(null, options)
  const argv = check.value('argv')
  if (argv !== undefined && !isTexts(argv))
    throw new ShiftworkError('ERR_OPTION', `runAll: argv is ${show(argv)}`, {
      hint: "It must be an array of texts: argv: ['start', '-d'].",
    })
  return {
    stateDir: check.string('stateDir'),
    logFile: check.string('logFile'),
    stdoutFile: check.string('stdoutFile'),
  }
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

function checkWatch(check: OptionCheck): string[] | null {
  const value = check.value('watch')
  if (value === undefined || value === false) return null
  return value === true ? [] : check.strings('watch')
}

function checkPreReload(check: OptionCheck): Settings['preReload'] {
  const value = check.value('preReload')
  if (value === undefined) return null
  const options = typeof value === 'string' ? { command: value } : check.object('preReload', ['command', 'timeoutMs'])
  const inner = new OptionCheck(null, options)
  const command = inner.string('command')
  if (command === null)
    throw new ShiftworkError('ERR_OPTION', `runAll: preReload is ${show(value)}`, {
      hint: "It takes a shell command: preReload: 'npm run build'.",
    })
  return { command, timeoutMs: inner.integer('timeoutMs', DEFAULT_PRE_RELOAD_MS, 1, MAX_TIMER_MS) }
}

function checkMetrics(check: OptionCheck): Address | null {
  const text = check.string('metrics')
  if (text === null) return null
  const address = parseAddress(text)
  if (address.protocol === 'http') return address
  throw new ShiftworkError('ERR_ADDRESS', `Cannot serve metrics on "${text}": only http:// is spoken there`, {
    hint: 'Write it as http://127.0.0.1:9100.',
  })
}
