/** What it means that a link cannot be opened. */
import { ShiftworkError } from '../../index.ts'

/** Nobody listens there: the gateway is dead. */
export function isRefused(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return code === 'ECONNREFUSED' || code === 'ENOENT'
}

/** It has closed a link before it was open. */
export function isCut(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return code === 'ERR_CONNECTION_CLOSED' || code === 'ECONNRESET' || code === 'EPIPE'
}

/** For people. */
export function describe(gateway: string, error: unknown): string {
  if (error instanceof ShiftworkError) return `${error.message}. ${error.hint ?? ''}`.trimEnd()
  return `there is no link to the gateway ${gateway}: ${(error as Error).message}`
}
