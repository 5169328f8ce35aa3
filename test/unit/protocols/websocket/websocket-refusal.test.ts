import { expect, it } from 'vitest'
import { encodeRefusal, refusalOf } from '../../../../src/protocols/websocket/websocket-refusal.ts'

it.each([undefined, null, true, '', {}, 'no'])('%s is a welcome', async (verdict) => {
  expect(await refusalOf(verdict)).toBeNull()
})

it('false is 403, a number itself', async () => {
  expect(await refusalOf(false)).toMatchObject({ status: 403 })
  expect(await refusalOf(429)).toMatchObject({ status: 429 })
})

it.each([0, 101, 200, 299, 600, 404.5, Number.NaN])('%d refuses nothing', async (status) => {
  await expect(refusalOf(status)).rejects.toThrow(RangeError)
})

it('a Response is whole on the wire, with a length and an end of ours', async () => {
  const headers = { 'X-Why': 'tea', Connection: 'keep-alive', 'Content-Length': '7' }
  const refusal = await refusalOf(new Response('später', { status: 503, headers }))
  const text = refusal ? encodeRefusal(refusal).toString() : ''
  expect(text.split('\r\n')).toEqual([
    'HTTP/1.1 503 Service Unavailable',
    'content-type: text/plain;charset=UTF-8',
    'x-why: tea',
    'Connection: close',
    'Content-Length: 7',
    '',
    'später',
  ])
})

it('a Response that welcomes is none', async () => {
  await expect(refusalOf(new Response('come in'))).rejects.toThrow(/200/)
})
