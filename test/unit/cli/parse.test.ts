/** What is typed, as one plain value, and the sentence for what cannot be meant. */
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { type CommandLine, helpText, parseCommandLine, wantsJson } from '../../../src/cli/parse.ts'
import { ShiftworkError } from '../../../src/errors.ts'
import { COMMAND_NAMES } from '../../../src/ipc/commands.ts'

const USAGE = { program: 'tsx start.ts', takesStartFile: false }
const BIN = { program: 'shiftwork', takesStartFile: true }

const NOTHING: CommandLine = {
  command: 'help',
  names: [],
  daemon: false,
  watch: null,
  graceful: false,
  force: false,
  timeoutMs: null,
  strategy: 'rolling',
  surge: null,
  wait: 'done',
  dryRun: false,
  follow: false,
  lines: null,
  reopen: false,
  stateDir: null,
  json: false,
}

describe('parseCommandLine reads', () => {
  it.each<[string, Partial<CommandLine>]>([
    ['start', { command: 'start' }],
    ['start -d', { command: 'start', daemon: true }],
    ['start --daemon', { command: 'start', daemon: true }],
    ['-d start', { command: 'start', daemon: true }],
    ['stop', { command: 'stop' }],
    ['stop -g', { command: 'stop', graceful: true }],
    ['stop --timeout 2.5', { command: 'stop', timeoutMs: 2_500 }],
    ['stop --timeout=0', { command: 'stop', timeoutMs: 0 }],
    ['stop --force', { command: 'stop', force: true }],
    ['restart -d -g', { command: 'restart', daemon: true, graceful: true }],
    ['restart -dg', { command: 'restart', daemon: true, graceful: true }],
    ['reload', { command: 'reload' }],
    ['reload web jobs', { command: 'reload', names: ['web', 'jobs'] }],
    ['reload 7', { command: 'reload', names: ['7'] }],
    ['reload web -g --timeout 10', { command: 'reload', names: ['web'], graceful: true, timeoutMs: 10_000 }],
    ['status --json', { command: 'status', json: true }],
    ['reload --strategy atomic --surge 3', { command: 'reload', strategy: 'atomic', surge: 3 }],
    ['reload --wait serving', { command: 'reload', wait: 'serving' }],
    ['reload --dry-run', { command: 'reload', dryRun: true }],
    ['reload --force gateway', { command: 'reload', names: ['gateway'], force: true }],
    ['scale web=4 jobs=2', { command: 'scale', names: ['web=4', 'jobs=2'] }],
    ['start --watch', { command: 'start', watch: { everyMs: 1_000 } }],
    ['start --watch -d', { command: 'start', watch: { everyMs: 1_000 }, daemon: true }],
    ['status --watch', { command: 'status', watch: { everyMs: 1_000 } }],
    ['status --watch 0.5', { command: 'status', watch: { everyMs: 500 } }],
    ['connections web --json', { command: 'connections', names: ['web'], json: true }],
    ['logs', { command: 'logs' }],
    ['logs -f -n 20', { command: 'logs', follow: true, lines: 20 }],
    ['logs --reopen', { command: 'logs', reopen: true }],
    ['logs -fn 20', { command: 'logs', follow: true, lines: 20 }],
    ['status --state-dir /run/app', { command: 'status', stateDir: '/run/app' }],
    ['version', { command: 'version' }],
    ['--version', { command: 'version' }],
    ['help', { command: 'help' }],
    ['help reload', { command: 'help', names: ['reload'] }],
    ['--help', { command: 'help' }],
    ['reload -h', { command: 'help' }],
  ])('%s', async (typed, expected) => {
    const line = await parseCommandLine(typed.split(' '), USAGE)
    expect({ ...line, names: expected.command === 'help' ? (expected.names ?? []) : line.names }).toEqual({
      ...NOTHING,
      ...expected,
    })
  })

  it('a start file after the command, for the program that takes one', async () => {
    for (const command of ['start', 'stop', 'status', 'reload'])
      expect((await parseCommandLine([command, 'a b/start.ts'], BIN)).names).toEqual(['a b/start.ts'])
  })
})

const COMMANDS = `Commands: ${COMMAND_NAMES.join(', ')}. See: tsx start.ts help`

describe('parseCommandLine refuses', () => {
  it.each([
    ['', 'No command was given', COMMANDS],
    ['banana', 'Unknown command "banana"', COMMANDS],
    ['relaod', 'Unknown command "relaod"', 'Did you mean "reload"?'],
    ['statsu --json', 'Unknown command "statsu"', 'Did you mean "status"?'],
    ['start web', '"start" takes no "web"', COMMANDS],
    ['status web', '"status" takes no "web"', COMMANDS],
    ['stop --forec', 'Unknown option --forec', 'Did you mean --force?'],
    ['start --deamon', 'Unknown option --deamon', 'Did you mean --daemon?'],
    ['start -x', 'Unknown option -x', 'See: tsx start.ts help'],
    ['start --no-daemon', 'Unknown option --no-daemon', 'See: tsx start.ts help'],
    ['stop -d', '"stop" takes no --daemon', 'It belongs to start, restart.'],
    ['status --force', '"status" takes no --force', 'It belongs to stop, restart, reload.'],
    ['start -g', '"start" takes no --graceful', 'It belongs to stop, restart, reload.'],
    ['stop --timeout', '--timeout needs a value', 'For example: --timeout 10'],
    ['reload --strategy blue-green', '--strategy is "blue-green"', 'It is rolling or atomic.'],
    ['reload --strategy atomc', '--strategy is "atomc"', 'Did you mean atomic?'],
    ['reload --wait', '--wait needs a value', 'For example: --wait serving'],
    ['reload --surge 0', '--surge is "0"', 'It takes a whole number of workers, at least 1: --surge 2.'],
    ['reload --surge 1.5', '--surge is "1.5"', 'It takes a whole number of workers, at least 1: --surge 2.'],
    ['logs -n many', '--lines is "many"', 'It takes a whole number of lines, at least 0: --lines 2.'],
    ['logs --watch', '"logs" takes no --watch', 'It belongs to start, restart, status.'],
    ['status --watch 0.01', '--watch is "0.01"', 'It takes seconds, from 0.1 to 3600: --watch 2.'],
    ['status --state-dir', '--state-dir needs a value', 'For example: --state-dir /run/app'],
    ['status --state-dir=', '--state-dir is empty', 'It takes a directory: --state-dir /run/app.'],
    ['stop --timeout 1 --timeout 2', '--timeout is given 2 times', 'Once is enough.'],
    ['reload --dry-run=yes', '--dry-run takes no value', 'Write it alone: --dry-run'],
    ['reload --force=web', '--force takes no value', 'Write it alone: --force'],
    ['reload --dryRun=1', '--dry-run takes no value', 'Write it alone: --dry-run'],
    ['stop --graceful=1', '--graceful takes no value', 'Write it alone: --graceful'],
    ['stop -g=1', '--graceful takes no value', 'Write it alone: --graceful'],
    ['start --daemon=1', '--daemon takes no value', 'Write it alone: --daemon'],
    ['start -d1', '--daemon takes no value', 'Write it alone: --daemon'],
    ['reload --dry-run false', '--dry-run takes no value', 'Write it alone: --dry-run'],
    ['status --json=no', '--json takes no value', 'Write it alone: --json'],
    ...['soon', '-1', '86401', 'Infinity', 'NaN', ''].map((value) => [
      `stop --timeout=${value}`,
      `--timeout is ${JSON.stringify(value)}`,
      'It takes seconds, from 0 to 86400: --timeout 10.',
    ]),
  ])('%s', async (typed = '', message = '', hint = '') => {
    const words = typed === '' ? [] : typed.split(' ')
    await expect(parseCommandLine(words, USAGE)).rejects.toThrow(new ShiftworkError('ERR_USAGE', message, { hint }))
  })
})

it('speaks English whatever the locale is', async () => {
  vi.stubEnv('LC_ALL', 'de_DE.UTF-8')
  onTestFinished(() => void vi.unstubAllEnvs())
  await expect(parseCommandLine(['stop', '--timeout'], USAGE)).rejects.toThrow('--timeout needs a value')
  await expect(parseCommandLine(['stop', '--forec'], USAGE)).rejects.toThrow('Unknown option --forec')
  expect(await helpText(USAGE)).toContain('Options:')
})

it('knows that JSON is wanted also of words that cannot be parsed', () => {
  expect(wantsJson(['relaod', '--json', '--bad'])).toBe(true)
  expect(wantsJson(['reload'])).toBe(false)
})

describe('the help', () => {
  it.each([
    ['for a start file', USAGE],
    ['for the program', BIN],
    ['for a long way to call it', { program: 'node --import tsx src/servers/start.ts', takesStartFile: false }],
  ])('%s fits 80 columns and names every command', async (_, usage) => {
    const lines = (await helpText(usage)).split('\n')
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80)
    for (const name of COMMAND_NAMES) expect(lines.some((line) => line.trimStart().startsWith(name))).toBe(true)
    expect(lines[0]).toContain(usage.program)
  })

  it('names every option and every exit code', async () => {
    const text = await helpText(USAGE)
    for (const option of [
      '-d, --daemon',
      '-g, --graceful',
      '--timeout',
      '--force',
      '--state-dir',
      '--json',
      '-h, --help',
    ])
      expect(text).toContain(option)
    for (const code of [0, 1, 2, 3, 4, 5, 6]) expect(text).toMatch(new RegExp(`\\b${code} [a-z]`))
  })
})
