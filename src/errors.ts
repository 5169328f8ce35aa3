/**
 * The one error class of the project. Thrown by every part, shown by the command line as
 * `message` and, on a second line, `hint`. Never thrown for the other side's garbage on a wire.
 */

import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What went wrong, for programs. A user's own errors keep their own class. */
export type ErrorCode =
  | 'ERR_OPTION'
  | 'ERR_ADDRESS'
  | 'ERR_ADDRESS_IN_USE'
  | 'ERR_ADDRESS_DENIED'
  | 'ERR_USER'
  | 'ERR_START_FILE'
  | 'ERR_STATE_DIR'
  | 'ERR_ALREADY_RUNNING'
  | 'ERR_NOT_RUNNING'
  | 'ERR_NO_ANSWER'
  | 'ERR_USAGE'
  | 'ERR_WORKER_FAILED'
  | 'ERR_PLATFORM'
  | 'ERR_NODE_INTERNALS'
  | 'ERR_NOT_IN_WORKER'
  | 'ERR_CONNECT'
  | 'ERR_CONNECTION_CLOSED'
  | 'ERR_SEND_BUFFER_FULL'
  | 'ERR_MESSAGE_TOO_LARGE'
  | 'ERR_TIMEOUT'
  | 'ERR_ANSWERED'
  | 'ERR_TOO_LATE'
  | 'ERR_BAD_REQUEST'
  | 'ERR_BUS'

export interface ErrorDetails {
  hint?: string | undefined
  cause?: unknown
  facts?: Readonly<Record<string, unknown>>
}

/** An operating error: `code` for programs, `message` for people, `hint` says what to do about it. */
export class ShiftworkError extends Error {
  override readonly name = 'ShiftworkError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  /** What `--json` prints beside the error. */
  readonly facts: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.hint = details.hint
    this.facts = details.facts ?? {}
  }
}

/** A statement of a database, a whole answer: people put anything into a message. */
const MAX_MESSAGE = 4_096
const MAX_STACK = 32_768

/** The text of anything that was thrown: its stack with the whole chain of causes, or what it prints as; not without end. */
export function describeError(thrown: unknown): { message: string; stack: string } {
  const { message, stack } = describeChain(thrown, [])
  const short = shortened(message, MAX_MESSAGE)
  return {
    message: short,
    stack: shortened(message === short ? stack : stack.replaceAll(message, () => short), MAX_STACK),
  }
}

function shortened(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}… (${text.length - length} more characters)`
}

/** @param above the errors that this one is a cause of: a chain may be a circle. */
function describeChain(thrown: unknown, above: readonly unknown[]): { message: string; stack: string } {
  try {
    return describeOne(thrown, above)
  } catch {
    // user code may have given it members that throw
    const message = 'an error was thrown that cannot be shown'
    return { message, stack: message }
  }
}

function describeOne(thrown: unknown, above: readonly unknown[]): { message: string; stack: string } {
  if (!(thrown instanceof Error)) {
    const message = `a value that is no Error was thrown: ${printable(thrown)}`
    return { message, stack: message }
  }
  const stack = stackOf(thrown)
  const chain = [...above, thrown]
  const hasCause = thrown.cause !== undefined && !chain.includes(thrown.cause)
  const cause = hasCause ? `\n[cause] ${describeChain(thrown.cause, chain).stack}` : ''
  return { message: messageOf(thrown), stack: stack + hintOf(thrown) + cause }
}

/** By name: the start file may have been loaded with its own copy of this package. */
function hintOf(error: Error): string {
  return error.name === 'ShiftworkError' && 'hint' in error && error.hint !== undefined ? `\n${error.hint}` : ''
}

/** The package's own files, Node's and the TypeScript loader's, in a stack: nothing in them is the user's to mend. */
const OWN_FRAMES = dirname(fileURLToPath(import.meta.url))

function isForeignFrame(line: string): boolean {
  if (!/^\s+at /.test(line)) return true
  return !/\bnode:|\/node_modules\/(esbuild|tsx)\//.test(line) && !line.includes(OWN_FRAMES)
}

/** A stack that begins with the message also where a loader has left the message out of it. */
function stackOf(error: Error): string {
  const text = typeof error.stack === 'string' ? error.stack : ''
  const stack = text.split('\n').filter(isForeignFrame).join('\n')
  const message = messageOf(error)
  return stack.includes(message) ? stack : `${String(error.name)}: ${message}\n${stack}`
}

/** User code may have made a number or an object of it. */
function messageOf({ message }: { message: unknown }): string {
  return typeof message === 'string' ? message : printable(message)
}

function printable(value: unknown): string {
  try {
    return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  } catch {
    // a cycle, or a toJSON that throws: its type is all that can be said
    return Object.prototype.toString.call(value)
  }
}

/** The code of a system error (`ENOENT`), or undefined for anything else. */
export function systemCode(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined
  return typeof thrown.code === 'string' ? thrown.code : undefined
}
