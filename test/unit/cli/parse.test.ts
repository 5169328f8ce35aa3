/** What is typed, as one plain value, and the sentence for what cannot be meant. */
import { describe, expect, it } from 'vitest'
import { type CommandLine, helpText, parseCommandLine, wantsJson } from '../../../src/cli/parse.ts'
import { ShiftworkError } from '../../../src/errors.ts'
import { COMMAND_NAMES } from '../../../src/ipc/commands.ts'

const USAGE = { program: 'tsx start.ts', takesStartFile: false }
const BIN = { program: 'shiftwork', takesStartFile: true }

const NOTHING: CommandLine = {
  command: 'help',
  names: [],
  daemon: false,
  graceful: false,
  force: false,
  timeoutMs: null,
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
    ['status --force', '"status" takes no --force', 'It belongs to stop, restart.'],
    ['start -g', '"start" takes no --graceful', 'It belongs to stop, restart, reload.'],
    ['stop --timeout', '--timeout needs a value', 'It takes seconds: --timeout 10.'],
    ['status --state-dir', '--state-dir needs a value', 'For example: --state-dir /run/app'],
    ['status --state-dir=', '--state-dir is empty', 'It takes a directory: --state-dir /run/app.'],
    ['stop --timeout 1 --timeout 2', '--timeout is given 2 times', 'Once is enough.'],
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
