/**
 * The live view as lines of text for a terminal of a certain size. Pure: what was seen, the size and
 * the colours in; at most as many lines out as it has rows, none wider than its columns. The top
 * depends on the size alone, so that it stays where it is; the groups below it take the room left.
 */
import type { SeenStatus } from '../ipc/status.ts'
import { duration, plural } from '../words.ts'
import { activityLine, type Seen } from './activity.ts'
import { groupLines, groupsInOneLine, type Style } from './groups.ts'
import { stateText } from './render.ts'
import { bytes } from './table.ts'
import type { Paint } from './terminal.ts'
import { fitParts, fitText, withRight } from './text.ts'

export interface Scene extends Seen {
  /** The last that was seen of a master. */
  status: SeenStatus
  /** `silent`: it does not answer, the status is the process table's. `gone`: nothing runs. */
  master: 'speaks' | 'silent' | 'gone'
  /** What to know of a silent master, and what to do about it. */
  problem: readonly string[]
  /** How to leave, and how often it is drawn. */
  footer: string
}

export interface Size {
  columns: number
  rows: number
}

/** The heights from which there is room for more than the groups. */
const KEYS_FROM_ROWS = 10
const PATH_FROM_ROWS = 16
const NOTICES_FROM_ROWS = 6
/** Below this the time of day must not take room from what counts. */
const TIME_FROM_COLUMNS = 60
const TIME_COLUMNS = 10

export function pictureLines(scene: Scene, size: Size, paint: Paint): string[] {
  const lines = size.rows < 3 ? tinyLines(scene, size, paint) : wholeLines(scene, size, paint)
  return lines.slice(0, size.rows).map((line) => fitText(line, size.columns))
}

function tinyLines(scene: Scene, size: Size, paint: Paint): string[] {
  if (scene.master === 'gone') return [headLine(scene, size, paint)]
  const groups = groupsInOneLine(scene.status.groups, styleOf(scene, paint))
  return size.rows === 1
    ? [`${stateText(scene.status.master.state, paint)}  ${groups}`]
    : [headLine(scene, size, paint), groups]
}

function wholeLines(scene: Scene, size: Size, paint: Paint): string[] {
  const path = size.rows < PATH_FROM_ROWS ? [] : [paint.dim(scene.status.master.entry)]
  const top = [headLine(scene, size, paint), ...path, ...noticeLines(scene, size, paint)]
  const bottom = size.rows < KEYS_FROM_ROWS ? [] : [paint.dim(scene.footer)]
  const room = size.rows - top.length - bottom.length
  const groups = scene.master === 'gone' ? [] : scene.status.groups
  const body = groupLines(groups, { columns: size.columns, rows: room }, styleOf(scene, paint))
  const gap = bottom.length === 0 ? 0 : Math.max(0, room - body.length)
  return [...top, ...body, ...Array<string>(gap).fill(''), ...bottom]
}

function styleOf({ nowMs, status }: Scene, paint: Paint): Style {
  return { nowMs, paint, isReloading: status.master.state === 'reloading' }
}

function headLine(scene: Scene, { columns }: Size, paint: Paint): string {
  const time = paint.dim(timeOfDay(scene.nowMs))
  const room = columns < TIME_FROM_COLUMNS ? columns : columns - TIME_COLUMNS
  return withRight(fitParts(headParts(scene, paint), room), time, columns)
}

function headParts({ status, master, nowMs }: Scene, paint: Paint): string[] {
  const name = paint.bold('Shiftwork')
  if (master === 'gone') return [`${name} ${paint.red('not running')}`]
  const { pid, state, startedAt, rssBytes, node, warnings } = status.master
  return [
    `${name} ${stateText(state, paint)}`,
    `master ${pid}`,
    warnings.length === 0 ? '' : paint.yellow(plural(warnings.length, 'warning')),
    startedAt === null ? '' : `up ${duration(nowMs - Date.parse(startedAt))}`,
    bytes(rssBytes),
    node === null ? '' : `Node.js ${node}`,
  ]
}

/** What goes on, and what is wrong: as much of it as the height allows. */
function noticeLines(scene: Scene, { rows }: Size, paint: Paint): string[] {
  const { status, master, problem } = scene
  const most = rows < NOTICES_FROM_ROWS ? 0 : rows < PATH_FROM_ROWS ? 1 : 3
  if (master === 'gone') return ['waits for a start', ...lastSeenLine(scene, paint)].slice(0, 1 + most)
  if (master === 'silent') return [paint.red(problem[0] ?? ''), ...problem.slice(1, 1 + most)]
  const warnings = status.master.warnings.slice(0, most).map((warning) => `${paint.yellow('warning')} ${warning}`)
  return [activityLine(status, scene, paint), ...warnings]
}

function lastSeenLine({ status, stateSinceMs }: Scene, paint: Paint): string[] {
  if (stateSinceMs === null) return []
  return [paint.dim(`master ${status.master.pid} has ended, noticed at ${timeOfDay(stateSinceMs)}`)]
}

function timeOfDay(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8)
}
