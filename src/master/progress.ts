/** What the supervisor notices, as lines of progress for whoever waits for an operation. Pure. */
import type { HookOutput, Progress } from '../ipc/messages.ts'
import type { Notice } from './notices.ts'
import type { Child } from './policy/fleet.ts'

/** The line that an operation's asker gets for this notice, or null. */
export function progressOf(notice: Notice, now: number): Progress | HookOutput | null {
  if (notice.type === 'gate') {
    const text = notice.what === 'began' ? `$ ${notice.text}` : notice.text
    return { type: 'output', source: 'preReload', text }
  }
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
    hasServed: child.servingAt !== null,
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
