/** A WebSocket of `ws`, as its connection uses it, and the codes that it is closed with. No behaviour. */

export interface Wire {
  readonly readyState: number
  readonly OPEN: number
  /** The names of the extensions that were agreed on; empty: none. */
  readonly extensions: string
  readonly bufferedAmount: number
  /** The end that has asked: what it sends is masked. */
  readonly isClient: boolean
  /** Of a message, or of a frame, a part has come. */
  readonly hasBegun: boolean
  /** The same without pings and pongs: their other half may never come. */
  readonly hasBegunMessage: boolean
  /** What has come is not all told yet: it is being unpacked. */
  readonly isInflating: boolean
  /** `message` (Buffer, whether it is binary), `close` (code, reason as a Buffer), `error`. */
  on(event: string, listener: (this: never, ...args: never[]) => void): unknown
  send(data: string | Uint8Array, done?: () => void): void
  ping(data?: string | Uint8Array): void
  /** @throws TypeError for a code that must not be sent, RangeError for a reason of more than 123 bytes. */
  close(code: number, reason?: string): void
  pause(): void
  resume(): void
}

/** RFC 6455, 7.4.1, and the registry of IANA. */
export const CLOSE_CODES = { normal: 1000, goingAway: 1001, internalError: 1011, serviceRestart: 1012 } as const
