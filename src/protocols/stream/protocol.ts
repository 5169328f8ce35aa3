/**
 * The one interface of every protocol that cuts a stream of bytes into messages: `text`, `frame`, `tcp`
 * itself, and those of users. What a connection has read and not yet understood is in its `ParseState`.
 */
import type { Connection } from '../connection.ts'

/**
 * How messages stand in a stream, after Workerman's protocol interface.
 * A throw of any of the three costs this connection its life, and nobody else anything.
 */
export interface Protocol<Message = unknown, Sent = Message> {
  /** Any number of bytes is a message, so that `maxMessageBytes` is no limit. Default false. */
  readonly isUnbounded?: boolean
  /**
   * How many bytes the first message in `buffer` takes, its head and tail included; 0: that cannot be told
   * yet. More than there are is fine: it is asked again only when they have come.
   * @param buffer what has come and belongs to no message yet; at least one byte.
   * @param seen how many of these bytes it has been asked about before: there is no need to search them again.
   */
  input(buffer: Buffer, connection: Connection<Sent>, seen: number): number
  /** @param bytes exactly one message, as `input` has measured it. */
  decode(bytes: Buffer, connection: Connection<Sent>): Message
  /** What `connection.send(value)` puts on the wire; text is sent as UTF-8. */
  encode(value: Sent, connection: Connection<Sent>): string | Uint8Array
}
