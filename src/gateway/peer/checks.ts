/** The arguments of commands, checked before anything is sent: what is wrong is one sentence, and nothing is done. */
import { ShiftworkError } from '../../index.ts'
import { MAX_DATA_BYTES, MAX_TIMER_MS } from '../options.ts'
import type { PageOptions } from '../types.ts'

const DEFAULT_LIMIT = 1_000
const MAX_LIMIT = 10_000
/** Of a uid or the name of a group. A page of the longest ones fits into a packet. */
const MAX_NAME_BYTES = 512
const NORMAL_CLOSE = 1000
const MAX_REASON_BYTES = 123

/** Each throws a ShiftworkError `ERR_OPTION`, `checkData` also `ERR_MESSAGE_TOO_LARGE`. */
export function checkId(id: unknown): void {
  if (typeof id !== 'string') throw wrong(`The id of a client is text, not ${kindOf(id)}`)
}

/** One, or several. */
export function checkIds(ids: unknown): void {
  for (const id of Array.isArray(ids) ? (ids as unknown[]) : [ids]) checkId(id)
}

export function checkData(data: unknown): void {
  if (typeof data !== 'string' && !(data instanceof Uint8Array))
    throw wrong(`Only text and bytes can be sent, not ${kindOf(data)}`, 'Send an object as JSON.stringify(object).')
  const byteLength = typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength
  if (byteLength <= MAX_DATA_BYTES) return
  throw new ShiftworkError(
    'ERR_MESSAGE_TOO_LARGE',
    `A message has ${byteLength} bytes, at most ${MAX_DATA_BYTES} are sent`,
    { hint: 'Send it in parts.' },
  )
}

export function checkName(what: 'uid' | 'group', name: unknown): void {
  if (typeof name !== 'string') throw wrong(`A ${what} is text, not ${kindOf(name)}`)
  if (name === '') throw wrong(`A ${what} is text, and not empty`)
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw wrong(`A ${what} has at most ${MAX_NAME_BYTES} bytes`)
}

/** One, or several, or an empty list. What is undefined by mistake must not mean everybody. */
export function checkNames(what: 'uid' | 'group', names: unknown): void {
  for (const name of Array.isArray(names) ? (names as unknown[]) : [names]) checkName(what, name)
}

export function checkWhere(where: unknown): void {
  if (typeof where !== 'object' || where === null) throw wrong(`Which clients is said as { group } or { uid }`)
  for (const [what, names] of Object.entries(where)) {
    if (what !== 'uid' && what !== 'group') throw wrong(`Clients are not found by ${what}, but by uid or group`)
    checkNames(what, names)
  }
}

export function checkFields(fields: unknown): void {
  if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return
  throw wrong(`A session is changed by an object of fields, not ${kindOf(fields)}`)
}

export function checkClose(code: unknown, reason: unknown): void {
  const isCode = code === NORMAL_CLOSE || (Number.isInteger(code) && Number(code) >= 4000 && Number(code) <= 4999)
  if (!isCode) throw wrong('A close code is 1000, or from 4000 to 4999')
  if (typeof reason !== 'string' || Buffer.byteLength(reason) > MAX_REASON_BYTES)
    throw wrong(`A close reason is text of at most ${MAX_REASON_BYTES} bytes`)
}

/** Undefined, or an object that has no other members. What is said in another form would be left out in silence. */
export function checkOptions(options: unknown, names: readonly string[]): void {
  if (options === undefined) return
  const known = `Say them as { ${names.join(', ')} }.`
  if (typeof options !== 'object' || options === null || Array.isArray(options) || options instanceof Uint8Array)
    throw wrong(`The options of a command are an object, not ${kindOf(options)}`, known)
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const unknown = given.map(([name]) => name).find((name) => !names.includes(name))
  if (unknown !== undefined) throw wrong(`A command has an unknown option "${unknown}"`, known)
}

/** @returns how many entries a page has. */
export function checkLimit(page: PageOptions): number {
  checkOptions(page, ['limit', 'after'])
  const { limit = DEFAULT_LIMIT, after } = page
  if (after !== undefined && typeof after !== 'string') throw wrong('A page comes after `next` of the one before')
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw wrong(`A page has from 1 to ${MAX_LIMIT} entries`)
}

export function checkDeadline(what: string, deadlineMs: unknown): void {
  if (Number.isInteger(deadlineMs) && Number(deadlineMs) >= 1 && Number(deadlineMs) <= MAX_TIMER_MS) return
  throw wrong(`${what} is ${String(deadlineMs)}`, `It must be a whole number from 1 to ${MAX_TIMER_MS}.`)
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

function wrong(message: string, hint?: string): ShiftworkError {
  return new ShiftworkError('ERR_OPTION', message, { hint })
}
