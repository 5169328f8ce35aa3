/**
 * What the user has set on a Gateway or a BusinessWorker: a hook that is none, or a property that these do not have, would
 * do nothing, in silence.
 */
import { ShiftworkError } from '../index.ts'

/**
 * @param owner the beginning of the sentence.
 * @throws ShiftworkError `ERR_OPTION` for what is no function: most likely a name that the business code does not export.
 */
export function checkHooks(owner: string, hooks: Readonly<Record<string, unknown>>): void {
  for (const [name, hook] of Object.entries(hooks)) {
    if (hook === null || typeof hook === 'function') continue
    throw new ShiftworkError('ERR_OPTION', `${owner}: ${name} is ${hook === undefined ? 'undefined' : typeof hook}`, {
      hint: 'Set it to a function, or to null. Does the file that it comes from export it?',
    })
  }
}

/** @throws ShiftworkError `ERR_OPTION` when none of them is set: every event would be taken, and nothing done. */
export function demandHook(owner: string, hooks: Readonly<Record<string, unknown>>): void {
  if (Object.values(hooks).some((hook) => hook !== null)) return
  throw new ShiftworkError('ERR_OPTION', `${owner} handles nothing`, {
    hint: `Set ${Object.keys(hooks).join(', ')} or some of them, in onWorkerStart or before runAll().`,
  })
}

const HOOK = /^on[A-Z]/

/** Whose properties those are, for people. */
export interface Owner {
  /** Its class. */
  readonly name: string
  /** What it has. */
  readonly known: ReadonlySet<string>
  /** How it gets options. */
  readonly constructed: string
  /** Where other hooks stand. */
  readonly elsewhere: string
}

/** Before anything runs. @throws ShiftworkError `ERR_OPTION` for whatever it does not have. */
export function checkProperties(subject: object, owner: Owner): void {
  for (const name of Object.keys(subject)) if (!owner.known.has(name)) refuse(name, owner)
}

/**
 * When `onWorkerStart` has settled: what user code keeps there is its own business by then.
 * @throws ShiftworkError `ERR_OPTION` for what nothing but a hook can be.
 */
export function checkHookNames(subject: object, owner: Owner): void {
  for (const [name, value] of Object.entries(subject))
    if (isHookName(name, owner) && typeof value === 'function' && !owner.known.has(name)) refuse(name, owner)
}

/** Written as one, or as a known one but for its capitals; `once` and `onlineUsers` are words. */
function isHookName(name: string, { known }: Pick<Owner, 'known'>): boolean {
  return HOOK.test(name) || hooksIn(known).some((hook) => hook.toLowerCase() === name.toLowerCase())
}

function hooksIn(known: ReadonlySet<string>): string[] {
  return [...known].filter((name) => HOOK.test(name))
}

function refuse(name: string, described: Owner): never {
  const { name: owner, known, constructed, elsewhere } = described
  const hooks = hooksIn(known).join(', ')
  if (isHookName(name, described))
    throw new ShiftworkError('ERR_OPTION', `${owner}: ${name} is no hook of it`, {
      hint: `Its hooks are ${hooks}. ${elsewhere}`,
    })
  throw new ShiftworkError('ERR_OPTION', `${owner}: ${name} is no property of it`, {
    hint: `Options are given to the constructor: ${constructed}.`,
  })
}
