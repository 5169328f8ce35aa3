import { describe, expect, it } from 'vitest'
import { decodeMessage, decodeNews, encodeMessage, encodeNews } from '../../../../src/gateway/bus/message.ts'
import { createGatewayId } from '../../../../src/gateway/ids.ts'
import { WIRE_VERSION } from '../../../../src/gateway/wire/records.ts'
import { Random } from '../../random.ts'

describe('messages of the bus', () => {
  it('come out as they went in', () => {
    const message = { from: createGatewayId(), until: 1_700_000_000_000.5, records: Buffer.from('records') }
    expect(decodeMessage(encodeMessage(message))).toEqual({ version: WIRE_VERSION, ...message })
    const empty = { ...message, records: Buffer.alloc(0) }
    expect(decodeMessage(encodeMessage(empty)).records).toHaveLength(0)
  })

  it('of another version say only that, and who they are from', () => {
    const bytes = encodeMessage({ from: 'AAAAAAAAAAAA', until: 1, records: Buffer.from('?') })
    bytes[0] = WIRE_VERSION + 1
    expect(decodeMessage(bytes)).toMatchObject({ version: WIRE_VERSION + 1, from: 'AAAAAAAAAAAA', until: Infinity })
    expect(decodeMessage(bytes.subarray(0, 14))).toMatchObject({ version: WIRE_VERSION + 1, from: 'AAAAAAAAAAAA' })
  })

  it('that make no sense are an error, whatever they are', () => {
    const random = new Random(1)
    const whole = encodeMessage({ from: 'AAAAAAAAAAAA', until: 1, records: Buffer.alloc(0) })
    for (let length = 0; length < whole.length; length++)
      expect(() => decodeMessage(whole.subarray(0, length))).toThrow(RangeError)
    for (let round = 0; round < 1_000; round++) {
      const bytes = Buffer.from(Array.from({ length: random.int(0, 40) }, () => random.int(0, 255)))
      expect(() => decodeMessage(bytes)).toThrow(RangeError)
    }
  })
})

describe('news', () => {
  it('come out as they went in', () => {
    for (const news of [{ came: 'AAAAAAAAAAAA' }, { gone: '-_AAAAAAAAAA' }])
      expect(decodeNews(encodeNews(news))).toEqual(news)
  })

  it.each(['', 'x', 'null', '7', '[]', '{}', '{"came":7}', '{"gone":"a"}', '{"came":"AAAAAAAAAAA/"}'])(
    'are an error when they make no sense: %s',
    (text) => {
      expect(() => decodeNews(Buffer.from(text))).toThrow()
    },
  )
})
