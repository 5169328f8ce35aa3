/** What a request says of itself, out of its head and a body in memory. */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { HttpRequest, readBody } from '../../../../src/protocols/http/http-request.ts'
import { RequestError } from '../../../../src/protocols/http/request-error.ts'

function request(url: string, headers: Record<string, string> = {}, body = ''): HttpRequest {
  return new HttpRequest({ method: 'POST', url, headers } as unknown as IncomingMessage, Buffer.from(body))
}

describe('the target', () => {
  it.each([
    ['/', '/', '/', '', undefined],
    ['/a%20b?c=d&c=e', '/a%20b', '/a b', 'c=d&c=e', undefined],
    ['/a?b?c', '/a', '/a', 'b%3Fc=', undefined],
    ['?a=b', '/', '/', 'a=b', undefined],
    ['//evil.example/x', '//evil.example/x', '//evil.example/x', '', undefined],
    ['/%', '/%', '/%', '', undefined],
    ['/%E0%A4%A', '/%E0%A4%A', '/%E0%A4%A', '', undefined],
    ['http://example.org:81/x?y=z', '/x', '/x', 'y=z', 'example.org:81'],
    ['HTTP://example.org', '/', '/', '', 'example.org'],
    ['http://example.org?y=z', '/', '/', 'y=z', 'example.org'],
    ['/http://example.org/x', '/http://example.org/x', '/http://example.org/x', '', undefined],
    ['*', '*', '*', '', undefined],
  ])('%s', (url, path, decodedPath, query, authority) => {
    const it = request(url, { host: 'own' })
    expect([it.url, it.path, it.decodedPath, it.query.toString()]).toEqual([url, path, decodedPath, query])
    expect(it.host).toBe(authority ?? 'own')
  })

  it('is parsed once', () => {
    const it = request('/?a=b', { cookie: 'a=b' })
    expect(it.query).toBe(it.query)
    expect(it.cookies).toBe(it.cookies)
  })
})

it('json and form of another type, or none, are the client’s fault', () => {
  expect(request('/', {}, '{"a":1}').json()).toEqual({ a: 1 })
  expect(() => request('/', {}, '{').json()).toThrow(RequestError)
  expect(() => request('/', {}, '').json()).toThrow(expect.objectContaining({ status: 400, code: 'ERR_BAD_REQUEST' }))
  expect(() => request('/', { 'content-type': 'text/plain' }, 'a=b').form()).toThrow(
    expect.objectContaining({ status: 415 }),
  )
})

it('multipart: another type is 415, a limit 413, nonsense 400', async () => {
  const form = (type: string, body: string, limits = {}) =>
    request('/', { 'content-type': type }, body).multipart(limits)
  const part = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nvalue\r\n'
  const type = 'multipart/form-data; boundary=x'
  expect((await form(type, `${part}--x--\r\n`)).fields.get('a')).toBe('value')
  expect(
    (await form('Multipart/Form-Data; BOUNDARY="x"; a=b', `preamble\r\n${part}--x--epilogue`)).fields.get('a'),
  ).toBe('value')
  // what a browser sends for a form without fields
  expect((await form(type, '--x--\r\n')).files).toEqual([])
  await expect(form('text/plain', part)).rejects.toMatchObject({ status: 415 })
  await expect(form('multipart/mixed; boundary=x', part)).rejects.toMatchObject({ status: 415 })
  await expect(form(type, `${part}${part}--x--`, { maxFields: 1 })).rejects.toMatchObject({ status: 413 })
  for (const wrong of ['multipart/form-data', 'multipart/form-data; boundary=', 'multipart/form-data; boundary=""'])
    await expect(form(wrong, part), wrong).rejects.toMatchObject({ status: 400 })
  for (const broken of ['', part, '--x', `--y\r\n${part}`.slice(0, 20)])
    await expect(form(type, broken), broken).rejects.toMatchObject({ status: 400 })
})

describe('the body', () => {
  /** Bytes that come one by one, each in 64 KiB of its own. */
  async function* single(count: number): AsyncGenerator<Buffer> {
    for (let index = 0; index < count; index++) {
      await nextTurn()
      yield Buffer.alloc(65_536, index % 256).subarray(0, 1)
    }
  }
  const read = (body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer | null> =>
    readBody(Readable.from(body, { objectMode: false }) as IncomingMessage, maxBytes)

  it('takes no more memory than twice its bytes, however they come', async () => {
    const before = process.memoryUsage().arrayBuffers
    const body = await read(single(8_000), 8_000)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(300_000_000)
    expect(body).toEqual(Buffer.from(Array.from({ length: 8_000 }, (_, index) => index % 256)))
  })

  it('is null when it is longer than it may be', async () => {
    expect(await read(single(11), 10)).toBeNull()
    expect(await read(single(10), 10)).toHaveLength(10)
    expect(await read(single(0), 10)).toEqual(Buffer.alloc(0))
  })
})
