/** How the connection of a client is ended: with a code and a reason, where its protocol knows such. */
import type { Connection, WebSocketConnection } from '../../index.ts'

export function isWebSocket(connection: Connection): connection is WebSocketConnection {
  return 'closeWith' in connection
}

/** When everything that was sent is delivered. */
export function closeWith(connection: Connection, code: number, reason: string): void {
  if (isWebSocket(connection)) connection.closeWith(code, reason)
  else connection.close()
}
