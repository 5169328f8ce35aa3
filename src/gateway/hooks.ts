/** Hooks as the user has set them, when `onWorkerStart` has settled: one that is there and is none would be silence. */
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
