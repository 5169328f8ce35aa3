/** What is leant on in `ws` that it does not promise. */

import { expect, it } from 'vitest'
import * as ws from 'ws'

interface Receiver {
  _state: unknown
  _fragmented: unknown
  _bufferedBytes: unknown
  write(bytes: Buffer): void
}

it('a receiver of ws tells by three members whether something has begun', () => {
  // its types do not tell of it
  const { Receiver } = ws as unknown as { Receiver: new (options: object) => Receiver }
  const receiver = new Receiver({ isServer: true })
  const members = () => [receiver._state, receiver._fragmented, receiver._bufferedBytes]
  expect(members()).toEqual([0, 0, 0])
  receiver.write(Buffer.of(0x01))
  expect(members()).toEqual([0, 0, 1])
  receiver.write(Buffer.of(0x81))
  expect(receiver._state).not.toBe(0)
  receiver.write(Buffer.of(1, 2, 3, 4, 1))
  expect(members()).toEqual([0, 1, 0])
  receiver.write(Buffer.of(0x80, 0x80, 1, 2, 3, 4))
  expect(members()).toEqual([0, 0, 0])
})
