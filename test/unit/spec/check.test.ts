/** The one check of a start file: what it takes, and the sentence for each thing that is wrong. */
import { availableParallelism } from 'node:os'
import { describe, expect, it } from 'vitest'
import { ShiftworkError } from '../../../src/errors.ts'
import { checkSpecs, type RawWorker } from '../../../src/spec/check.ts'
import { spec } from '../specs.ts'

const HTTP = 'http://127.0.0.1:8080'

function one(options: Record<string, unknown>, listen?: unknown): RawWorker[] {
  return [{ listen, options }]
}

/** The error for these workers: what it says and what it advises. */
function refusal(workers: readonly RawWorker[]): { code: string; message: string; hint: string | undefined } {
  try {
    checkSpecs(workers)
  } catch (error) {
    if (error instanceof ShiftworkError) return { code: error.code, message: error.message, hint: error.hint }
    throw error
  }
  throw new Error('nothing was refused')
}

describe('checkSpecs gives', () => {
  it('every default', () => {
    expect(checkSpecs(one({}))).toEqual({
      specs: [
        {
          name: 'worker-0',
          address: null,
          count: 1,
          reloadable: true,
          startTimeoutMs: 30_000,
          stopTimeoutMs: 25_000,
          stopDelayMs: 0,
          hangTimeoutMs: 10_000,
          bakeMs: 1_000,
          backlog: 511,
          user: null,
          group: null,
          socketMode: null,
          socketOwner: null,
          after: [],
          healthCheck: null,
          maxRequests: 0,
          maxMemoryBytes: 0,
          maxLifetimeMs: 0,
          sweepChildren: true,
          env: {},
        },
      ],
      warnings: [],
    })
  })

  it('what was chosen', () => {
    const options = {
      name: 'Äpfel_1.web-x',
      count: 1024,
      reloadable: false,
      startTimeoutMs: 1,
      stopTimeoutMs: 6_000,
      stopDelayMs: 7,
      bakeMs: 0,
      backlog: 65_535,
      user: 'www-data',
      group: 'www-data',
      socketMode: 0o660,
      socketOwner: 'root:www-data',
      maxRequests: 10_000,
      env: { MODE: 'fast' },
    }
    const [checked] = checkSpecs(one(options, 'http+unix:///run/app.sock')).specs
    expect(checked).toMatchObject(options)
  })

  it('a user and a group by number', () => {
    expect(spec('web', { user: 0, group: 65_533 })).toMatchObject({ user: '0', group: '65533' })
  })

  it("'cpus' as a number", () => {
    expect(spec('web', { count: 'cpus' }).count).toBe(availableParallelism())
  })

  it('names by position, and specs in the order of the file', () => {
    const workers = [...one({}), ...one({ name: 'web' }), ...one({ name: '' })]
    expect(checkSpecs(workers).specs.map(({ name }) => name)).toEqual(['worker-0', 'web', 'worker-2'])
  })

  it('an env that says the same in every process, whatever that one is told beside', () => {
    const own = { SHIFTWORK_WORKER: '{"key":3}', SHIFTWORK_IDENTITY: '{}', SHIFTWORK_DAEMON: '{}' }
    const here = spec('web', { env: { B: '2', ...own, A: '1' } }).env
    expect(JSON.stringify(here)).toBe('{"A":"1","B":"2"}')
  })

  it('an env of its own', () => {
    const env = { MODE: 'fast' }
    const checked = spec('web', { env })
    env.MODE = 'slow'
    expect(checked.env).toEqual({ MODE: 'fast' })
  })
})

const NAME_HINT = 'A name has at most 64 letters, digits, ".", "_" or "-" and begins with a letter or digit.'
const LISTEN_HINT = 'Give the address as text, for example http://0.0.0.0:8080, or none for a group without a listener.'
const MAX_TIMER = 2 ** 31 - 1

describe('checkSpecs refuses', () => {
  it.each([
    ['count', 0, '0', "a whole number from 1 to 1024 or 'cpus'"],
    ['count', 1025, '1025', "a whole number from 1 to 1024 or 'cpus'"],
    ['count', 1.5, '1.5', "a whole number from 1 to 1024 or 'cpus'"],
    ['count', '4', '"4"', "a whole number from 1 to 1024 or 'cpus'"],
    ['count', null, 'null', "a whole number from 1 to 1024 or 'cpus'"],
    ['count', Number.NaN, 'NaN', "a whole number from 1 to 1024 or 'cpus'"],
    ['reloadable', 'no', '"no"', 'true or false'],
    ['reloadable', 0, '0', 'true or false'],
    ['startTimeoutMs', 0, '0', `a whole number from 1 to ${MAX_TIMER}`],
    ['startTimeoutMs', Number.POSITIVE_INFINITY, 'Infinity', `a whole number from 1 to ${MAX_TIMER}`],
    ['stopTimeoutMs', -1, '-1', `a whole number from 0 to ${MAX_TIMER}`],
    ['stopTimeoutMs', 2 ** 31, '2147483648', `a whole number from 0 to ${MAX_TIMER}`],
    ['stopDelayMs', true, 'true', `a whole number from 0 to ${MAX_TIMER}`],
    ['hangTimeoutMs', -1, '-1', `a whole number from 0 to ${MAX_TIMER}`],
    ['bakeMs', {}, 'an object', `a whole number from 0 to ${MAX_TIMER}`],
    ['backlog', 0, '0', 'a whole number from 1 to 65535'],
    ['maxRequests', () => 5, 'a function', `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`],
    ['user', '', '""', 'a name or a whole number from 0 to 4294967294'],
    ['user', -1, '-1', 'a name or a whole number from 0 to 4294967294'],
    ['group', 1.5, '1.5', 'a name or a whole number from 0 to 4294967294'],
    ['env', 'A=1', '"A=1"', 'an object of text values'],
    ['env', null, 'null', 'an object of text values'],
  ])('%s: %o', (option, value, shown, expected) => {
    expect(refusal(one({ name: 'web', [option]: value }))).toEqual({
      code: 'ERR_OPTION',
      message: `Worker "web": ${option} is ${shown}`,
      hint: `It must be ${expected}.`,
    })
  })

  it('a variable that is no text', () => {
    expect(refusal(one({ name: 'web', env: { PORT: 80 } }))).toMatchObject({
      message: 'Worker "web": env.PORT is 80',
      hint: 'It must be text.',
    })
  })

  it.each([
    ['cuont', 'Did you mean "count"?'],
    ['stopTimeout', 'Did you mean "stopTimeoutMs"?'],
    ['Count', 'Did you mean "count"?'],
    ['bananas', /^Known options: name, count, reloadable, /],
    ['reusePort', /the master holds the port/],
    ['processes', 'The number of processes is "count".'],
  ])('an unknown option %s, with a guess', (option, hint) => {
    const refused = refusal(one({ name: 'web', [option]: 1 }))
    expect(refused.message).toBe(`Worker "web" has an unknown option "${option}"`)
    expect(refused.hint).toMatch(hint)
  })

  it.each([
    ['a b', '"a b"'],
    ['-web', '"-web"'],
    ['web/0', '"web/0"'],
    ['x'.repeat(65), `"${'x'.repeat(65)}"`],
    [7, '7'],
    [null, 'null'],
    [['web'], 'an array'],
  ])('the name %o', (name, shown) => {
    expect(refusal(one({ name }))).toEqual({
      code: 'ERR_OPTION',
      message: `The name ${shown} cannot be used for a worker`,
      hint: NAME_HINT,
    })
  })

  it.each([
    [8080, '8080'],
    [{ port: 80 }, 'an object'],
  ])('to listen on %o', (listen, shown) => {
    expect(refusal(one({ name: 'web' }, listen))).toEqual({
      code: 'ERR_ADDRESS',
      message: `Worker "web" cannot listen on ${shown}`,
      hint: LISTEN_HINT,
    })
  })

  it.each([
    [
      'https://0.0.0.0:443',
      {},
      'listens on https:// but has no tls',
      'Give it { tls: { key, cert } }, both as PEM text or Buffer.',
    ],
    ['https://0.0.0.0:443', { tls: null }, 'listens on https:// but has no tls', /^Give it/],
    [HTTP, { tls: {} }, 'has tls but does not listen on https://', 'Change the address to https://… or remove tls.'],
    [undefined, { tls: {} }, 'has tls but does not listen on https://', /^Change the address/],
    [
      HTTP,
      { socketMode: 0o600 },
      'has socketMode but listens on no unix socket',
      'Use http+unix:///path, or remove socketMode.',
    ],
    [HTTP, { socketOwner: 'me' }, 'has socketOwner but listens on no unix socket', /remove socketOwner\.$/],
    [
      HTTP,
      { server: 5 },
      'has a server option that is 5',
      'It takes the options of node:http, as { keepAliveTimeout: 5000 }.',
    ],
  ])('%s with %o', (listen, options, message, hint) => {
    const refused = refusal(one({ name: 'web', ...options }, listen))
    expect(refused.message).toBe(`Worker "web" ${message}`)
    expect(refused.hint).toMatch(hint)
  })

  it('a start file without a worker', () => {
    expect(refusal([])).toEqual({
      code: 'ERR_OPTION',
      message: 'The start file describes no worker',
      hint: "Create one before Worker.runAll(): new Worker('http://0.0.0.0:8080').",
    })
  })

  it('two workers of one name, also when one has it by position', () => {
    expect(refusal([...one({ name: 'web' }), ...one({ name: 'web' })]).message).toBe('Two workers have the name "web"')
    expect(refusal([...one({ name: 'worker-1' }), ...one({})]).message).toBe('Two workers have the name "worker-1"')
  })

  it('two workers on one address', () => {
    expect(refusal([...one({ name: 'a' }, HTTP), ...one({ name: 'b' }, `${HTTP}/`)])).toEqual({
      code: 'ERR_OPTION',
      message: `Workers "a" and "b" both listen on ${HTTP}/`,
      hint: 'Give each its own address, or make them one worker with a higher count.',
    })
  })
})

it('two workers may both have any free port', () => {
  const listen = 'http://127.0.0.1:0'
  expect(checkSpecs([...one({ name: 'a' }, listen), ...one({ name: 'b' }, listen)]).specs).toHaveLength(2)
})

describe('a stopTimeoutMs that is not above the keep-alive timeout is warned about', () => {
  const warningsFor = (options: Record<string, unknown>, listen?: string): string[] =>
    checkSpecs(one({ name: 'web', ...options }, listen)).warnings

  it.each([
    [{ stopTimeoutMs: 5_000 }, '5000', '5000'],
    [{ stopTimeoutMs: 100 }, '100', '5000'],
    [{ server: { keepAliveTimeout: 60_000 } }, '25000', '60000'],
  ])('%o', (options, stop, keepAlive) => {
    expect(warningsFor(options, HTTP)).toEqual([
      `web: stopTimeoutMs (${stop}) is not above the server's keepAliveTimeout (${keepAlive}): ` +
        'idle clients will be cut in every reload',
    ])
  })

  it.each([
    [{ stopTimeoutMs: 5_001 }, HTTP],
    [{ stopTimeoutMs: 100 }, undefined],
    [{ stopTimeoutMs: 2_000, server: { keepAliveTimeout: 1_000 } }, HTTP],
  ])('but not %o on %s', (options, listen) => {
    expect(warningsFor(options, listen)).toEqual([])
  })
})
