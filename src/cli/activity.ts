/** What goes on, in words: of a whole master, of one group. For the live view. Pure. */
import type { ProcessStatus, ReloadSummary, SeenGroup, SeenProcess, SeenStatus } from '../ipc/status.ts'
import { duration, firstLine, plural } from '../words.ts'
import { outcome, resultText, sizeText } from './render.ts'
import { count } from './table.ts'
import type { Paint } from './terminal.ts'

/** What one who watches knows of times, which a status does not say; null: it was so before. */
export interface Seen {
  nowMs: number
  stateSinceMs: number | null
  reloadedAtMs: number | null
}

/** The line that says what the master is doing, or did last. */
export function activityLine(status: SeenStatus, seen: Seen, paint: Paint): string {
  const { state } = status.master
  if (state === 'running' || state === 'frozen') return lastReloadLine(status.lastReload, seen, paint)
  const since = seen.stateSinceMs === null ? '' : ` for ${seconds(seen.nowMs - seen.stateSinceMs)}`
  const rows = status.groups.flatMap((group) => group.processes).filter((row) => row.pid !== null)
  const steps = state === 'stopping' ? [leftText(rows)] : [stateCounts(rows.filter((row) => row.state !== 'serving'))]
  if (state === 'starting') steps.unshift(`${servingOf(status.groups)} workers serve`)
  const words = steps.filter((step) => step !== '').join(', ')
  return `${paint.yellow(state)}${since}${words === '' ? '' : `: ${words}`}`
}

function lastReloadLine(reload: ReloadSummary | null, { reloadedAtMs, nowMs }: Seen, paint: Paint): string {
  if (!reload) return paint.dim('no reload so far')
  const ago = reloadedAtMs === null ? '' : `, ${seconds(nowMs - reloadedAtMs)} ago`
  const what = reload.error ? `${reload.error.worker}: ${firstLine(reload.error.message)}` : outcome(reload)
  return `last reload ${resultText(reload, paint)} in ${duration(reload.durationMs)}${ago}: ${what}`
}

/** `7 s`, `4 m 10 s`: what is looked at once a second has no tenths. */
function seconds(ms: number): string {
  const whole = Math.max(0, Math.floor(ms / 1000))
  return whole < 60 ? `${whole} s` : duration(whole * 1000)
}

function leftText(rows: readonly SeenProcess[]): string {
  const open = rows.reduce((sum, row) => sum + (row.connections ?? 0), 0)
  return `${plural(rows.length, 'process', 'processes')} left${open > 0 ? `, ${plural(open, 'connection')} open` : ''}`
}

function servingOf(groups: readonly SeenGroup[]): string {
  const serving = groups.reduce((sum, group) => sum + servingSlots(group), 0)
  return `${serving} of ${groups.reduce((sum, group) => sum + (group.count ?? 0), 0)}`
}

/** Slots of a group in which a process serves. */
export function servingSlots(group: SeenGroup): number {
  return slotsOf(group.processes.filter((row) => row.state === 'serving'))
}

function slotsOf(rows: readonly SeenProcess[]): number {
  return new Set(rows.map((row) => row.id)).size
}

const STATES: readonly ProcessStatus['state'][] = [
  'serving',
  'starting',
  'prepared',
  'draining',
  'backoff',
  'hung',
  'stopped',
]

/** `12 serving, 1 starting, 2 draining with 5 connections`; empty for no process, and for those whose state is not known. */
export function stateCounts(rows: readonly SeenProcess[]): string {
  return STATES.map((state) => ({ state, of: rows.filter((row) => row.state === state) }))
    .filter(({ of }) => of.length > 0)
    .map(({ state, of }) => `${of.length} ${state}${state === 'draining' ? withConnections(of) : ''}`)
    .join(', ')
}

function withConnections(rows: readonly SeenProcess[]): string {
  const open = rows.reduce((sum, row) => sum + (row.connections ?? 0), 0)
  return open > 0 ? ` with ${plural(open, 'connection')}` : ''
}

/** A group between two generations: `1 of 2 on generation 3`; below its number: `3 of 4 serve`; else `4 workers`. */
export function capacityText(group: SeenGroup): string {
  if (group.count === null) return sizeText(group)
  const newest = Math.max(0, ...group.processes.map((row) => row.generation))
  const serving = group.processes.filter((row) => row.state === 'serving')
  if (group.processes.some((row) => row.pid !== null && row.generation < newest))
    return `${slotsOf(serving.filter((row) => row.generation === newest))} of ${group.count} on generation ${newest}`
  const served = slotsOf(serving)
  return served < group.count ? `${served} of ${group.count} serve` : sizeText(group)
}

/** A group's open connections and requests a second, as far as they are known. */
export function trafficText(group: SeenGroup): string[] {
  const connections = sum(group.processes.map((row) => row.connections))
  const rate = sum(group.processes.map((row) => row.requestsPerSecond))
  return [
    ...(connections === null ? [] : [`${count(connections)} conn`]),
    ...(rate === null ? [] : [`${count(rate)} req/s`]),
  ]
}

/** The sum of what is known; null when nothing is. */
export function sum(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0)
}
