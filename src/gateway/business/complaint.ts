/** What people read when a hook of theirs has thrown: which one, for whom, and where, without the lines of this package. */
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { ShiftworkError } from '../../index.ts'
import type { EventKind } from '../wire/records.ts'

const HOOKS = {
  connect: 'onConnect',
  text: 'onMessage',
  bytes: 'onMessage',
  close: 'onClose',
  error: 'onError',
} as const satisfies Record<EventKind | 'error', string>

const PACKAGE = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** A chain of causes may be a circle. */
const MAX_CAUSES = 5

/** @param what the event whose hook it was, or `error`: that of `onError` itself. */
export function complaint(what: keyof typeof HOOKS, clientId: string, error: unknown): string {
  return `shiftwork: ${HOOKS[what]} of client ${clientId} threw: ${textOrNone(error)}`
}

/** What is thrown may be anything, and may throw when it is looked at. */
function textOrNone(error: unknown): string {
  try {
    return textOf(error)
  } catch {
    // as little as is certain
    return 'something that cannot be shown'
  }
}

function textOf(error: unknown, depth = 0): string {
  if (!(error instanceof Error)) return inspect(error)
  // user code may have made an array of it (Error.prepareStackTrace)
  const frames = (typeof error.stack === 'string' ? error.stack : String(error)).split('\n').filter(isForTheUser)
  const hint = error instanceof ShiftworkError && error.hint !== undefined ? [error.hint] : []
  const hasCause = error.cause !== undefined && depth < MAX_CAUSES
  const cause = hasCause ? [`[cause] ${textOf(error.cause, depth + 1)}`] : []
  return [...frames, ...hint, ...cause].join('\n')
}

/** Nothing in the package's own frames and in Node's is the user's to mend. */
function isForTheUser(line: string): boolean {
  return !/^\s+at /.test(line) || !(line.includes(PACKAGE) || /\bnode:/.test(line))
}
