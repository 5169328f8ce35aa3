/**
 * The words that were typed, as one plain value. The only file that knows yargs, and loads it only for
 * lines that need it: a foreground master would carry it for life. Throws what is wrong with them as
 * a usage error; prints nothing and runs nothing.
 */
import type { Argv } from 'yargs'
import { ShiftworkError } from '../errors.ts'
import { COMMAND_NAMES, COMMANDS, type CommandName, takesWords } from '../ipc/commands.ts'
import { nearest } from '../words.ts'

export interface CommandLine {
  command: CommandName
  /** What follows the command: names of workers. */
  names: string[]
  daemon: boolean
  /** `start`: reload when a file changes; `status`: a live view, drawn anew so often. */
  watch: { everyMs: number } | null
  graceful: boolean
  force: boolean
  timeoutMs: number | null
  strategy: 'rolling' | 'atomic'
  surge: number | null
  wait: 'done' | 'serving'
  dryRun: boolean
  follow: boolean
  /** How many of the last lines of a log; null: the command's own number. */
  lines: number | null
  /** `logs`: asks the master to open its log files again. */
  reopen: boolean
  stateDir: string | null
  json: boolean
}

export interface Usage {
  /** How the user calls the program: `tsx start.ts`. */
  program: string
  /** A positional start file may follow the command. */
  takesStartFile: boolean
}

const MAX_WIDTH = 80
const DEFAULT_WATCH_MS = 1_000
const STRATEGIES = ['rolling', 'atomic'] as const
const WAITS = ['done', 'serving'] as const

interface OptionRow {
  readonly alias?: string
  readonly type: 'boolean' | 'string'
  readonly describe: string
  /** The commands that take it; none: all. */
  readonly of?: readonly CommandName[]
}

const OPTIONS = {
  daemon: { alias: 'd', type: 'boolean', describe: 'in the background', of: ['start', 'restart'] },
  graceful: {
    alias: 'g',
    type: 'boolean',
    describe: 'no deadline for open requests',
    of: ['stop', 'restart', 'reload'],
  },
  watch: {
    type: 'string',
    describe: 'reload at changes; a live view',
    of: ['start', 'restart', 'status'],
  },
  timeout: { type: 'string', describe: 'seconds until open requests are cut', of: ['stop', 'restart', 'reload'] },
  force: {
    type: 'boolean',
    describe: 'also what does not answer, or is kept',
    of: ['stop', 'restart', 'reload'],
  },
  strategy: { type: 'string', describe: 'rolling (default), or atomic: all or none', of: ['reload'] },
  surge: { type: 'string', describe: 'so many workers of a group at a time', of: ['reload'] },
  wait: { type: 'string', describe: 'done (default), or serving: not until they left', of: ['reload'] },
  'dry-run': { type: 'boolean', describe: 'show what would be done, touch nothing', of: ['reload'] },
  follow: { alias: 'f', type: 'boolean', describe: 'and what is written from now on', of: ['logs'] },
  lines: { alias: 'n', type: 'string', describe: 'so many of the last lines', of: ['logs'] },
  reopen: { type: 'boolean', describe: 'have them opened again, after a rotation', of: ['logs'] },
  'state-dir': { type: 'string', describe: 'where pid file, control socket and logs are' },
  json: { type: 'boolean', describe: 'print one JSON value and nothing else' },
  help: { alias: 'h', type: 'boolean', describe: 'show this help' },
  version: { type: 'boolean', describe: 'show the versions' },
} as const satisfies Record<string, OptionRow>
const OPTION_ROWS: readonly (readonly [string, OptionRow])[] = Object.entries(OPTIONS)

/**
 * @throws ShiftworkError `ERR_USAGE` with a hint.
 * @returns the command, or `help` when help was asked with a flag.
 */
export async function parseCommandLine(argv: readonly string[], usage: Usage): Promise<CommandLine> {
  const args = plainArgs(argv) ?? ((await (await build(usage)).parse(withWatchValue(argv))) as Record<string, unknown>)
  const words = (args['_'] as (string | number)[]).map(String)
  const name = args['help'] === true ? 'help' : args['version'] === true ? 'version' : words[0]
  const command = COMMAND_NAMES.find((known) => known === name)
  if (!command) throw unknownCommand(name, usage)
  assertTaken(command, args)
  assertFlags(args)
  const line: CommandLine = {
    command,
    names: [...words.slice(1), ...positionals(args)],
    daemon: args['daemon'] === true,
    watch: watch(command, once('watch', args['watch'])),
    graceful: args['graceful'] === true,
    force: args['force'] === true,
    timeoutMs: timeout(once('timeout', args['timeout'])),
    strategy: oneOf('strategy', once('strategy', args['strategy']), STRATEGIES),
    surge: wholeNumber('surge', once('surge', args['surge']), 1, 'workers'),
    wait: oneOf('wait', once('wait', args['wait']), WAITS),
    dryRun: args['dryRun'] === true,
    follow: args['follow'] === true,
    lines: wholeNumber('lines', once('lines', args['lines']), 0, 'lines'),
    reopen: args['reopen'] === true,
    stateDir: directory(once('state-dir', args['stateDir'])),
    json: args['json'] === true,
  }
  if (line.names.length > 0 && !takesWords(command) && command !== 'help' && !usage.takesStartFile)
    throw new ShiftworkError('ERR_USAGE', `"${command}" takes no "${line.names[0]}"`, { hint: seeHelp(usage) })
  return line
}

/** yargs takes the words of a command that has positionals off `_`. */
function positionals(args: Record<string, unknown>): string[] {
  return ['name', 'name=count'].flatMap((key) => (args[key] as string[] | undefined) ?? [])
}

/** A line of words, `-d` and `--json`, which is nearly every line that is typed; null: it has more than that. */
function plainArgs(argv: readonly string[]): Record<string, unknown> | null {
  const words = argv.filter((word) => word !== '-d' && word !== '--json')
  if (words.some((word) => word.startsWith('-'))) return null
  const flag = (name: string): true | undefined => (argv.includes(name) ? true : undefined)
  return { _: words, daemon: flag('-d'), json: flag('--json') }
}

/** `--watch` takes seconds or nothing: what follows it and is no number is a word of its own. */
function withWatchValue(argv: readonly string[]): string[] {
  const words: string[] = []
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? ''
    const next = argv[index + 1] ?? ''
    if (word !== '--watch') words.push(word)
    else if (/^[\d.]+$/.test(next)) words.push(`--watch=${argv[++index]}`)
    else words.push(`--watch=${DEFAULT_WATCH_MS / 1000}`)
  }
  return words
}

/** An option that would be ignored is a mistake: `stop -d` means something to who types it. */
function assertTaken(command: CommandName, args: Record<string, unknown>): void {
  if (command === 'help' || command === 'version') return
  for (const [option, row] of OPTION_ROWS)
    if (args[option] !== undefined && row.of?.includes(command) === false)
      throw new ShiftworkError('ERR_USAGE', `"${command}" takes no --${option}`, {
        hint: `It belongs to ${row.of.join(', ')}.`,
      })
}

/** yargs makes false of any value but `true`: what was typed would be dropped, `--dry-run=yes` for one. */
function assertFlags(args: Record<string, unknown>): void {
  for (const [option, row] of OPTION_ROWS)
    if (row.type === 'boolean' && args[option] !== undefined && args[option] !== true)
      throw new ShiftworkError('ERR_USAGE', `--${option} takes no value`, { hint: `Write it alone: --${option}` })
}

function once(option: string, value: unknown): unknown {
  if (!Array.isArray(value)) return value
  throw new ShiftworkError('ERR_USAGE', `--${option} is given ${value.length} times`, { hint: 'Once is enough.' })
}

/** `--json` as far as it can be told of words that cannot be parsed. */
export function wantsJson(argv: readonly string[]): boolean {
  return argv.includes('--json')
}

/** The help, at most 80 columns wide. */
export async function helpText(usage: Usage): Promise<string> {
  const text = await (await build(usage)).getHelp()
  // the types say nothing that the descriptions do not
  return text.replaceAll(/ *\[(boolean|string)\]$/gm, '').trimEnd()
}

async function build(usage: Usage): Promise<Argv> {
  const { default: yargs } = await import('yargs')
  const file = usage.takesStartFile ? ' [start file]' : ''
  // it would ask for the working directory, which may have been removed
  const parser = yargs([], '/')
    // its sentences are read below, and the others here are English, too
    .detectLocale(false)
    .scriptName('')
    .usage(`Usage: ${usage.program} <command>${file} [options]`)
    .parserConfiguration({ 'boolean-negation': false, 'camel-case-expansion': true, 'parse-positional-numbers': false })
    .help(false)
    .version(false)
    .exitProcess(false)
    .showHelpOnFail(false)
    .strictOptions()
    // the types are cut off again, see helpText
    .wrap(Math.min(MAX_WIDTH, process.stdout.columns || MAX_WIDTH) + '[boolean]'.length)
    .epilogue(
      'Exit codes: 0 done, 1 failed, 2 usage, 3 not running, 4 no answer,\n5 reload rejected (the new code was taken back), 6 reload stopped halfway.',
    )
    .fail((message, error) => {
      throw usageError(message ?? error?.message ?? 'unknown', usage)
    })
  for (const [name, row] of OPTION_ROWS) {
    const { type, alias, of } = row
    const describe = of === undefined ? row.describe : `${of.join(', ')}: ${row.describe}`
    parser.option(name, { type, describe, requiresArg: type === 'string', ...(alias !== undefined && { alias }) })
  }
  for (const [name, row] of Object.entries(COMMANDS)) {
    if (!('takes' in row)) parser.command(name, row.describe)
    else
      parser.command(`${name} [${row.takes}]`, row.describe, (command) =>
        command.positional(row.takes.replace('..', ''), { type: 'string', array: true }),
      )
  }
  return parser
}

function usageError(message: string, usage: Usage): ShiftworkError {
  const empty = /^Not enough arguments following: (\S+)$/.exec(message)?.[1]
  if (empty !== undefined)
    return new ShiftworkError('ERR_USAGE', `--${empty} needs a value`, {
      hint: `For example: --${empty} ${EXAMPLES[empty] ?? '1'}`,
    })
  const unknown = /^Unknown arguments?: (\S+?)(?:,.*)?$/.exec(message)?.[1]
  if (unknown === undefined) return new ShiftworkError('ERR_USAGE', message, { hint: seeHelp(usage) })
  const guess = nearest(unknown, Object.keys(OPTIONS))
  const hint = guess ? `Did you mean --${guess}?` : `See: ${usage.program} help`
  return new ShiftworkError('ERR_USAGE', `Unknown option ${unknown.length === 1 ? '-' : '--'}${unknown}`, { hint })
}

const EXAMPLES: Record<string, string> = {
  timeout: '10',
  'state-dir': '/run/app',
  strategy: 'atomic',
  wait: 'serving',
}

function unknownCommand(word: string | undefined, usage: Usage): ShiftworkError {
  if (word === undefined) return new ShiftworkError('ERR_USAGE', 'No command was given', { hint: seeHelp(usage) })
  const guess = nearest(word, COMMAND_NAMES)
  const hint = guess ? `Did you mean "${guess}"?` : seeHelp(usage)
  return new ShiftworkError('ERR_USAGE', `Unknown command "${word}"`, { hint })
}

function seeHelp(usage: Usage): string {
  return `Commands: ${COMMAND_NAMES.join(', ')}. See: ${usage.program} help`
}

function directory(value: unknown): string | null {
  if (value === undefined) return null
  if (typeof value === 'string' && value !== '') return value
  throw new ShiftworkError('ERR_USAGE', '--state-dir is empty', { hint: 'It takes a directory: --state-dir /run/app.' })
}

function oneOf<const T extends string>(option: string, value: unknown, words: readonly [T, ...T[]]): T {
  if (value === undefined) return words[0]
  const word = words.find((candidate) => candidate === value)
  if (word !== undefined) return word
  const guess = nearest(String(value), words)
  throw new ShiftworkError('ERR_USAGE', `--${option} is ${JSON.stringify(value)}`, {
    hint: guess ? `Did you mean ${guess}?` : `It is ${words.join(' or ')}.`,
  })
}

function wholeNumber(option: string, value: unknown, min: number, of: string): number | null {
  if (value === undefined) return null
  if (typeof value === 'string' && /^\d{1,9}$/.test(value) && Number(value) >= min) return Number(value)
  throw new ShiftworkError('ERR_USAGE', `--${option} is ${JSON.stringify(value)}`, {
    hint: `It takes a whole number of ${of}, at least ${min}: --${option} 2.`,
  })
}

function watch(command: CommandName, value: unknown): CommandLine['watch'] {
  if (value === undefined) return null
  const seconds = Number(value)
  if (value !== '' && Number.isFinite(seconds) && seconds >= 0.1 && seconds <= 3_600)
    return { everyMs: Math.round(seconds * 1000) }
  throw new ShiftworkError('ERR_USAGE', `--watch is ${JSON.stringify(value)}`, {
    hint: command === 'status' ? 'It takes seconds, from 0.1 to 3600: --watch 2.' : 'It takes nothing: --watch.',
  })
}

function timeout(value: unknown): number | null {
  if (value === undefined) return null
  const seconds = Number(value)
  if (typeof value === 'string' && value.trim() !== '' && Number.isFinite(seconds) && seconds >= 0 && seconds <= 86_400)
    return Math.round(seconds * 1000)
  throw new ShiftworkError('ERR_USAGE', `--timeout is ${JSON.stringify(value)}`, {
    hint: 'It takes seconds, from 0 to 86400: --timeout 10.',
  })
}
