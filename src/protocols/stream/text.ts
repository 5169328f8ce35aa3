/** `text://`: a message is a line of UTF-8, ended by LF or CRLF; what is sent gets an LF. */
import type { Protocol } from './protocol.ts'

const LF = 0x0a
const CR = 0x0d

export const TEXT: Protocol<string, string | Uint8Array> = {
  input: (buffer, _connection, seen) => buffer.indexOf(LF, seen) + 1,
  decode(bytes) {
    const end = bytes.length - (bytes.at(-2) === CR ? 2 : 1)
    return bytes.toString('utf8', 0, end)
  },
  // bytes come of `Worker.broadcast`
  encode: (line) => (typeof line === 'string' ? `${line}\n` : Buffer.concat([line, Uint8Array.of(LF)])),
}
