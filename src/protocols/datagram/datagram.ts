/**
 * One datagram as hooks see it: a connection to its sender that lives for as long as somebody keeps it.
 * It has no beginning and no end, so what would open, close, pause or part with a connection does nothing,
 * and `send` is one datagram back. Two datagrams of one sender are two connections, handled at the same time.
 */
import type { RemoteInfo } from 'node:dgram'
import { ShiftworkError } from '../../errors.ts'
import { complainSparsely } from '../complaints.ts'
import { Connection, type Owner } from '../connection.ts'
import type { ConnectionState } from '../connection-state.ts'

/** The socket that all datagrams of a process come by, and go by. */
export interface Wire {
  readonly localAddress: string
  readonly localPort: number
  /** What was sent and the kernel has not taken yet. */
  readonly queuedBytes: number
  /** @param done called when the kernel has it, or will not take it. */
  send(bytes: Uint8Array, to: Sender, done: (error: Error | null) => void): void
  /** Calls back once, when nothing waits any more, of whomever it was. */
  onceFlushed(callback: () => void): void
}

export type Sender = Pick<RemoteInfo, 'address' | 'port'>

/** What is left of 65 535 bytes behind the heads of UDP and, in IPv4, of IP. */
const MAX_BYTES_4 = 65_507
const MAX_BYTES_6 = 65_527

export class DatagramConnection extends Connection<string | Uint8Array> {
  readonly #wire: Wire
  readonly #sender: Sender

  constructor(owner: Owner, wire: Wire, { sender, bytesRead }: { sender: Sender; bytesRead: number }) {
    super(owner, {
      remoteAddress: sender.address,
      remotePort: sender.port,
      localAddress: wire.localAddress,
      localPort: wire.localPort,
      bytesRead,
      bytesWritten: 0,
      get writableLength() {
        return wire.queuedBytes
      },
    })
    this.#wire = wire
    this.#sender = sender
  }

  /** Calls the handler. @returns a promise when it is not done yet. */
  handle(data: Buffer): Promise<unknown> | null {
    this.owner.connections.onMessage()
    return this.call('onMessage', data)
  }

  get state(): ConnectionState {
    return 'open'
  }

  get isAtRest(): boolean {
    return this.bufferedBytes === 0
  }

  /** Sends one datagram to the sender. What does not fit into one is dropped: false, and `onError` is told. */
  send(value: string | Uint8Array): boolean | null {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value
    const { address, port } = this.#sender
    const maxBytes = isIPv4(address) ? MAX_BYTES_4 : MAX_BYTES_6
    if (port === 0) return this.#refuse('ERR_CONNECTION_CLOSED', 'The sender has no port: it wants no answer')
    if (bytes.byteLength > maxBytes)
      return this.#refuse('ERR_MESSAGE_TOO_LARGE', `A datagram has at most ${maxBytes} bytes, not ${bytes.byteLength}`)
    if (!this.maySend(true)) return false
    this.#wire.send(bytes, this.#sender, (error) => {
      if (error) this.tellError(error)
    })
    const wasFull = this.isFull
    const sent = this.noteSent()
    if (this.isFull && !wasFull) this.#awaitRoom()
    return sent
  }

  /** Behind this answer there may be those to others, and who is told first may send more. */
  #awaitRoom(): void {
    this.#wire.onceFlushed(() => {
      this.noteFlushed()
      if (this.isFull) this.#awaitRoom()
    })
  }

  #refuse(code: 'ERR_CONNECTION_CLOSED' | 'ERR_MESSAGE_TOO_LARGE', message: string): false {
    this.tellError(new ShiftworkError(code, message))
    return false
  }

  /** Sends, if something is given; there is nothing to close. */
  close(value?: string | Uint8Array): void {
    if (value !== undefined) this.send(value)
  }

  end(): void {
    // it has no end
  }

  destroy(): void {
    // nor anything to destroy
  }

  pause(): void {
    // it has come whole
  }

  resume(): void {
    // and is not paused
  }

  part(): void {
    // what was begun is awaited by `Datagrams`
  }

  ping(data?: string | Uint8Array): void {
    if (data !== undefined) this.send(data)
  }

  /** A handler that failed, for what anybody may send. */
  protected override fail(what: string, error: unknown): void {
    complainSparsely(this.owner, { what, error }, 'stack')
    this.tellError(error)
  }

  /** There is no connection that a failure could cost. */
  protected giveUp(): void {
    // it is logged, and `onError` is told
  }
}

/** Also inside a socket for both: `::ffff:127.0.0.1`. */
function isIPv4(address: string): boolean {
  return !address.includes(':') || address.startsWith('::ffff:')
}
