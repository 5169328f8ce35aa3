/**
 * The groups of the live view in the room that is left for them: every process; then without air; then
 * without figures of the user's; then those processes that are not as they should be and as many others as
 * fit; then a line a group; then one line for all. Pure.
 */
import type { SeenGroup, SeenProcess } from '../ipc/status.ts'
import { plural } from '../words.ts'
import { capacityText, servingSlots, stateCounts, sum, trafficText } from './activity.ts'
import { addressText, exitLines, figureLines, processCells, STATUS_COLUMNS, sizeText, stateText } from './render.ts'
import { bytes, type Column, count, tableLines } from './table.ts'
import type { Paint } from './terminal.ts'
import { fitParts } from './text.ts'

interface Room {
  columns: number
  rows: number
}

/** How it is shown. */
export interface Style {
  nowMs: number
  paint: Paint
  isReloading: boolean
}

const INDENT = '  '

/** At most as many lines as there is room for. */
export function groupLines(groups: readonly SeenGroup[], room: Room, style: Style): string[] {
  if (groups.length === 0) return []
  const all = new Map(groups.map((group) => [group, group.processes]))
  for (const detail of ['all', 'figures', 'table'] as const) {
    const lines = processLines(all, { room, style, detail })
    if (lines.length <= room.rows) return lines
  }
  const share = shareRows(groups, room.rows - 1 - groups.length)
  if (share) return processLines(share, { room, style, detail: 'table' })
  const summary = summaryLines(groups, room, style)
  return [...summary, ...movingLines(groups, { columns: room.columns, rows: room.rows - summary.length }, style)]
}

/** The groups by name, with how many of their workers serve: for a terminal of a line or two. */
export function groupsInOneLine(groups: readonly SeenGroup[], style: Style): string {
  return troubledFirst(groups)
    .map((group) => `${style.paint.bold(group.name)} ${servingText(group)} ${groupState(group, style)}`.trimEnd())
    .join('  ')
}

function servingText(group: SeenGroup): string {
  return group.count === null ? sizeText(group) : `${servingSlots(group)}/${group.count}`
}

/** Two generations side by side are nothing to worry about in a reload. Empty: it is not known. */
function groupState({ state }: SeenGroup, { paint, isReloading }: Style): string {
  if (state === null) return ''
  return isReloading && state === 'mixed' ? paint.yellow(state) : stateText(state, paint)
}

// ---- every process -------------------------------------------------------------------------------------------------

/** What the wide terminals have room for beyond what `status` shows. */
const MORE_COLUMNS: readonly Column[] = [
  { title: 'LOOP', align: 'right', steadyWidth: 4, rank: 10 },
  { title: 'HEAP', align: 'right', steadyWidth: 6, rank: 11 },
]

interface How {
  room: Room
  style: Style
  /** table: without what the user's code says · figures: with it · all: and with last exits, and air */
  detail: 'table' | 'figures' | 'all'
}

/** One table for all groups, their titles between its rows: the columns stand below each other. */
function processLines(shown: ReadonlyMap<SeenGroup, readonly SeenProcess[]>, { room, style, detail }: How): string[] {
  const { nowMs, paint } = style
  const cells = [...shown.values()].flat().map((row) => [...processCells(row, nowMs, paint), ...moreCells(row)])
  const width = room.columns - INDENT.length
  const [head = '', ...lines] = tableLines([...STATUS_COLUMNS, ...MORE_COLUMNS], cells, width)
  const air = detail === 'all' ? [''] : []
  const parts = [...shown].map(([group, rows]) => [
    titleLine(group, room.columns, style),
    ...lines.splice(0, rows.length).map((line) => INDENT + line),
    ...hiddenLine(group, rows),
    ...(detail === 'table' ? [] : figureLines(group.name, rows, { columns: room.columns, paint })),
    ...(detail === 'all' ? exitLines(group, paint) : []),
  ])
  return [...air, INDENT + paint.dim(head), ...parts.flatMap((part, index) => (index === 0 ? part : [...air, ...part]))]
}

/** Below one line a group: the processes that are on their way or in trouble, as many as there is room for. */
function movingLines(groups: readonly SeenGroup[], room: Room, { nowMs, paint }: Style): string[] {
  const cells = groups.flatMap((group) => {
    const moving = restless(group)
    const rows = group.processes.filter((row) => moving.includes(row))
    return rows.map((row) => [`${group.name}/${row.id}`, ...processCells(row, nowMs, paint).slice(1)])
  })
  if (room.rows < 2 || cells.length === 0) return []
  const columns = [{ title: 'PROCESS' }, ...STATUS_COLUMNS.slice(1)]
  const [head = '', ...lines] = tableLines(columns, cells.slice(0, room.rows - 1), room.columns)
  return [paint.dim(head), ...lines]
}

function moreCells(row: SeenProcess): string[] {
  const { eventLoopUtilization, heapUsedBytes } = row
  return [eventLoopUtilization === null ? '' : `${(100 * eventLoopUtilization).toFixed(0)}%`, bytes(heapUsedBytes)]
}

function titleLine(group: SeenGroup, columns: number, style: Style): string {
  const { listen, reloadable, user } = group
  return fitParts(
    [
      `${style.paint.bold(group.name)}  ${groupState(group, style)}`.trimEnd(),
      capacityText(group),
      addressText(group),
      ...(group.processes.length > 1 && listen !== null && listen.length > 0 ? trafficText(group) : []),
      reloadable === false ? 'kept in reloads' : '',
      user === null ? '' : `as ${user}`,
    ],
    columns,
  )
}

function hiddenLine(group: SeenGroup, shown: readonly SeenProcess[]): string[] {
  const hidden = group.processes.filter((row) => !shown.includes(row))
  const [first] = hidden
  if (first === undefined || shown.length === 0) return []
  const isUniform = hidden.every((row) => row.state === first.state)
  const states = isUniform && first.state !== null && hidden.length > 1 ? `all ${first.state}` : stateCounts(hidden)
  const more = plural(hidden.length, 'more process', 'more processes')
  return [`${INDENT}… ${states === '' ? more : `${more}: ${states}`}`]
}

// ---- some processes ------------------------------------------------------------------------------------------------

/** Below this a group's rows tell less than one line for it. */
const LEAST_LINES = 2

/** Which processes get one of so many lines; null when too few for every group to show some. */
function shareRows(groups: readonly SeenGroup[], lines: number): Map<SeenGroup, readonly SeenProcess[]> | null {
  const shares = groups.map((group) => ({ group, lines: Math.min(LEAST_LINES, group.processes.length) }))
  let left = lines - shares.reduce((total, share) => total + share.lines, 0)
  if (left < 0) return null
  // first what is not as it should be, then the rest; a line each in turn
  for (const want of [restless, everyOne]) {
    for (let isGiven = true; isGiven && left > 0; ) {
      isGiven = false
      for (const share of shares) {
        if (left === 0 || share.lines >= linesFor(share.group, want)) continue
        share.lines++
        left--
        isGiven = true
      }
    }
  }
  return new Map(shares.map((share) => [share.group, pick(share.group, share.lines)]))
}

/** On their way or in trouble, with what serves in the same place; then those of a generation that is being replaced. */
function restless({ processes }: SeenGroup): SeenProcess[] {
  const newest = Math.max(...processes.map((row) => row.generation))
  const places = new Set(processes.filter((row) => row.state !== 'serving').map((row) => row.id))
  const moving = processes.filter((row) => places.has(row.id))
  return [...moving, ...processes.filter((row) => !places.has(row.id) && row.generation < newest)]
}

function everyOne(group: SeenGroup): SeenProcess[] {
  return group.processes
}

/** A group that does not show all needs one line to say so. */
function linesFor(group: SeenGroup, want: (group: SeenGroup) => SeenProcess[]): number {
  const wanted = want(group).length
  return wanted < group.processes.length ? wanted + 1 : wanted
}

function pick(group: SeenGroup, lines: number): readonly SeenProcess[] {
  const { processes } = group
  if (lines >= processes.length) return processes
  const first = restless(group)
  const chosen = [...first, ...processes.filter((row) => !first.includes(row))].slice(0, lines - 1)
  return processes.filter((row) => chosen.includes(row))
}

// ---- a line a group ------------------------------------------------------------------------------------------------

const SUMMARY_COLUMNS: readonly Column[] = [
  { title: 'WORKER' },
  { title: 'STATE', steadyWidth: 8, rank: 1 },
  { title: 'SERVE', align: 'right' },
  { title: 'GEN', align: 'right', rank: 3 },
  { title: 'MEM', align: 'right', steadyWidth: 6, rank: 5 },
  { title: 'CPU', align: 'right', steadyWidth: 4, rank: 4 },
  { title: 'CONN', align: 'right', steadyWidth: 4, rank: 6 },
  { title: 'REQ/S', align: 'right', steadyWidth: 6, rank: 2 },
  { title: 'LISTEN', rank: 7 },
]

function summaryLines(groups: readonly SeenGroup[], room: Room, style: Style): string[] {
  const hasHead = room.rows > groups.length
  const lines = room.rows - (hasHead ? 1 : 0)
  const isCut = lines < groups.length
  const chosen = isCut ? pickGroups(groups, Math.max(0, lines - 1)) : groups
  const [head = '', ...rows] = tableLines(
    SUMMARY_COLUMNS,
    chosen.map((group) => summaryCells(group, style)),
    room.columns,
  )
  const hidden = groups.filter((group) => !chosen.includes(group))
  const rest = isCut
    ? [`… ${plural(hidden.length, chosen.length === 0 ? 'group' : 'more group')}${troubleOf(hidden)}`]
    : []
  return [...(hasHead ? [style.paint.dim(head)] : []), ...rows, ...rest]
}

function pickGroups(groups: readonly SeenGroup[], most: number): SeenGroup[] {
  const chosen = troubledFirst(groups).slice(0, most)
  return groups.filter((group) => chosen.includes(group))
}

function troubledFirst(groups: readonly SeenGroup[]): SeenGroup[] {
  return [...groups.filter((group) => !isWell(group)), ...groups.filter(isWell)]
}

function troubleOf(groups: readonly SeenGroup[]): string {
  if (groups.some((group) => group.state === null)) return ''
  const trouble = groups.filter((group) => !isWell(group)).length
  return trouble === 0 ? ', all ok' : `, ${trouble} not ok`
}

/** As it is meant to be: also on its way out. */
function isWell({ state }: SeenGroup): boolean {
  return state === 'ok' || state === 'stopping'
}

function summaryCells(group: SeenGroup, style: Style): string[] {
  const { processes } = group
  const cpuPercent = sum(processes.map((row) => row.cpuPercent))
  return [
    style.paint.bold(group.name),
    groupState(group, style),
    servingText(group),
    generations(processes),
    bytes(sum(processes.map((row) => row.rssBytes))),
    cpuPercent === null ? '' : `${cpuPercent.toFixed(0)}%`,
    count(sum(processes.map((row) => row.connections))),
    count(sum(processes.map((row) => row.requestsPerSecond))),
    group.listen?.[0] ?? '',
  ]
}

/** `3`, or `3-4` while two of them run. */
function generations(processes: readonly SeenProcess[]): string {
  const found = processes.map((row) => row.generation)
  if (found.length === 0) return ''
  const [least, most] = [Math.min(...found), Math.max(...found)]
  return least === most ? String(most) : `${least}-${most}`
}
