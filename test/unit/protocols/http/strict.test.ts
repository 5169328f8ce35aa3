/** What is wrong with a request's head. The same over real sockets: test/process/smuggling.test.ts. */
import { expect, it } from 'vitest'
import { offenceOf } from '../../../../src/protocols/http/strict.ts'

const head = (rawHeaders: string[], method = 'GET', version: [number, number] = [1, 1]) => ({
  ...{ rawHeaders, method, httpVersionMajor: version[0], httpVersionMinor: version[1] },
})

it.each<[string | null, ReturnType<typeof head>]>([
  [null, head(['Host', 'example.org:8080'])],
  [null, head(['hOST', ''])],
  [null, head(['Host', '[2001:db8::1]:80'])],
  [null, head(['Host', 'a', 'X-Host', 'b', 'Hosts', 'c', 'Transfer-Encoding', 'Chunked'])],
  [null, head([], 'GET', [1, 0])],
  [null, head(['Host', 'a'], 'PROPFIND')],
  ['no Host', head(['X', 'y'])],
  ['several Hosts', head(['Host', 'a', 'HOST', 'a'])],
  ['several Hosts', head(['Host', 'a', 'Host', 'b'], 'GET', [1, 0])],
  ['what Host names', head(['Host', 'a, b'])],
  ['what Host names', head(['Host', 'a/b'])],
  ['what Host names', head(['Host', 'a@b'])],
  ['what Host names', head(['Host', 'b\xfccher'])],
  ['several Transfer-Encodings', head(['Host', 'a', 'Transfer-Encoding', 'chunked', 'transfer-encoding', 'chunked'])],
  ['an unknown Transfer-Encoding', head(['Host', 'a', 'Transfer-Encoding', 'gzip, chunked'])],
  ['an unknown Transfer-Encoding', head(['Host', 'a', 'Transfer-Encoding', ''])],
  ['Transfer-Encoding in HTTP/1.0', head(['Host', 'a', 'Transfer-Encoding', 'chunked'], 'POST', [1, 0])],
  ['the version', head(['Host', 'a'], 'GET', [0, 9])],
  ['the version', head(['Host', 'a'], 'GET', [2, 0])],
  ['the method', head(['Host', 'a'], 'DESCRIBE')],
])('%s: %j', (offence, request) => {
  expect(offenceOf(request, true)).toBe(offence)
})

it('a Host that is missing is fine where it is not required; two never are', () => {
  expect(offenceOf(head([]), false)).toBeNull()
  expect(offenceOf(head(['Host', 'a', 'Host', 'a']), false)).toBe('several Hosts')
})
