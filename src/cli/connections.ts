/** `connections`: every open connection of every worker, eldest first in each. */
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { ConnectionList, ConnectionRow } from '../ipc/connections.ts'
import type { StateDir } from '../os/statedir.ts'
import { duration, plural } from '../words.ts'
import { askForRows } from './client.ts'
import type { CommandLine } from './parse.ts'
import { refusal } from './reload.ts'
import { type Column, count, tableLines } from './table.ts'
import { type Paint, paintFor, printWhole } from './terminal.ts'

export async function connections(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  const rows: ConnectionRow[] = []
  const reply = await askForRows(stateDir, { command: 'connections', groups: line.names }, (more) => {
    for (const row of more) rows.push(row)
  })
  if (reply.type !== 'listed') throw refusal(reply)
  const list: ConnectionList = { version: 1, connections: inOrder(rows), missing: reply.missing }
  const text = line.json ? JSON.stringify(list) : connectionLines(list, paintFor(process.stdout)).join('\n')
  await printWhole(`${text}\n`)
  return EXIT.done
}

/** By group, slot, process and age, the eldest first. */
export function inOrder(rows: readonly ConnectionRow[]): ConnectionRow[] {
  return [...rows].sort(
    (a, b) => compare(a.group, b.group) || a.slot - b.slot || a.pid - b.pid || b.ageMs - a.ageMs || compare(a.id, b.id),
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

const COLUMNS: readonly Column[] = [
  { title: 'WORKER' },
  { title: 'PID', align: 'right' },
  { title: 'ID' },
  { title: 'PROTOCOL' },
  { title: 'STATE' },
  { title: 'REMOTE' },
  { title: 'LOCAL' },
  { title: 'IN', align: 'right' },
  { title: 'OUT', align: 'right' },
  { title: 'BUFFERED', align: 'right' },
  { title: 'AGE', align: 'right' },
  { title: 'IDLE', align: 'right' },
]

/** The table, how many there are, and who did not answer. Bytes are shown as `12.3k`. */
export function connectionLines({ connections, missing }: ConnectionList, paint: Paint): string[] {
  const [head = '', ...lines] = tableLines(COLUMNS, connections.map(cells))
  return [
    ...(connections.length === 0 ? [] : [paint.dim(head), ...lines]),
    plural(connections.length, 'connection'),
    ...missing.map(
      (pid) => `${paint.yellow('warning')} pid ${pid} does not answer: what it has open is not all listed`,
    ),
  ]
}

function cells(row: ConnectionRow): string[] {
  return [
    `${row.group}/${row.slot}`,
    String(row.pid),
    row.id,
    row.protocol,
    row.state,
    row.remote ?? 'unix',
    row.local ?? 'unix',
    count(row.bytesRead),
    count(row.bytesWritten),
    count(row.bufferedBytes),
    duration(row.ageMs),
    row.idleMs === null ? '' : duration(row.idleMs),
  ]
}
