/** The start banner, `status`, and a reload's summary as lines of text. Pure: data and colours in, lines out. */
import { mixedText, rejectedText } from '../ipc/standing.ts'
import type {
  Figures,
  ReloadPlan,
  ReloadSummary,
  SeenGroup,
  SeenProcess,
  SeenStatus,
  Status,
  StopFault,
} from '../ipc/status.ts'
import { stopFaultTexts } from '../ipc/stopfault.ts'
import { printable } from '../log.ts'
import { duration, firstLine, plural, replacedText } from '../words.ts'
import { bytes, type Column, count, tableLines } from './table.ts'
import { describeFailure, type Paint } from './terminal.ts'
import { fitText, withoutControl } from './text.ts'

/** The groups of a master that has just bound its listeners. */
export function bannerLines(status: Status, version: string, paint: Paint): string[] {
  const { master } = status
  const columns = ['WORKER', 'LISTEN', 'COUNT', 'RELOADABLE', 'USER'].map((title) => ({ title }))
  const rows = status.groups.map((group) => [
    group.name,
    group.listen[0] ?? 'nothing',
    String(group.count),
    group.reloadable ? 'yes' : 'no',
    group.user ?? '',
  ])
  const [head = '', ...body] = tableLines(columns, rows)
  return [
    `${paint.bold('Shiftwork')} ${version}  master ${master.pid}  Node.js ${master.node}`,
    paint.dim(head),
    ...body.map((line) => line),
    ...metricsLines(status, paint),
  ]
}

function metricsLines({ master }: SeenStatus, paint: Paint): string[] {
  return master.metrics === null ? [] : [paint.dim(`metrics ${master.metrics}`)]
}

export const STATUS_COLUMNS: readonly Column[] = [
  { title: 'ID', align: 'right', steadyWidth: 2 },
  { title: 'PID', align: 'right', steadyWidth: 5, rank: 1 },
  { title: 'STATE', steadyWidth: 12 },
  { title: 'GEN', align: 'right', steadyWidth: 3, rank: 3 },
  { title: 'UP', steadyWidth: 9, rank: 7 },
  { title: 'MEM', align: 'right', steadyWidth: 6, rank: 5 },
  { title: 'CPU', align: 'right', steadyWidth: 4, rank: 4 },
  { title: 'CONN', align: 'right', steadyWidth: 4, rank: 6 },
  { title: 'REQ/S', align: 'right', steadyWidth: 6, rank: 2 },
  { title: 'TOTAL', align: 'right', steadyWidth: 6, rank: 9 },
  { title: 'LAG', align: 'right', steadyWidth: 5, rank: 8 },
]

/** @param options `columns`: how wide the lines of figures may be; the others fit 80. Default: without a limit. */
export function statusLines(
  status: SeenStatus,
  nowMs: number,
  paint: Paint,
  { columns = Number.POSITIVE_INFINITY }: { columns?: number | undefined } = {},
): string[] {
  const { master } = status
  const head = [
    `${paint.bold('Shiftwork')} ${stateText(master.state, paint)}`,
    `master ${master.pid}`,
    ...(master.startedAt === null ? [] : [`up ${duration(nowMs - Date.parse(master.startedAt))}`]),
    ...(master.rssBytes === null ? [] : [bytes(master.rssBytes)]),
    ...(master.node === null ? [] : [`Node.js ${master.node}`]),
  ]
  return [
    head.join('  '),
    paint.dim(withoutControl(master.entry)),
    ...metricsLines(status, paint),
    ...status.groups.flatMap((group) => ['', ...groupLines(group, nowMs, { columns, paint })]),
    ...lastReloadLines(status.lastReload, paint),
    ...master.warnings.map((warning) => `${paint.yellow('warning')} ${printable(warning)}`),
  ]
}

function groupLines(group: SeenGroup, nowMs: number, width: Width): string[] {
  const { paint } = width
  const title = [
    paint.bold(group.name),
    ...(group.listen === null ? [] : [addressText(group)]),
    sizeText(group),
    ...(group.reloadable === false ? ['kept in reloads'] : []),
    ...(group.user === null ? [] : [`as ${group.user}`]),
    ...(group.state === null ? [] : [stateText(group.state, paint)]),
  ].join('  ')
  const rows = group.processes.map((row) => processCells(row, nowMs, paint))
  const [head = '', ...lines] = tableLines(STATUS_COLUMNS, rows)
  const table = rows.length === 0 ? [] : [paint.dim(head), ...lines].map((line) => `  ${line}`)
  return [title, ...table, ...figureLines(group.name, group.processes, width), ...exitLines(group, paint)]
}

/** Where a group is reached, or was until it stopped; empty where that is not known. */
export function addressText({ listen, closed }: SeenGroup): string {
  if (listen === null) return ''
  const last = closed?.[0]
  return listen[0] ?? (last === undefined ? 'no listener' : `${last} closed`)
}

/** How many workers it ought to have; where that is not known, how many processes it has. */
export function sizeText({ count, processes }: SeenGroup): string {
  return count === null ? plural(processes.length, 'process', 'processes') : plural(count, 'worker')
}

/** What stands below `STATUS_COLUMNS`. */
export function processCells(row: SeenProcess, nowMs: number, paint: Paint): string[] {
  return [
    String(row.id),
    row.pid === null ? '' : String(row.pid),
    stateText(row.state, paint) + (row.leader ? paint.dim(' lead') : ''),
    String(row.generation),
    row.startedAt === null ? '' : duration(nowMs - Date.parse(row.startedAt)),
    bytes(row.rssBytes),
    row.cpuPercent === null ? '' : `${row.cpuPercent.toFixed(0)}%`,
    count(row.connections),
    count(row.requestsPerSecond),
    count(row.requests),
    row.eventLoopDelayMs === null ? '' : `${row.eventLoopDelayMs.toFixed(0)}ms`,
  ]
}

/** What the user's code says of its processes: a line for each that says something, at most so wide. */
export function figureLines(name: string, rows: readonly SeenProcess[], { columns, paint }: Width): string[] {
  return rows.flatMap(({ id, figures }) => {
    const parts = Object.entries(figures ?? {}).map(([figure, value]) => {
      return `${paint.dim(withoutControl(figure))} ${withoutControl(figureText(value))}`
    })
    return parts.length === 0 ? [] : [fitText([`  ${name}/${id}`, ...parts].join('  '), columns)]
  })
}

interface Width {
  columns: number
  paint: Paint
}

/** A number that is not whole has six digits: more is noise. */
function figureText(value: Figures[string]): string {
  const isLong = typeof value === 'number' && !Number.isInteger(value)
  return String(isLong ? Number(value.toPrecision(6)) : value)
}

/** Why the processes of slots ended that crashed or are empty: once for a slot, whose processes all say it. */
export function exitLines(group: SeenGroup, paint: Paint): string[] {
  const exits = group.processes.filter(
    (row) => row.lastExit !== null && (row.restarts ?? 0) + Number(row.pid === null) > 0,
  )
  return [...new Map(exits.map((row) => [row.id, row])).values()].map((row) => exitLine(row, paint))
}

function exitLine(row: SeenProcess, paint: Paint): string {
  const { lastExit, restarts } = row
  if (!lastExit) return ''
  const crashes = restarts ? `${paint.yellow(plural(restarts, 'crash', 'crashes'))}, ` : ''
  const at = `${lastExit.at.slice(0, 19).replace('T', ' ')} UTC`
  return `  ${row.id}: ${crashes}${paint.dim(`last exit ${at}: ${withoutControl(firstLine(lastExit.reason))}`)}`
}

/** A state in the colour of what it means; null: it is not known. */
export function stateText(state: string | null, paint: Paint): string {
  if (state === null) return paint.dim('?')
  if (['running', 'serving', 'ok'].includes(state)) return paint.green(state)
  if (['backoff', 'frozen', 'hung', 'mixed'].includes(state)) return paint.red(state)
  return paint.yellow(state)
}

function lastReloadLines(reload: ReloadSummary | null, paint: Paint): string[] {
  if (!reload) return []
  const error = reload.error ? `: ${reload.error.worker}: ${withoutControl(firstLine(reload.error.message))}` : ''
  return ['', `last reload ${resultText(reload, paint)} in ${duration(reload.durationMs)}${error}`]
}

/** `done`, or what else became of a reload, in its colour. */
export function resultText(reload: ReloadSummary, paint: Paint): string {
  return reload.result === 'done' ? paint.green('done') : paint.red(reload.result)
}

/** What a reload came to: one line when all is well, the worker's own error when not. */
export function reloadLines(reload: ReloadSummary, paint: Paint): string[] {
  const lines: string[] = []
  if (reload.error) lines.push(describeFailure(reload.error, paint), '')
  lines.push(`reload ${resultText(reload, paint)} in ${duration(reload.durationMs)}: ${outcome(reload)}`)
  const cut = reload.replaced.reduce((sum, row) => sum + row.connectionsCut, 0)
  if (cut > 0) lines.push(`${paint.yellow('warning')} ${plural(cut, 'connection')} cut at the deadline (see the log)`)
  const killed = reload.replaced.filter((row) => row.killed).length
  if (killed > 0)
    lines.push(`${paint.yellow('warning')} ${plural(killed, 'worker')} killed at the deadline, with what they had open`)
  const early = reload.replaced.filter((row) => row.leftEarly).length
  if (early > 0)
    lines.push(`${paint.yellow('warning')} ${plural(early, 'worker')} left before the drain was over (see the log)`)
  lines.push(
    ...stopFaultLines(
      reload.replaced.flatMap((row) => row.stopFault ?? []),
      paint,
    ),
  )
  for (const change of reload.applied) lines.push(`${paint.green('applied')} ${change}`)
  for (const difference of reload.needsRestart) lines.push(`${paint.yellow('needs a restart')} ${difference}`)
  return lines
}

/** A warning for each kind of what workers left undone in `onWorkerStop`. */
export function stopFaultLines(faults: readonly StopFault[], paint: Paint): string[] {
  return stopFaultTexts(faults).map((text) => `${paint.yellow('warning')} ${withoutControl(text)}`)
}

/** What `reload --dry-run` has found out: what would be done, in order. */
export function planLines(plan: ReloadPlan, paint: Paint): string[] {
  const lines: string[] = []
  if (plan.error) lines.push(describeFailure(plan.error, paint), '')
  if (plan.preReload !== null) lines.push(`runs      ${plan.preReload}`)
  for (const [index, stage] of plan.stages.entries()) {
    const groups = stage.map((row) => {
      const how = row.isNew ? 'new' : `${row.surge} at a time`
      return `${row.name} (${plural(row.count, 'worker')}, ${how})`
    })
    lines.push(`${index === 0 ? 'replaces' : 'then    '}  ${groups.join(', ')}`)
  }
  if (plan.kept.length > 0) lines.push(`keeps     ${plan.kept.join(', ')}`)
  for (const change of plan.applied) lines.push(`${paint.green('applies')}   ${change}`)
  for (const change of plan.needsRestart) lines.push(`${paint.yellow('needs a restart')} ${change}`)
  const verdict = plan.result === 'possible' ? paint.green('possible') : paint.red('would be rejected')
  return [...lines, `${plan.strategy} reload ${verdict}: nothing was touched`]
}

/** What a reload has changed, in words. */
export function outcome(reload: ReloadSummary): string {
  const kept = reload.kept.length > 0 ? `, kept ${reload.kept.join(', ')}` : ''
  switch (reload.result) {
    case 'done':
      return `${replacedText(reload.replaced)}, generation ${reload.generation}${kept}`
    case 'rejected':
      return rejectedText(reload)
    case 'cancelled':
      return 'the master was stopped'
    case 'failed':
      return 'nothing runs, the master waits for a change'
    case 'mixed':
      return mixedText(reload)
  }
}
