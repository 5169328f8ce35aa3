/** The live view, as it looks in terminals of several sizes. */
import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { pictureLines, type Scene } from '../../../src/cli/picture.ts'
import { textWidth } from '../../../src/cli/text.ts'
import type { Status } from '../../../src/ipc/status.ts'
import { group, NOW, peace, reload, rolling, row, scene, status } from './scenes.ts'

const PLAIN = pc.createColors(false)
const COLOURS = pc.createColors(true)

function draw(of: Scene, columns: number, rows: number, paint = PLAIN): string[] {
  return pictureLines(of, { columns, rows }, paint)
}

/** As one text: what stands below each other is to be seen so. */
function picture(of: Scene, columns: number, rows: number): string {
  return draw(of, columns, rows).join('\n')
}

/** Nine groups of a dozen, one process of the eighth in trouble. */
function crowd(): Status {
  const trouble = row(5, { state: 'hung', connections: null, requestsPerSecond: null })
  const dozen = Array.from({ length: 12 }, (_, id) => row(id))
  const groups = Array.from({ length: 9 }, (_, index) =>
    index === 7 ? group('g7', dozen.toSpliced(5, 1, trouble), { state: 'degraded' }) : group(`g${index}`, dozen),
  )
  return status(groups, { warnings: ['needs a restart: g1: user', 'needs a restart: g2: user'] })
}

describe('a picture', () => {
  it('of 80 x 24 shows all, the keys in the last line', () => {
    expect(picture(scene(peace()), 80, 24)).toMatchInlineSnapshot(`
      "Shiftwork running  master 1234500  up 7 h 5 m  60 MB  Node.js v20.20.2  12:00:00
      /srv/app/current/start.ts
      last reload done in 2.3 s: 0 workers replaced, generation 3

        ID      PID  STATE         GEN  UP            MEM   CPU  CONN   REQ/S    LAG
      web  ok  4 workers  http://0.0.0.0:8080  100 conn  1286.2 req/s
         0  1234560  serving lead    3  4 m 10 s    54 MB    3%    25   321.5    1ms
         1  1234561  serving         3  4 m 10 s    54 MB    3%    25   321.5    1ms
         2  1234562  serving         3  4 m 10 s    54 MB    3%    25   321.5    1ms
         3  1234563  serving         3  4 m 10 s    54 MB    3%    25   321.5    1ms

      jobs  ok  1 worker  no listener
         0  1234564  serving         3  4 m 10 s    54 MB    3%     0       0    1ms










      q quits   every 1 s"
    `)
  })

  it('of 80 x 24 shows a reload: old and new side by side, and a line that says what goes on', () => {
    expect(picture(scene(rolling(), { stateSinceMs: NOW - 3_400 }), 80, 24)).toMatchInlineSnapshot(`
      "Shiftwork reloading  master 1234500  up 7 h 5 m  60 MB                  12:00:00
      /srv/app/current/start.ts
      reloading for 3 s: 1 starting, 1 draining with 2 connections

        ID      PID  STATE         GEN  UP            MEM   CPU  CONN   REQ/S    LAG
      web  mixed  1 of 4 on generation 4  http://0.0.0.0:8080  102 conn  1286.2 req/s
         0  1234560  draining        3  4 m 10 s    54 MB    3%     2       0    1ms
         0  1234600  serving lead    4  3.2 s       54 MB    3%    25   321.5    1ms
         1  1234561  serving         3  4 m 10 s    54 MB    3%    25   321.5    1ms
         1  1234601  starting        4  3.2 s       54 MB    3%     0       0    1ms
         2  1234562  serving         3  4 m 10 s    54 MB    3%    25   321.5    1ms
         3  1234563  serving         3  4 m 10 s    54 MB    3%    25   321.5    1ms

      jobs  ok  1 worker  no listener
         0  1234564  serving         3  4 m 10 s    54 MB    3%     0       0    1ms








      q quits   every 1 s"
    `)
  })

  it('of 80 x 10 shows of each group what moves, and how many more there are', () => {
    expect(picture(scene(rolling()), 80, 10)).toMatchInlineSnapshot(`
      "Shiftwork reloading  master 1234500  up 7 h 5 m  60 MB                  12:00:00
      reloading: 1 starting, 1 draining with 2 connections
        ID      PID  STATE         GEN  UP            MEM   CPU  CONN   REQ/S    LAG
      web  mixed  1 of 4 on generation 4  http://0.0.0.0:8080  102 conn  1286.2 req/s
         0  1234560  draining        3  4 m 10 s    54 MB    3%     2       0    1ms
         0  1234600  serving lead    4  3.2 s       54 MB    3%    25   321.5    1ms
        … 4 more processes: 3 serving, 1 starting
      jobs  ok  1 worker  no listener
         0  1234564  serving         3  4 m 10 s    54 MB    3%     0       0    1ms
      q quits   every 1 s"
    `)
  })

  it('of 40 x 12 has the columns that count', () => {
    expect(picture(scene(peace()), 40, 12)).toMatchInlineSnapshot(`
      "Shiftwork running  master 1234500
      last reload done in 2.3 s: 0 workers re…
        ID      PID  STATE         GEN   REQ/S
      web  ok  4 workers  http://0.0.0.0:8080
         0  1234560  serving lead    3   321.5
         1  1234561  serving         3   321.5
         2  1234562  serving         3   321.5
         3  1234563  serving         3   321.5
      jobs  ok  1 worker  no listener
         0  1234564  serving         3       0

      q quits   every 1 s"
    `)
  })

  it('of 120 x 40 has more columns', () => {
    expect(picture(scene(peace()), 120, 17)).toMatchInlineSnapshot(`
      "Shiftwork running  master 1234500  up 7 h 5 m  60 MB  Node.js v20.20.2                                          12:00:00
      /srv/app/current/start.ts
      last reload done in 2.3 s: 0 workers replaced, generation 3

        ID      PID  STATE         GEN  UP            MEM   CPU  CONN   REQ/S   TOTAL    LAG  LOOP    HEAP
      web  ok  4 workers  http://0.0.0.0:8080  100 conn  1286.2 req/s
         0  1234560  serving lead    3  4 m 10 s    54 MB    3%    25   321.5  123.5k    1ms   10%    8 MB
         1  1234561  serving         3  4 m 10 s    54 MB    3%    25   321.5  123.5k    1ms   10%    8 MB
         2  1234562  serving         3  4 m 10 s    54 MB    3%    25   321.5  123.5k    1ms   10%    8 MB
         3  1234563  serving         3  4 m 10 s    54 MB    3%    25   321.5  123.5k    1ms   10%    8 MB

      jobs  ok  1 worker  no listener
         0  1234564  serving         3  4 m 10 s    54 MB    3%     0       0       0    1ms   10%    8 MB



      q quits   every 1 s"
    `)
    expect(draw(scene(peace()), 120, 40)).toHaveLength(40)
  })

  it('has what the user’s code says while there is room for it', () => {
    const figures = { clients: 12, links: 3, queued: 0 }
    const gateway = scene(status([group('gateway', [row(0, { figures }), row(1, { figures })])]))
    expect(picture(gateway, 48, 9)).toMatchInlineSnapshot(`
      "Shiftwork running  master 1234500  up 7 h 5 m
      no reload so far

        ID      PID  STATE         GEN   CPU   REQ/S
      gateway  ok  2 workers  http://0.0.0.0:8080
         0  1234560  serving lead    3    3%   321.5
         1  1234561  serving         3    3%   321.5
        gateway/0  clients 12  links 3  queued 0
        gateway/1  clients 12  links 3  queued 0"
    `)
    const lines = (rows: number): number => draw(gateway, 48, rows).filter((line) => line.includes('queued 0')).length
    expect([7, 8, 9, 24].map(lines)).toEqual([0, 2, 2, 2])
  })

  it('of too many processes has a line a group, and those in trouble below', () => {
    expect(picture(scene(crowd()), 80, 24)).toMatchInlineSnapshot(`
      "Shiftwork running  master 1234500  2 warnings  up 7 h 5 m  60 MB        12:00:00
      /srv/app/current/start.ts
      no reload so far
      warning needs a restart: g1: user
      warning needs a restart: g2: user
      WORKER  STATE     SERVE  GEN     MEM   CPU  CONN   REQ/S  LISTEN
      g0      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g1      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g2      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g3      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g4      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g5      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g6      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g7      degraded  11/12    3  648 MB   41%   275  3536.9  http://0.0.0.0:8080
      g8      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      PROCESS      PID  STATE         GEN  UP            MEM   CPU   TOTAL    LAG
      g7/5     1234565  hung            3  4 m 10 s    54 MB    3%  123.5k    1ms






      q quits   every 1 s"
    `)
  })

  it('of more groups than lines leaves out those that are well', () => {
    expect(picture(scene(crowd()), 80, 8)).toMatchInlineSnapshot(`
      "Shiftwork running  master 1234500  2 warnings  up 7 h 5 m  60 MB        12:00:00
      no reload so far
      warning needs a restart: g1: user
      g0      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g1      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g2      ok        12/12    3  648 MB   41%   300  3858.5  http://0.0.0.0:8080
      g7      degraded  11/12    3  648 MB   41%   275  3536.9  http://0.0.0.0:8080
      … 5 more groups, all ok"
    `)
  })

  it('of two lines, and of one, says how many workers serve', () => {
    expect(picture(scene(peace()), 80, 2)).toMatchInlineSnapshot(`
      "Shiftwork running  master 1234500  up 7 h 5 m  60 MB  Node.js v20.20.2  12:00:00
      web 4/4 ok  jobs 1/1 ok"
    `)
    expect(picture(scene(peace()), 80, 1)).toMatchInlineSnapshot(`"running  web 4/4 ok  jobs 1/1 ok"`)
    expect(picture(scene(crowd()), 30, 1)).toMatchInlineSnapshot(`"running  g7 11/12 degraded  g…"`)
  })
})

describe('the top', () => {
  const top = (of: Scene, columns = 80): string[] => draw(of, columns, 24).slice(0, 5)

  it('says what became of the last reload, and how long ago', () => {
    const error = { worker: 'web/0', message: 'no database\nat all', stack: '', output: '' }
    const rejected = { ...peace(), lastReload: reload({ result: 'rejected', error }) }
    expect(top(scene(rejected, { reloadedAtMs: NOW - 75_400 }))[2]).toBe(
      'last reload rejected in 2.3 s, 1 m 15 s ago: web/0: no database',
    )
    expect(top(scene(status([group('web', [row(0)])])))[2]).toBe('no reload so far')
  })

  it('says how far a start is, and what a stop waits for', () => {
    const starting = status([group('web', [row(0), row(1, { state: 'starting' })])], { state: 'starting' })
    expect(top(scene(starting, { stateSinceMs: NOW - 200 }))[2]).toBe(
      'starting for 0 s: 1 of 2 workers serve, 1 starting',
    )
    const stopping = status([group('web', [row(0, { state: 'draining', connections: 3 })])], { state: 'stopping' })
    expect(top(scene(stopping))[2]).toBe('stopping: 1 process left, 3 connections open')
  })

  it('shows as many warnings as there is room for, and counts them all', () => {
    const warned = scene(crowd())
    expect(top(warned).slice(2, 5)).toEqual([
      'no reload so far',
      'warning needs a restart: g1: user',
      'warning needs a restart: g2: user',
    ])
    expect(draw(warned, 80, 12).slice(0, 3)).toEqual([
      'Shiftwork running  master 1234500  2 warnings  up 7 h 5 m  60 MB        12:00:00',
      'no reload so far',
      'warning needs a restart: g1: user',
    ])
  })

  it('says what is wrong with a silent master and what to do, and shows what the process table knows', () => {
    const more = { heapUsedBytes: null, eventLoopUtilization: null }
    const blank = { startedAt: null, rssBytes: null, cpuPercent: null, connections: null, requestsPerSecond: null }
    const process = row(0, { ...blank, requests: null, eventLoopDelayMs: null, leader: false, ...more })
    const { master, ...rest } = status([], { state: 'frozen' })
    const unknown = { listen: null, count: null, reloadable: null, after: null, state: null }
    const web = { ...group('web', []), ...unknown, processes: [{ ...process, state: null }] }
    const table = { ...rest, master: { ...master, startedAt: null, node: null }, groups: [web] }
    const problem = ['The master (pid 9) does not answer: a signal has stopped it', 'kill -CONT 9 lets it go on']
    expect(picture(scene(table, { master: 'silent', problem }), 80, 10)).toMatchInlineSnapshot(`
      "Shiftwork frozen  master 1234500  60 MB                                 12:00:00
      The master (pid 9) does not answer: a signal has stopped it
      kill -CONT 9 lets it go on

        ID      PID  STATE         GEN
      web  1 process
         0  1234560  ?               3


      q quits   every 1 s"
    `)
  })

  it('says that nothing runs, and since when', () => {
    expect(picture(scene(peace(), { master: 'gone', stateSinceMs: NOW - 60_000 }), 80, 24)).toMatchInlineSnapshot(`
      "Shiftwork not running                                                   12:00:00
      /srv/app/current/start.ts
      waits for a start
      master 1234500 has ended, noticed at 11:59:00



















      q quits   every 1 s"
    `)
    expect(picture(scene(peace(), { master: 'gone' }), 40, 1)).toMatchInlineSnapshot(
      `"Shiftwork not running           12:00:00"`,
    )
  })
})

describe('every picture, in every size', () => {
  const wide = group('网关网关网关', [row(0), row(1)], { listen: ['http+unix:///run/一二三.sock'], user: 'www-data' })
  const bad = { code: 1, signal: null, reason: 'a\u001b[2Jb\nc', at: '2026-03-04T11:59:58.123Z' }
  const broken = group('web', [row(0, { restarts: 2, lastExit: bad, state: 'backoff', pid: null })], {
    state: 'backoff',
  })
  const SCENES = [
    scene(peace()),
    scene(rolling(), { stateSinceMs: NOW }),
    scene(crowd()),
    scene(status([wide, broken], { warnings: ['a\u001b[2J\tb'], entry: `/srv/${'deep/'.repeat(40)}start.ts` })),
    scene(peace(), { master: 'gone' }),
    scene(
      status([
        group('web', [
          row(0, { figures: { ['一二三'.repeat(20)]: '\u001b[2J\t'.repeat(40), next: 1 } }),
          row(1, { figures: { a: 1 } }),
        ]),
      ]),
    ),
    scene(status([]), { master: 'silent', problem: ['it does not answer'] }),
  ]

  const COLOUR_CODE = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, 'g')

  const faultsOf = (lines: readonly string[], columns: number, rows: number): string[] => {
    const isClean = (line: string): boolean => !/\p{Cc}/u.test(line.replaceAll(COLOUR_CODE, ''))
    const bad = lines.filter((line) => textWidth(line) > columns || !isClean(line))
    return lines.length > rows ? [`${lines.length} lines`, ...bad] : bad
  }

  it('has no line too many, none too wide, and nothing in it that moves the cursor', () => {
    for (const of of SCENES)
      for (const columns of [1, 20, 40, 79, 80, 120])
        for (const rows of [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 60]) {
          const lines = draw(of, columns, rows, columns % 2 === 0 ? COLOURS : PLAIN)
          expect({ columns, rows, faults: faultsOf(lines, columns, rows) }).toEqual({ columns, rows, faults: [] })
        }
  })

  it('has its first two lines in the same place, whatever it shows', () => {
    for (const rows of [3, 5, 6, 8, 10, 15, 16, 24, 40])
      for (const of of [scene(peace()), scene(rolling()), scene(crowd())])
        expect(draw(of, 80, rows)[rows < 16 ? 1 : 2]).toMatch(/^(?:last reload|reloading|no reload)/)
  })
})
