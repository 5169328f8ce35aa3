/** What is agreed in the handshake of a WebSocket: as the user chooses it, and with everything in its place. */
import { CONNECTION_DEFAULTS } from '../../spec/connections.ts'

/** As it is written in the options. */
export interface WebSocketChoice {
  /** The subprotocols that are spoken, the best first: the first that a client offers is agreed on. Default: none. */
  protocols?: string[]
  /**
   * Messages of `thresholdBytes` (1 024) or more are compressed where the client can (permessage-deflate, each message
   * by itself). It costs processor time, and memory for each connection that uses it. Default false.
   */
  compression?: boolean | { thresholdBytes?: number }
}

/** What is agreed in the handshake of a WebSocket. */
export interface WebSocketOptions {
  /** Subprotocols, the best first. */
  readonly protocols: readonly string[]
  /** Null: none. Shorter messages than this are sent as they are. */
  readonly compression: { readonly thresholdBytes: number } | null
}

/** What was checked, and what is not said. */
export function webSocketOf({ protocols = [], compression = false }: WebSocketChoice = {}): WebSocketOptions {
  const { thresholdBytes = CONNECTION_DEFAULTS.thresholdBytes } = typeof compression === 'object' ? compression : {}
  return { protocols, compression: compression ? { thresholdBytes } : null }
}
