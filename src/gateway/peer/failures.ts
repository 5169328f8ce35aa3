/** What it means that a link cannot be opened. */
import { ShiftworkError } from '../../index.ts'

/** Nobody listens there: the gateway is dead. */
export function isRefused(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return code === 'ECONNREFUSED' || code === 'ENOENT'
}

/** For people. */
export function describe(gateway: string, error: unknown): string {
  if (error instanceof ShiftworkError) return `${error.message}. ${error.hint ?? ''}`.trimEnd()
  return `there is no link to the gateway ${gateway}: ${(error as Error).message}`
}
