/** What the supervisor notices, in words: lines for the log. Pure. */

import { mixedText, rejectedText } from '../ipc/standing.ts'
import type { ReloadFailure, ReloadSummary, Scaled } from '../ipc/status.ts'
import { stopFaultText } from '../ipc/stopfault.ts'
import type { Log, LogFields } from '../log.ts'
import { endedText } from '../os/endcarriers.ts'
import { duration, firstLine, outOfDescriptors, plural, replacedText } from '../words.ts'
import type { Notice } from './notices.ts'
import { type Child, type Fleet, leavesEarly, slotKey, stopFaultOf } from './policy/fleet.ts'

export function logNotice(to: Log, notice: Notice, { now, fleet }: { now: number; fleet: Fleet }): void {
  const log = to.with(fieldsOf(notice))
  switch (notice.type) {
    case 'child':
      logChild(log, notice, { now, isTried: isTried(fleet, notice.child) })
      return
    case 'left':
      logLeft(log, notice, now)
      return
    case 'swept':
      logSwept(log, notice)
      return
    case 'kill':
      log.warn(`${who(notice.child)} killed: ${notice.why}`)
      return
    case 'leader':
      log.info(`${who(notice.child)} leads its group`)
      return
    case 'replace':
      logReplace(log, notice)
      return
    case 'descriptors':
      logDescriptors(log, notice)
      return
    case 'reload-began':
      log.info(notice.groups.length > 0 ? `reload of ${notice.groups.join(', ')}` : 'reload: no group is reloadable')
      return
    case 'reload-ended':
      logReload(log, notice.summary)
      return
    case 'scale-ended':
      logScale(log, notice.summary)
      return
    case 'listener':
      log.info(notice.what === 'bound' ? `holds ${notice.address}` : `let go of ${notice.address}`)
      return
    case 'gate':
      log.info(notice.what === 'began' ? `preReload runs: ${notice.text}` : `preReload │ ${notice.text}`)
      return
    case 'start-failed':
      log.error(`start failed: ${notice.failure ? describe(notice.failure) : 'unknown'}`)
      if (notice.isWaiting) log.info('waiting for a change')
      return
    case 'started':
      log.info('every worker serves')
      return
    case 'stopping':
      log.info('stopping')
      return
    case 'stopped':
      log.info('stopped')
      return
    case 'stats':
      return
  }
}

function logReload(log: Log, summary: ReloadSummary): void {
  const { result, durationMs, replaced, error, applied, needsRestart } = summary
  for (const change of applied) log.info(`applied: ${change}`)
  for (const change of needsRestart) log.warn(`needs a restart: ${change}`)
  const done = `reload ${result} after ${duration(durationMs)}, ${replacedText(replaced)}`
  if (result === 'done') {
    log.info(done)
    return
  }
  // the error comes once, and below it what now serves
  if (error) log.error(describe(error))
  if (result === 'failed') log.warn(`reload failed after ${duration(durationMs)}: nothing runs, waiting for a change`)
  else if (result === 'rejected') log.warn(`reload rejected after ${duration(durationMs)}: ${rejectedText(summary)}`)
  else log.warn(result === 'mixed' ? `${done}: ${mixedText(summary)}` : done)
}

function logScale(log: Log, { result, groups, durationMs, error }: Scaled): void {
  const changes = groups.map(({ name, from, to }) => `${name} ${from} → ${to}`).join(', ')
  const text = `${changes === '' ? 'scale' : `scale ${changes}`} ${result} after ${duration(durationMs)}`
  if (result === 'done') log.info(text)
  else log.warn(error ? `${text}: ${error.worker}: ${error.message}` : text)
}

function logSwept(log: Log, { child, ended }: Extract<Notice, { type: 'swept' }>): void {
  const text = `${who(child)} had left ${plural(ended.length, 'process', 'processes')} behind, ended: ${endedText(ended)}`
  if (ended.some(({ killed, isLeft }) => killed || isLeft)) log.warn(text)
  else log.info(text)
}

/** What a program would have to read out of the text. */
function fieldsOf(notice: Notice): LogFields {
  const event = notice.type === 'child' ? notice.what : notice.type
  if (notice.type === 'reload-ended' || notice.type === 'scale-ended')
    return { event, result: notice.summary.result, durationMs: Math.round(notice.summary.durationMs) }
  if (!('child' in notice)) return { event }
  const { name, id, pid, generation } = notice.child
  const exit = notice.type === 'left' ? { code: notice.code, signal: notice.signal } : {}
  return { event, worker: slotKey(name, id), pid, generation, ...exit }
}

/** A successor that has not served: if its reload fails by it, the end of the reload tells all of it. */
function isTried({ reload }: Fleet, child: Child): boolean {
  return child.servingAt === null && reload?.next.get(child.name) === child.generation
}

function logChild(
  log: Log,
  notice: Extract<Notice, { type: 'child' }>,
  { now, isTried }: { now: number; isTried: boolean },
): void {
  const { child, what, detail } = notice
  switch (what) {
    case 'serving':
      log.info(
        `${who(child)} serves generation ${child.generation}, ready in ${duration((child.preparedAt ?? now) - child.startedAt)}`,
      )
      return
    case 'draining':
      log.info(`${who(child)} drains (${detail ?? 'asked'})`)
      return
    case 'failed': {
      if (isTried) {
        log.warn(`${who(child)} failed, try ${child.attempt}: ${firstLine(detail ?? 'unknown')}`)
        return
      }
      const stack = child.failure?.stack ?? ''
      const more = stack !== '' && stack !== detail ? `\n${stack}` : ''
      log.error(`${who(child)} failed: ${detail ?? 'unknown'}${more}`)
      return
    }
    case 'spawned':
    case 'prepared':
      return
  }
}

function logReplace(log: Log, { child, why, detail }: Extract<Notice, { type: 'replace' }>): void {
  // it leaves already
  if (child.drainReason !== null) return
  const more = detail === null ? '' : `: ${detail}`
  if (why === 'unhealthy') log.warn(`${who(child)} is unhealthy, it will be replaced${more}`)
  else log.info(`${who(child)} is due for replacement (${why})${more}`)
}

function logDescriptors(log: Log, { child, what, use }: Extract<Notice, { type: 'descriptors' }>): void {
  if (what === 'full') log.warn(`${who(child)} ${outOfDescriptors(use)}: accepts nothing until it has some`)
  else log.info(`${who(child)} has file descriptors again (${use.used} of ${use.limit} in use): accepts`)
}

function logLeft(log: Log, notice: Extract<Notice, { type: 'left' }>, now: number): void {
  const { child } = notice
  const { report } = child
  const how = notice.signal ? `by ${notice.signal}` : `with code ${notice.code ?? 'unknown'}`
  const after = report && child.drainAt !== null ? ` after ${duration(now - child.drainAt)} of drain` : ''
  if (child.hasParted) log.warn(`${who(child)} left ${how}; it could not say what became of its connections`)
  else if (leavesEarly(child)) log.warn(`${who(child)} left ${how} before its drain was over${openText(child)}`)
  else log.info(`${who(child)} left ${how}${after}`)
  if (!report) return
  if (report.connectionsCut > 0)
    log.warn(`${who(child)} cut ${plural(report.connectionsCut, 'connection')}: ${report.cut.join('; ')}`)
  const fault = stopFaultOf(child)
  if (fault) log.warn(stopFaultText(fault))
}

/** What a worker of its own signal handler had closed is not lost, and what one had that was killed is not known. */
function openText({ openAtEnd }: Child): string {
  if (openAtEnd === 0) return ', with no connection open'
  if (openAtEnd === null) return ': what it may still have had open is lost'
  return `, with ${plural(openAtEnd, 'connection')} open: what was under way there is lost`
}

function who(child: Child): string {
  return `${slotKey(child.name, child.id)} (pid ${child.pid})`
}

/** One worker's failure for a log: its message, stack and last lines. */
function describe(failure: ReloadFailure): string {
  const output = failure.output === '' ? '' : `\nits last output:\n${indent(failure.output)}`
  const message = failure.stack.includes(failure.message) ? firstLine(failure.message) : failure.message
  return `${failure.worker}: ${message}\n${failure.stack}${output}`
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
}
