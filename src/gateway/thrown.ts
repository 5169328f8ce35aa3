/** What was thrown, for people: where in their code, without the lines of this package. */
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { ShiftworkError } from '../index.ts'

const PACKAGE = dirname(dirname(fileURLToPath(import.meta.url)))

/** A chain of causes may be a circle. */
const MAX_CAUSES = 5

/**
 * With the lines of the stack that are the user's, the hint and the causes. What is thrown may be anything, and may throw
 * when it is looked at.
 */
export function thrownText(error: unknown): string {
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
