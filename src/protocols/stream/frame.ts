/** `frame://`: a message is bytes behind their length, four bytes big-endian, which counts itself. */
import type { Protocol } from './protocol.ts'

const HEAD_BYTES = 4

export const FRAME: Protocol<Buffer, string | Uint8Array> = {
  input(buffer) {
    if (buffer.length < HEAD_BYTES) return 0
    const length = buffer.readUInt32BE()
    if (length < HEAD_BYTES) throw new RangeError(`a frame says that it has ${length} bytes, its head alone has 4`)
    return length
  },
  decode: (bytes) => bytes.subarray(HEAD_BYTES),
  encode(value) {
    const length = HEAD_BYTES + (typeof value === 'string' ? Buffer.byteLength(value) : value.length)
    const bytes = Buffer.allocUnsafe(length)
    bytes.writeUInt32BE(length)
    if (typeof value === 'string') bytes.write(value, HEAD_BYTES)
    else bytes.set(value, HEAD_BYTES)
    return bytes
  },
}
