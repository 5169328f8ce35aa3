/** What people read of an event that is given to no worker any more: whose it was, since nothing else says that. */
import type { ClientEvent } from './line.ts'
import type { HubClient } from './model.ts'

export function describeFatal({ id }: Pick<HubClient, 'id'>, event: ClientEvent): string {
  const lost = `${event.losses} business workers were lost`
  switch (event.kind) {
    case 'connect':
      return `client ${id} is sent away: ${lost} in its onConnect`
    case 'close':
      return `onClose of client ${id} is not called again: ${lost} in it`
    case 'text':
    case 'bytes':
      return `a message of client ${id} is dropped (${event.bytes.byteLength} bytes): ${lost} in its onMessage`
  }
}
