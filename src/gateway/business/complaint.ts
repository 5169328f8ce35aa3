/** What people read when a hook of theirs has thrown: which one, for whom, and where. */
import { thrownText } from '../thrown.ts'
import type { EventKind } from '../wire/records.ts'

const HOOKS = {
  connect: 'onConnect',
  text: 'onMessage',
  bytes: 'onMessage',
  close: 'onClose',
  error: 'onError',
} as const satisfies Record<EventKind | 'error', string>

/** @param what the event whose hook it was, or `error`: that of `onError` itself. */
export function complaint(what: keyof typeof HOOKS, clientId: string, error: unknown): string {
  return `shiftwork: ${HOOKS[what]} of client ${clientId} threw: ${thrownText(error)}`
}
