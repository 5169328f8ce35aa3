/** Hooks of a connection that are told what has happened: their failure ends nothing, and is a line of the log. */
import { describeError } from '../errors.ts'
import { settlingOf } from '../settling.ts'

/** Calls it. Neither what it throws nor what it rejects with goes any further. */
export function callLate(workerId: number, name: string, hook: () => unknown): void {
  const failed = (error: unknown): void => report(workerId, `${name} threw: ${describeError(error).stack}`)
  try {
    settlingOf(hook())?.catch(failed)
  } catch (error) {
    failed(error)
  }
}

/** A line about a worker's connection. */
export function report(workerId: number, what: string): void {
  console.error(`shiftwork: worker ${workerId}: ${what}`)
}
