/** What the supervisor notices, in words: lines for the log, and progress for whoever asked. Pure. */

import type { Progress } from '../ipc/messages.ts'
import type { ReloadFailure } from '../ipc/status.ts'
import type { Log } from '../log.ts'
import { duration, plural } from '../words.ts'
import type { Child } from './fleet.ts'
import { slotKey } from './fleet.ts'
import type { Notice } from './supervisor.ts'

export function logNotice(log: Log, notice: Notice, now: number): void {
  switch (notice.type) {
    case 'child':
      logChild(log, notice, now)
      return
    case 'left':
      logLeft(log, notice, now)
      return
    case 'kill':
      log.warn(`${who(notice.child)} killed: ${notice.why}`)
      return
    case 'leader':
      log.info(`${who(notice.child)} leads its group`)
      return
    case 'reload-began':
      log.info(notice.groups.length > 0 ? `reload of ${notice.groups.join(', ')}` : 'reload: no group is reloadable')
      return
    case 'reload-ended': {
      const { result, durationMs, replaced, error } = notice.summary
      const done = `reload ${result} after ${duration(durationMs)}, ${plural(replaced.length, 'worker')} replaced`
      if (result === 'done') log.info(done)
      else log.warn(error ? `${done}: ${error.worker}: ${error.message}` : done)
      return
    }
    case 'start-failed':
      log.error(`start failed: ${notice.failure ? describe(notice.failure) : 'unknown'}`)
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

function logChild(log: Log, notice: Extract<Notice, { type: 'child' }>, now: number): void {
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
      const stack = child.failure?.stack ?? ''
      const more = stack !== '' && stack !== detail ? `\n${indent(stack)}` : ''
      log.error(`${who(child)} failed: ${detail ?? 'unknown'}${more}`)
      return
    }
    case 'spawned':
    case 'prepared':
      return
  }
}

function logLeft(log: Log, notice: Extract<Notice, { type: 'left' }>, now: number): void {
  const { child } = notice
  const { report } = child
  const how = notice.signal ? `by ${notice.signal}` : `with code ${notice.code ?? 'unknown'}`
  const after = report && child.drainAt !== null ? ` after ${duration(now - child.drainAt)} of drain` : ''
  log.info(`${who(child)} left ${how}${after}`)
  if (!report) return
  if (report.connectionsCut > 0)
    log.warn(`${who(child)} cut ${plural(report.connectionsCut, 'connection')}: ${report.cut.join('; ')}`)
  if (report.hookUnfinished) log.warn(`${who(child)} left before its onWorkerStop had settled`)
}

function who(child: Child): string {
  return `${slotKey(child.name, child.id)} (pid ${child.pid})`
}

/** One worker's failure for a log: its message, stack and last lines. */
function describe(failure: ReloadFailure): string {
  const output = failure.output === '' ? '' : `\n  its last output:\n${indent(failure.output)}`
  return `${failure.worker}: ${failure.message}\n${indent(failure.stack)}${output}`
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
}

/** The line that an operation's asker gets for this notice, or null. */
export function progressOf(notice: Notice, now: number): Progress | null {
  if (notice.type !== 'child' && notice.type !== 'left') return null
  const { child } = notice
  const state = notice.type === 'left' ? leftState(child) : stateOf(notice.what)
  if (state === null) return null
  const since = state === 'left' ? (child.drainAt ?? now) : child.startedAt
  return {
    type: 'progress',
    name: child.name,
    id: child.id,
    state,
    pid: child.pid,
    generation: child.generation,
    ms: Math.round(now - since),
    detail: notice.type === 'child' ? notice.detail : null,
  }
}

/** A child that failed has said so already. */
function leftState(child: Child): Progress['state'] | null {
  return child.drainReason === null || child.drainReason === 'crash' ? null : 'left'
}

function stateOf(what: Extract<Notice, { type: 'child' }>['what']): Progress['state'] {
  return what === 'spawned' ? 'starting' : what
}
