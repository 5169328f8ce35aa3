/**
 * A message of a server as one frame (RFC 6455, 5.2), head and payload in one piece: that is one write in the
 * place of two, which is what a short message costs most. For connections without compression. Pure.
 */

const FINAL_TEXT = 0x81
const FINAL_BINARY = 0x82
/** Longer bytes are sent behind their head instead of being copied. */
const MAX_COPIED_BYTES = 4096

/** The text that was sent last, if it is short: what is said to many is the same for all of them. */
const MAX_KEPT_LENGTH = 16_384
let lastText = ''
let lastFrame: Buffer | null = null

/** @returns null for bytes that are better not copied. What it returns must not be changed. */
export function encodeFrame(value: string | Uint8Array): Buffer | null {
  if (typeof value !== 'string' || value.length > MAX_KEPT_LENGTH) return encode(value)
  if (lastFrame === null || value !== lastText) {
    lastText = value
    lastFrame = encode(value)
  }
  return lastFrame
}

function encode(value: string | Uint8Array): Buffer | null {
  const isText = typeof value === 'string'
  if (!isText && (value.length > MAX_COPIED_BYTES || !(value instanceof Uint8Array))) return null
  const length = isText ? Buffer.byteLength(value) : value.length
  const headBytes = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(headBytes + length)
  frame[0] = isText ? FINAL_TEXT : FINAL_BINARY
  if (headBytes === 2) frame[1] = length
  else if (headBytes === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2)
    frame.writeUInt32BE(length >>> 0, 6)
  }
  if (isText) frame.write(value, headBytes)
  else frame.set(value, headBytes)
  return frame
}
