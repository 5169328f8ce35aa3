/** Hooks of a connection that are told what has happened: their failure ends nothing, and is a line of the output. */
import { describeError } from '../errors.ts'
import { settlingOf } from '../settling.ts'
import { type Reporting, report } from './report.ts'

/** Calls it. Neither what it throws nor what it rejects with goes any further. */
export function callLate(worker: Reporting, name: string, hook: () => unknown): void {
  const failed = (error: unknown): void => report(worker, `${name} threw: ${describeError(error).stack}`)
  try {
    settlingOf(hook())?.catch(failed)
  } catch (error) {
    failed(error)
  }
}
