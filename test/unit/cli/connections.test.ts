/** The table of open connections: in order, whole, and with who did not answer. */
import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { connectionLines, inOrder } from '../../../src/cli/connections.ts'
import type { ConnectionRow } from '../../../src/ipc/connections.ts'
import { Random } from '../random.ts'

const PLAIN = pc.createColors(false)

function row(changes: Partial<ConnectionRow> = {}): ConnectionRow {
  return {
    group: 'web',
    slot: 0,
    pid: 12,
    id: 'p8Kx-1',
    protocol: 'text',
    state: 'open',
    remote: '127.0.0.1:50000',
    local: '127.0.0.1:8080',
    bytesRead: 1_234_567,
    bytesWritten: 987,
    bufferedBytes: 0,
    ageMs: 65_000,
    idleMs: 1_500,
    ...changes,
  }
}

describe('the table', () => {
  it('has a line for each, what is not known is empty, and says how many there are', () => {
    const rows = [row(), row({ id: 'p8Kx-2', remote: null, local: null, idleMs: null, state: 'upgraded' })]
    expect(connectionLines({ version: 1, connections: rows, missing: [] }, PLAIN)).toEqual([
      'WORKER  PID  ID      PROTOCOL  STATE     REMOTE           LOCAL             IN  OUT  BUFFERED      AGE   IDLE',
      'web/0    12  p8Kx-1  text      open      127.0.0.1:50000  127.0.0.1:8080  1.2M  987         0  1 m 5 s  1.5 s',
      'web/0    12  p8Kx-2  text      upgraded  unix             unix            1.2M  987         0  1 m 5 s',
      '2 connections',
    ])
  })

  it('names each process that did not answer', () => {
    expect(connectionLines({ version: 1, connections: [], missing: [12, 13] }, PLAIN)).toEqual([
      '0 connections',
      'warning pid 12 does not answer: what it has open is not all listed',
      'warning pid 13 does not answer: what it has open is not all listed',
    ])
  })

  it('takes 200 000 connections', () => {
    const connections = Array.from({ length: 200_000 }, (_, index) => row({ id: `p8Kx-${index}` }))
    expect(connectionLines({ version: 1, connections, missing: [] }, PLAIN)).toHaveLength(200_002)
  })
})

it('the order is group, slot, process and age, eldest first, in whatever order the pages came', () => {
  const random = new Random(5)
  const ordered = ['api', 'web'].flatMap((group) =>
    [0, 1, 10].flatMap((slot) =>
      [7, 70].flatMap((pid) => [300, 20, 20].map((ageMs, id) => ({ group, slot, pid, ageMs, id }))),
    ),
  )
  const rows = ordered.map(({ id, ...rest }) => row({ ...rest, id: `p8Kx-${id}` }))
  const shuffled = rows.map((one) => ({ one, at: random.next() })).sort((a, b) => a.at - b.at)
  expect(inOrder(shuffled.map(({ one }) => one))).toEqual(rows)
})
