/** What becomes of a value that is sent. */
import { expect, it } from 'vitest'
import { encodeBody, type Sendable } from '../../../../src/protocols/http/sendable.ts'

class Empty {}

it.each<[Sendable, string]>([
  [{}, '{}'],
  [new Empty(), '{}'],
  [Object.create(null) as object, '{}'],
  [{ toJSON: () => ({}) }, '{}'],
  [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  [Object.assign(new Error('no'), { status: 404 }), '{"status":404}'],
  [[], '[]'],
  [null, 'null'],
  [false, 'false'],
])('%j is sent as JSON', (value, body) => {
  expect(encodeBody(value)).toEqual({ body, type: 'application/json; charset=utf-8' })
})

it.each<[string, unknown, RegExp]>([
  ['a promise', Promise.resolve('late'), /await it/],
  // biome-ignore lint/suspicious/noThenProperty: a query builder is one
  ['anything that is awaited', { then: () => undefined }, /await it/],
  ['a Blob', new Blob(['text']), /Blob has no JSON.* stream\(\)/],
  ['an ArrayBuffer', new ArrayBuffer(8), /ArrayBuffer has no JSON.*Uint8Array/],
  ['parameters', new URLSearchParams('a=1'), /URLSearchParams has no JSON/],
  ['a Map', new Map([[1, 2]]), /Object\.fromEntries/],
  ['a Set', new Set([1]), /\[\.\.\.it\]/],
  ['an Error', new Error('no'), /its message/],
  ['nothing', undefined, /undefined/],
  ['a function', () => 1, /no JSON/],
])('%s is not sent as if it were empty', (_, value, words) => {
  expect(() => encodeBody(value as Sendable)).toThrow(TypeError)
  expect(() => encodeBody(value as Sendable)).toThrow(words)
})
