/** Who is an orphan, and what is said of orphans. */
import { describe, expect, it } from 'vitest'
import {
  type Orphan,
  orphanHint,
  orphanKind,
  orphanLines,
  orphanStatus,
  type Suspect,
} from '../../../src/ipc/orphan.ts'

const WORKER: Suspect = {
  hasMaster: false,
  isOfStateDir: true,
  hasIdentity: true,
  isInherited: false,
  isAncestor: false,
}
const CHILD: Suspect = { ...WORKER, hasIdentity: false }

describe('orphanKind', () => {
  it.each<[string, Suspect, Orphan['kind'] | null]>([
    ['a worker whose master is gone', WORKER, 'worker'],
    ['one that is under the command which looks', { ...WORKER, isAncestor: true }, 'worker'],
    ['what a worker has started', CHILD, 'child'],
    ['what that has started', { ...CHILD, isInherited: true }, 'child'],
    ['what a loader has started before the identity was hidden', { ...WORKER, isInherited: true }, 'child'],
    ['a shell, started by a worker, in which the command was typed', { ...CHILD, isAncestor: true }, null],
    ['a worker whose master lives', { ...WORKER, hasMaster: true }, null],
    ['what a worker has started whose master lives', { ...CHILD, hasMaster: true }, null],
    ['a worker of another start file', { ...WORKER, isOfStateDir: false }, null],
    ['a copied environment of another start file', { ...CHILD, isOfStateDir: false }, null],
  ])('%s', (_, suspect, kind) => {
    expect(orphanKind(suspect)).toBe(kind)
  })
})

const NOW = Date.parse('2026-03-04T12:00:00Z')

function orphan(changes: Partial<Orphan> = {}): Orphan {
  return {
    pid: 101,
    startTime: '5',
    kind: 'worker',
    worker: 'web/0',
    key: 1,
    masterPid: 100,
    title: 'shiftwork: web/0 g1 start.js',
    startedAt: new Date(NOW - 65_000),
    isStopped: false,
    listen: [],
    connections: 0,
    ...changes,
  }
}

const SLEEP = orphan({ pid: 201, kind: 'child', title: 'sleep 1000', startedAt: null })

describe('orphanLines', () => {
  it('names the slot, the pid, the master, since when, and what it holds', () => {
    expect(orphanLines([orphan({ connections: 1 })], NOW)).toEqual([
      'web/0 pid 101 of master 100, up 1 m 5 s: 1 open connection',
    ])
    const stuck = orphan({ isStopped: true, listen: ['127.0.0.1:80', '[::1]:80'], connections: 2 })
    expect(orphanLines([stuck], NOW)).toEqual([
      'web/0 pid 101 of master 100, up 1 m 5 s: stopped by a signal, listens on 127.0.0.1:80, [::1]:80, 2 open connections',
    ])
  })

  it('says nothing of what it does not know, and what only reads the start file is no worker', () => {
    expect(orphanLines([orphan({ worker: null, startedAt: null })], NOW)).toEqual([
      'a reader of the start file, pid 101 of master 100: no open connection',
    ])
  })

  it('children stand on the line of their worker; without it, on their own, with a long command cut', () => {
    expect(orphanLines([orphan(), SLEEP], NOW)).toEqual([
      'web/0 pid 101 of master 100, up 1 m 5 s: no open connection, has started pid 201 (sleep 1000)',
    ])
    const long = { ...SLEEP, title: 'x'.repeat(100) }
    for (const other of [orphan({ key: 2 }), orphan({ masterPid: 99 })])
      expect(orphanLines([other, long], NOW).at(-1)).toBe(
        `pid 201 (${'x'.repeat(59)}…) of master 100: no open connection`,
      )
  })

  it('a command can neither begin a line nor move the cursor', () => {
    const [line = ''] = orphanLines([{ ...SLEEP, title: 'sh -c a\n\tb\u001b[2J\u0007' }], NOW)
    expect(line).toMatch(/^pid 201 \(sh -c a b\S*\) of master/)
    expect(line).not.toMatch(/\p{Cc}/u)
  })

  it('names at most five, and counts the others', () => {
    const many = Array.from({ length: 12 }, (_, id) => orphan({ pid: 101 + id, worker: `web/${id}`, key: id }))
    const lines = orphanLines(many, NOW)
    expect(lines).toHaveLength(6)
    expect(lines.at(-1)).toBe('and 7 more')
    expect(orphanLines(many.slice(0, 5), NOW)).toHaveLength(5)
    expect(orphanLines([], NOW)).toEqual([])
  })
})

describe('orphanHint', () => {
  const LEAVE = 'They leave when they have finished what they have; stop --force ends them at once.'
  const STUCK = 'stop --force ends them.'
  it.each([
    ['all of them leave by themselves', [orphan({ connections: 3 }), SLEEP], LEAVE],
    ['one is stopped', [orphan(), orphan({ key: 2, isStopped: true })], STUCK],
    ['one has not noticed', [orphan({ listen: ['127.0.0.1:80'] })], STUCK],
    ['nobody is left to end a child', [orphan({ key: 2 }), SLEEP], STUCK],
  ])('promises only what will be: %s', (_, orphans, advice) => {
    const lines = orphanHint(orphans, NOW).split('\n')
    expect(lines[0]).toBe('An earlier master was killed and has left:')
    expect(lines.at(-1)).toBe(advice)
    expect(lines.slice(1, -1)).toEqual(orphanLines(orphans, NOW))
  })
})

it('orphanStatus is what --json shows: times as text, nothing of how it was found', () => {
  expect(orphanStatus(orphan({ connections: 2 }))).toEqual({
    pid: 101,
    kind: 'worker',
    worker: 'web/0',
    masterPid: 100,
    title: 'shiftwork: web/0 g1 start.js',
    startedAt: '2026-03-04T11:58:55.000Z',
    stopped: false,
    listen: [],
    connections: 2,
  })
  expect(orphanStatus(SLEEP).startedAt).toBeNull()
})
