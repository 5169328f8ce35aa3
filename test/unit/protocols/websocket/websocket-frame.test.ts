import { expect, it } from 'vitest'
import { encodeFrame } from '../../../../src/protocols/websocket/websocket-frame.ts'
import { parseFrame } from '../../../helpers/frames.ts'

it.each([0, 1, 125, 126, 65_535, 65_536, 70_000])('text of %i bytes is one frame, head and all', (length) => {
  const bytes = encodeFrame('x'.repeat(length))
  expect(bytes).not.toBeNull()
  expect(parseFrame(bytes ?? Buffer.alloc(0))).toEqual({
    frame: { isFinal: true, reserved: 0, opcode: 1, payload: Buffer.alloc(length, 'x') },
    end: bytes?.length,
  })
})

it('the length is of bytes, not of letters', () => {
  const bytes = encodeFrame('ä€𝄞\ud800') ?? Buffer.alloc(0)
  expect(parseFrame(bytes)?.frame.payload.toString()).toBe('ä€𝄞\ufffd')
})

it('short bytes are copied, long ones are left to be sent as they are', () => {
  const bytes = Buffer.from([0, 255, 10])
  const frame = encodeFrame(bytes) ?? Buffer.alloc(0)
  expect(parseFrame(frame)?.frame).toEqual({ isFinal: true, reserved: 0, opcode: 2, payload: bytes })
  bytes.fill(1)
  expect(parseFrame(frame)?.frame.payload).toEqual(Buffer.from([0, 255, 10]))
  expect(encodeFrame(Buffer.alloc(4_097))).toBeNull()
})

it.each([1, {}, [1, 2], new DataView(new ArrayBuffer(2)), new Uint16Array(2)])(
  '%s is nothing that it knows',
  (value) => {
    expect(encodeFrame(value as never)).toBeNull()
  },
)

it('the same text is the same frame when it is sent to many in a row, and another text is another one', () => {
  const [one, other] = ['to everybody', 'to somebody!']
  expect(encodeFrame(one)).toBe(encodeFrame(one))
  for (const text of [other, one, other, '', one]) expect(encodeFrame(text)?.subarray(2).toString()).toBe(text)
  expect(encodeFrame(Buffer.from(one))?.[0]).toBe(0x82)
  expect(encodeFrame(one)?.[0]).toBe(0x81)
})
