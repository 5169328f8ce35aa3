/** `tcp://`: bytes as they come; where one message ends is not known here. */
import type { Protocol } from './protocol.ts'

export const TCP: Protocol<Buffer, string | Uint8Array> = {
  isUnbounded: true,
  input: (buffer) => buffer.length,
  decode: (bytes) => bytes,
  encode: (value) => value,
}
