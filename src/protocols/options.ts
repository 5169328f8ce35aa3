/** The options of connections, whoever opens them: a Worker, `listen` or `connect`. Types only; `spec` checks them. */
import type { Protocol } from './stream/protocol.ts'
import type { WebSocketChoice } from './websocket/websocket-options.ts'

export interface ConnectionOptions<Message = unknown, Sent = unknown> {
  /**
   * The longest message, as it is on the wire; over HTTP the longest body. A longer one ends its connection, over
   * HTTP with 413. Default 10 MiB.
   */
  maxMessageBytes?: number
  /** While more than this waits to be sent on a connection, `send` drops. Default 1 MiB. */
  maxSendBufferBytes?: number
  /** Another side from which nothing came for so long is disconnected. Default 0 ms: never. */
  idleTimeoutMs?: number
  /**
   * Another side from which nothing came for `everyMs` is sent a ping, or `data` where the protocol has no ping; after
   * `maxMissed` (2) in a row without an answer it is disconnected. Default: none.
   */
  heartbeat?: { everyMs: number; maxMissed?: number; data?: NoInfer<Sent> }
  /** For `websocket://` and `wss://`. */
  webSocket?: WebSocketChoice
  /** A protocol of your own on top of `tcp://`, `tls://` or `tcp+unix://`. */
  protocol?: Protocol<Message, Sent>
}
