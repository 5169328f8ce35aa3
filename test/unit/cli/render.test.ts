/** What people read: complete, at most 80 columns wide, and plain text where no colours are wanted. */
import { stripVTControlCharacters } from 'node:util'
import pc from 'picocolors'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { describeProgress, ProgressBoard } from '../../../src/cli/progress.ts'
import { bannerLines, reloadLines, statusLines } from '../../../src/cli/render.ts'
import { describeFailure, printError } from '../../../src/cli/terminal.ts'
import { ShiftworkError } from '../../../src/errors.ts'
import type { Progress } from '../../../src/ipc/messages.ts'
import type {
  GroupStatus,
  ProcessStatus,
  ReloadSummary,
  SeenStatus,
  Standing,
  Status,
} from '../../../src/ipc/status.ts'

const PLAIN = pc.createColors(false)
const COLOURS = pc.createColors(true)
const NOW = Date.parse('2026-03-04T12:00:00Z')
const HOURS_AGO = '2026-03-04T04:55:00Z'

function row(id: number, changes: Partial<ProcessStatus> = {}): ProcessStatus {
  return {
    pid: 1_234_560 + id,
    id,
    generation: 12,
    state: 'serving',
    leader: id === 0,
    startedAt: HOURS_AGO,
    rssBytes: 154 * 1024 * 1024,
    heapUsedBytes: 1,
    cpuPercent: 3.4,
    connections: 250,
    requests: 123_456,
    requestsPerSecond: 321.54,
    eventLoopUtilization: 0.1,
    eventLoopDelayMs: 1.4,
    figures: null,
    restarts: 0,
    lastExit: null,
    ...changes,
  }
}

const EMPTY: Partial<ProcessStatus> = {
  pid: null,
  state: 'backoff',
  startedAt: null,
  rssBytes: null,
  cpuPercent: null,
  connections: null,
  requests: null,
  requestsPerSecond: null,
  eventLoopDelayMs: null,
  restarts: 3,
  lastExit: { code: 1, signal: null, reason: 'no database\n    at connect', at: '2026-03-04T11:59:58.123Z' },
}

function group(changes: Partial<GroupStatus> = {}): GroupStatus {
  return {
    name: 'web',
    listen: ['http://0.0.0.0:8080'],
    closed: [],
    count: 2,
    reloadable: true,
    after: [],
    user: 'www-data',
    state: 'ok',
    processes: [row(0), row(1)],
    ...changes,
  }
}

function status(changes: Partial<Status> = {}): Status {
  return {
    version: 1,
    master: {
      pid: 1_234_500,
      startedAt: HOURS_AGO,
      state: 'running',
      generation: 12,
      node: 'v20.20.2',
      entry: '/srv/app/current/start.ts',
      daemon: true,
      watching: false,
      rssBytes: 60 * 1024 * 1024,
      metrics: null,
      logsOpenedAt: '2026-03-04T04:55:00Z',
      warnings: [],
    },
    lastReload: null,
    groups: [group()],
    ...changes,
  }
}

function reload(changes: Partial<ReloadSummary> = {}): ReloadSummary {
  const replaced = [0, 1].map((id) => ({
    name: 'web',
    id,
    oldPid: 10 + id,
    newPid: 20 + id,
    startMs: 300,
    drainMs: 20,
    connectionsMoved: 0,
    connectionsCut: 0,
    killed: false,
    leftEarly: false,
    stopFault: null,
  }))
  const summary: ReloadSummary = {
    result: 'done',
    generation: 12,
    durationMs: 2_340,
    error: null,
    replaced,
    kept: [],
    applied: [],
    needsRestart: [],
    standing: [stands({ fresh: [0, 1], hasServed: true })],
  }
  return { ...summary, ...changes }
}

function stands(changes: Partial<Standing> = {}): Standing {
  return { name: 'web', count: 4, serving: 4, servedBefore: 4, fresh: [], hasServed: false, ...changes }
}

const ERROR = {
  worker: 'web/0',
  message: 'no database\nat all',
  stack: 'Error: no database\n    at start.js:3',
  output: 'connecting…\n',
}

describe('statusLines', () => {
  it('shows the master, each group and each process', () => {
    expect(statusLines(status(), NOW, PLAIN)).toEqual([
      'Shiftwork running  master 1234500  up 7 h 5 m  60 MB  Node.js v20.20.2',
      '/srv/app/current/start.ts',
      '',
      'web  http://0.0.0.0:8080  2 workers  as www-data  ok',
      '  ID      PID  STATE         GEN  UP          MEM  CPU  CONN  REQ/S   TOTAL  LAG',
      '   0  1234560  serving lead   12  7 h 5 m  154 MB   3%   250  321.5  123.5k  1ms',
      '   1  1234561  serving        12  7 h 5 m  154 MB   3%   250  321.5  123.5k  1ms',
    ])
  })

  it('shows an empty slot with its crashes and why it is empty, in one line', () => {
    const groups = [group({ state: 'backoff', processes: [row(0), row(1, EMPTY)] })]
    const lines = statusLines(status({ groups }), NOW, PLAIN)
    expect(lines.at(-2)).toBe('   1           backoff        12')
    expect(lines.at(-1)).toBe('  1: 3 crashes, last exit 2026-03-04 11:59:58 UTC: no database')
  })

  it('says once why a slot has crashed, though two of its processes are shown', () => {
    const old = row(1, { state: 'draining', restarts: 3, lastExit: EMPTY.lastExit ?? null })
    const lines = statusLines(status({ groups: [group({ processes: [row(0), old, row(1, EMPTY)] })] }), NOW, PLAIN)
    expect(lines.filter((line) => line.includes('3 crashes'))).toHaveLength(1)
  })

  it('shows a group that stops with where it listened, and no process that is gone', () => {
    const closed = ['http://0.0.0.0:8080']
    const leaving = row(0, { state: 'draining', leader: false })
    const web = group({ state: 'stopping', listen: [], closed, processes: [leaving] })
    const gone = group({ name: 'api', state: 'stopping', listen: [], closed, processes: [] })
    const lines = statusLines(status({ groups: [web, gone] }), NOW, PLAIN).slice(3)
    expect(lines.filter((line) => !line.startsWith('  '))).toEqual([
      'web  http://0.0.0.0:8080 closed  2 workers  as www-data  stopping',
      '',
      'api  http://0.0.0.0:8080 closed  2 workers  as www-data  stopping',
    ])
    expect(lines.filter((line) => line.startsWith('  '))).toHaveLength(2)
  })

  it('shows a group without listener, user or numbers, and that it is kept in reloads', () => {
    const silent = { rssBytes: null, cpuPercent: null, connections: null, requests: null }
    const none = { requestsPerSecond: null, eventLoopDelayMs: null, leader: false }
    const jobs = group({
      name: 'jobs',
      listen: [],
      count: 1,
      user: null,
      reloadable: false,
      processes: [row(0, { ...silent, ...none, state: 'hung' })],
    })
    expect(statusLines(status({ groups: [jobs] }), NOW, PLAIN).slice(3)).toEqual([
      'jobs  no listener  1 worker  kept in reloads  ok',
      '  ID      PID  STATE  GEN  UP',
      '   0  1234560  hung    12  7 h 5 m',
    ])
  })

  it('shows the last reload and every warning', () => {
    const rejected = reload({ result: 'rejected', error: ERROR, replaced: [] })
    const { master } = status()
    const warned = status({
      lastReload: rejected,
      master: { ...master, warnings: ['needs a restart: web: count 1 → 2'] },
    })
    expect(statusLines(warned, NOW, PLAIN).slice(-3)).toEqual([
      '',
      'last reload rejected in 2.3 s: web/0: no database',
      'warning needs a restart: web: count 1 → 2',
    ])
  })

  it('shows what is known of a frozen master', () => {
    const { master } = status()
    const unknown = { startedAt: null, generation: null, node: null, daemon: null, watching: null, rssBytes: null }
    const web = { listen: null, count: null, reloadable: null, after: null, user: null, state: null }
    const blank = { leader: null, restarts: null, startedAt: null, rssBytes: null, cpuPercent: null, connections: null }
    const rates = { requests: null, requestsPerSecond: null, eventLoopDelayMs: null }
    const frozen: SeenStatus = {
      ...status(),
      master: { ...master, state: 'frozen', ...unknown },
      groups: [
        {
          ...group(),
          ...web,
          processes: [
            { ...row(0), ...blank, ...rates, state: null },
            { ...row(1), ...blank, ...rates, state: 'stopped' },
          ],
        },
      ],
    }
    expect(statusLines(frozen, NOW, PLAIN)).toEqual([
      'Shiftwork frozen  master 1234500',
      '/srv/app/current/start.ts',
      '',
      'web  2 processes',
      '  ID      PID  STATE    GEN',
      '   0  1234560  ?         12',
      '   1  1234561  stopped   12',
    ])
  })

  it('shows what the user’s code says of a process, a line below the table, as wide as there is room', () => {
    const figures = { clients: 12, share: 1 / 3, note: 'a\u001b[31mb\nc', isFull: false }
    const groups = [group({ processes: [row(0, { figures }), row(1), row(2, { figures: { queued: 0 } })] })]
    const lines = statusLines(status({ groups }), NOW, PLAIN)
    expect(lines.slice(-2)).toEqual([
      '  web/0  clients 12  share 0.333333  note ab c  isFull false',
      '  web/2  queued 0',
    ])
    const narrow = statusLines(status({ groups }), NOW, COLOURS, { columns: 24 }).slice(-2)
    expect(narrow.map(stripVTControlCharacters)).toEqual(['  web/0  clients 12  sh…', '  web/2  queued 0'])
  })

  it('fits 80 columns', () => {
    const groups = [group({ processes: [row(0), row(1, { state: 'draining', restarts: 12 }), row(2, EMPTY)] })]
    for (const line of statusLines(status({ groups, lastReload: reload() }), NOW, PLAIN))
      expect(line.length, line).toBeLessThanOrEqual(80)
  })
})

describe('bannerLines', () => {
  it('shows what will serve where', () => {
    const jobs = group({ name: 'jobs', listen: [], count: 1, reloadable: false, user: null })
    expect(bannerLines(status({ groups: [group(), jobs] }), '1.2.3', PLAIN)).toEqual([
      'Shiftwork 1.2.3  master 1234500  Node.js v20.20.2',
      'WORKER  LISTEN               COUNT  RELOADABLE  USER',
      'web     http://0.0.0.0:8080  2      yes         www-data',
      'jobs    nothing              1      no',
    ])
  })
})

describe('reloadLines', () => {
  it('says in one line that all is well', () => {
    expect(reloadLines(reload({ kept: ['gateway'] }), PLAIN)).toEqual([
      'reload done in 2.3 s: 2 workers replaced, generation 12, kept gateway',
    ])
  })

  it("shows the worker's own error and last lines when nothing was touched", () => {
    expect(
      reloadLines(reload({ result: 'rejected', replaced: [], error: ERROR, standing: [stands()] }), PLAIN)
        .join('\n')
        .split('\n'),
    ).toEqual([
      'web/0 Error: no database',
      '    at start.js:3',
      '',
      'the last that web/0 wrote:',
      '│ connecting…',
      '',
      'reload rejected in 2.3 s: nothing was touched, the old code serves',
    ])
  })

  it('says which workers run which code when it stopped halfway', () => {
    const outcome = (summary: ReloadSummary): string | undefined => reloadLines(summary, PLAIN).at(-1)
    const mixed = reload({ result: 'mixed', error: ERROR })
    expect(outcome(mixed)).toBe('reload mixed in 2.3 s: web/0, web/1 run the new code, the others the old')
    const none = reload({ result: 'mixed', error: ERROR, standing: [stands({ serving: 3, hasServed: true })] })
    expect(outcome(none)).toBe(
      'reload mixed in 2.3 s: no worker runs the new code, the others the old; web: 3 of 4 workers serve (4 did before)',
    )
    const gone = reload({ result: 'mixed', error: ERROR, standing: [stands({ serving: 0, hasServed: true })] })
    expect(outcome(gone)).toBe(
      'reload mixed in 2.3 s: no worker runs the new code; web: no worker serves (4 did before)',
    )
    const cancelled = reload({ result: 'cancelled', replaced: [] })
    expect(outcome(cancelled)).toBe('reload cancelled in 2.3 s: the master was stopped')
  })

  it('names what old workers left undone in onWorkerStop, a line for each kind', () => {
    const faults = [null, 'no\u001b[31m database\nat all', 'again', null].map((error, id) => ({
      ...{ worker: `web/${id}`, pid: 10 + id, error },
    }))
    const rows = reload().replaced
    const replaced = faults.flatMap((stopFault) => rows.slice(0, 1).map((row) => ({ ...row, stopFault })))
    expect(reloadLines(reload({ replaced }), PLAIN).slice(1)).toEqual([
      'warning web/0 (pid 10) left before its last work was done (onWorkerStop, or what a Gateway or BusinessWorker had begun); 1 more worker did so, see the log',
      'warning web/1 (pid 11) threw in its onWorkerStop: no database; 1 more worker did so, see the log',
    ])
  })

  it('does not say that old code serves where none does, or that nothing was touched when new code has served', () => {
    const outcome = (...standing: Standing[]): string =>
      (reloadLines(reload({ result: 'rejected', standing }), PLAIN).at(-1) ?? '').replace(/^.*? s: /, '')
    const empty = stands({ count: 1, serving: 0, servedBefore: 0 })
    expect(outcome(empty)).toBe('nothing was touched; web: no worker serves (none did before)')
    const [some, jobs] = [
      stands({ serving: 1, servedBefore: 2 }),
      stands({ name: 'jobs', serving: 0, servedBefore: 1 }),
    ]
    expect(outcome(some, jobs)).toBe(
      'nothing was touched; web: 1 of 4 workers serve (2 did before), jobs: no worker serves (1 did before)',
    )
    expect(outcome(stands({ name: 'jobs' }), empty)).toBe(
      'nothing was touched; web: no worker serves (none did before), in the others the old code serves',
    )
    expect(outcome(stands({ hasServed: true }))).toBe('the new code has served and was taken back, the old code serves')
  })

  it('adds up what was cut, and names what needs a restart', () => {
    const replaced = reload().replaced.map((one) => ({ ...one, connectionsCut: 3 }))
    expect(reloadLines(reload({ replaced, needsRestart: ['web: count 1 → 2'] }), PLAIN).slice(1)).toEqual([
      'warning 6 connections cut at the deadline (see the log)',
      'needs a restart web: count 1 → 2',
    ])
  })
})

describe('colours', () => {
  const shown = (paint: typeof PLAIN): string => {
    const mixed = reload({ result: 'mixed', error: ERROR, needsRestart: ['x'] })
    const groups = [group({ state: 'mixed', processes: [row(0), row(1, EMPTY)] })]
    const everything = status({ groups, lastReload: mixed })
    return [
      ...bannerLines(everything, '1', paint),
      ...statusLines(everything, NOW, paint),
      ...reloadLines(mixed, paint),
    ].join('\n')
  }

  it('leave no escape code when they are off', () => {
    expect(shown(PLAIN)).not.toContain('\u001b')
  })

  it('change nothing but the colours', () => {
    const coloured = shown(COLOURS)
    expect(coloured).toContain('\u001b[31m')
    expect(stripVTControlCharacters(coloured)).toBe(shown(PLAIN))
  })
})

/** Sets a window's title, clears the screen, rings, and goes back to overwrite what stands there. */
const HOSTILE = '\u0007\u001b[2J\u001b[31mbad\u0008 news\rgood\u009b2K\u001b]0;mine\u0007'
const FAILURE = { ...ERROR, stack: `Error: ${HOSTILE}\n    at start.js:1`, output: `${HOSTILE}\n${HOSTILE}` }
const EXIT = { code: 1, signal: null, reason: HOSTILE, at: '2026-03-04T11:59:58.123Z' }
const PLACE = { name: 'web', id: 0, pid: 7, generation: 2 } as const
const STEP = { type: 'progress', ...PLACE, state: 'failed', ms: 10, hasServed: false } as const

describe('ProgressBoard', () => {
  const PID_8 = { ...STEP, pid: 8, hasServed: true, detail: null } as const
  const TRIED = { ...STEP, state: 'left', detail: null } as const

  function shown(isTTY: boolean, steps: readonly Progress[]): string[] {
    const written: string[] = []
    const stream = { isTTY, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream
    const board = new ProgressBoard(stream, describeProgress)
    for (const step of steps) board.show(step)
    return written.map((text) => stripVTControlCharacters(text).trimEnd())
  }

  it('tells one that was only tried from one that served', () => {
    expect(shown(false, [TRIED, { ...PID_8, state: 'left' }])).toEqual([
      'web/0 pid 7, which had not served, left after 10 ms',
      'web/0 pid 8 left after 10 ms',
    ])
  })

  it('shows it in the place of the new one: the old one serves on', () => {
    const steps: Progress[] = [{ ...TRIED, state: 'prepared' }, { ...TRIED, state: 'draining' }, TRIED]
    expect(shown(true, steps).at(-1)).toBe('web/0 pid 7, which had not served, left after 10 ms')
  })
})

describe('text of user code moves no cursor', () => {
  const exited = status({ groups: [group({ processes: [row(0, { ...EMPTY, lastExit: EXIT })] })] })
  const rejected = status({ lastReload: reload({ error: { ...ERROR, message: HOSTILE } }) })
  const warned = status({ master: { ...status().master, warnings: [HOSTILE] } })

  it.each<[string, string]>([
    ['of a worker that failed', describeFailure(FAILURE, PLAIN)],
    ['of a last exit', statusLines(exited, NOW, PLAIN).join('\n')],
    ['of a reload', statusLines(rejected, NOW, PLAIN).join('\n')],
    ['of a warning', statusLines(warned, NOW, PLAIN).join('\n')],
    ['of a step', describeProgress({ ...STEP, detail: `one\n${HOSTILE}` }) ?? ''],
  ])('%s', (_, text) => {
    expect(text).toMatch(/bad.* news/)
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
  })

  it('what a hook prints keeps its colours alone', () => {
    const written: string[] = []
    const stream = { isTTY: false, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream
    new ProgressBoard(stream, describeProgress).show({ type: 'output', source: 'preReload', text: HOSTILE })
    const [colour, text] = ['\u001b[31m', written.join('').trimEnd()]
    expect(text).toContain(`${colour}bad  news good`)
    expect(text.replace(colour, '')).not.toMatch(/\p{Cc}/u)
  })

  it('a stack keeps its lines', () => {
    expect(describeFailure({ ...ERROR, output: '' }, PLAIN)).toBe('web/0 Error: no database\n    at start.js:3')
  })

  it('nor does an error of a command', () => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    onTestFinished(() => void vi.restoreAllMocks())
    printError(new ShiftworkError('ERR_OPTION', `first\n${HOSTILE}`, { hint: HOSTILE }), false)
    const text = write.mock.calls.map(([chunk]) => String(chunk)).join('')
    expect(text).toMatch(/error first\n.*bad.* news/)
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
  })
})
