/** Limits and times of one connection, as plain data. */

/** Limits and times of one connection. */
export interface ConnectionLimits {
  /** A message that is longer ends its connection. */
  maxMessageBytes: number
  /** While more than this waits to be sent, `send` drops. */
  maxSendBufferBytes: number
  /** A client from which nothing came for so long is disconnected; 0: never. */
  idleTimeoutMs: number
  heartbeat: Heartbeat | null
}

/** Keeps a connection alive, and finds out that the other side is gone. */
export interface Heartbeat {
  /** How often a silent client is asked for a sign of life. */
  everyMs: number
  /** How many times in a row it may give none before it is disconnected. */
  maxMissed: number
  /** What is sent; null: the ping of the protocol, where it has one. */
  data: unknown
}
