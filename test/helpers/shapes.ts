/**
 * Requests as an attacker writes them, so that two servers in a row disagree where one ends and the next
 * begins, or whom it is for (RFC 9112, 11.2). Each asks for `/first`; the test sends `/behind` after it.
 */

export interface Shape {
  readonly name: string
  readonly bytes: Buffer
  /** 400, but where Node.js has a better word. Null: it is taken. */
  readonly status: 400 | 413 | 431 | null
  /** head: no handler hears of it. body: one may have begun to read it. */
  readonly fault: 'head' | 'body'
  /** Taken: the body that a handler gets. */
  readonly body?: string
}

const END = '0\r\n\r\n'
const CHUNKED = 'Transfer-Encoding: chunked\r\n'
const HEAD = 'GET /first HTTP/1.1\r\nHost: a\r\n'

const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')
const post = (headers: string, body = ''): string => `POST /first HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`
const get = (headers = ''): string => `${HEAD}${headers}\r\n`

function refused(
  group: Record<string, string>,
  fault: Shape['fault'] = 'head',
  status: Shape['status'] = 400,
): Shape[] {
  return Object.entries(group).map(([name, text]) => ({ name, bytes: bytesOf(text), status, fault }))
}

const LENGTHS = refused({
  'two equal lengths': post('Content-Length: 4\r\nContent-Length: 4\r\n', 'abcd'),
  'two lengths': post('Content-Length: 4\r\nContent-Length: 5\r\n', 'abcd'),
  'two equal lengths in one field': post('Content-Length: 4, 4\r\n', 'abcd'),
  'two lengths in one field': post('Content-Length: 4, 5\r\n', 'abcd'),
  'a length with a plus': post('Content-Length: +4\r\n', 'abcd'),
  'a negative length': post('Content-Length: -4\r\n', 'abcd'),
  'a hexadecimal length': post('Content-Length: 0x4\r\n', 'abcd'),
  'a length with a space': post('Content-Length: 4 4\r\n', 'abcd'),
  'an empty length': post('Content-Length: \r\n'),
  'a length of 23 digits': post('Content-Length: 99999999999999999999999\r\n', 'abcd'),
  'a length with a point': post('Content-Length: 4.0\r\n', 'abcd'),
  'a length with a vertical tab': post('Content-Length: \x0b4\r\n', 'abcd'),
  'a length and chunks': post(`Content-Length: 4\r\n${CHUNKED}`, END),
  'chunks and a length': post(`${CHUNKED}Content-Length: 4\r\n`, END),
  'no length and chunks': post(`Content-Length: 0\r\n${CHUNKED}`, END),
})

const CODINGS = refused({
  'chunked twice': post(`${CHUNKED}${CHUNKED}`, END),
  'chunked, chunked': post('Transfer-Encoding: chunked, chunked\r\n', END),
  'chunked, identity': post('Transfer-Encoding: chunked, identity\r\n', END),
  'identity, chunked': post('Transfer-Encoding: identity, chunked\r\n', END),
  'gzip, chunked': post('Transfer-Encoding: gzip, chunked\r\n', END),
  identity: post('Transfer-Encoding: identity\r\n'),
  'identity, then chunked': post(`Transfer-Encoding: identity\r\n${CHUNKED}`, END),
  'chunked, then identity': post(`${CHUNKED}Transfer-Encoding: identity\r\n`, END),
  xchunked: post('Transfer-Encoding: xchunked\r\n', END),
  chunkedx: post('Transfer-Encoding: chunkedx\r\n', END),
  'chunked in quotes': post('Transfer-Encoding: "chunked"\r\n', END),
  'chunked with a parameter': post('Transfer-Encoding: chunked;q=1\r\n', END),
  'chunked behind a comma': post('Transfer-Encoding: ,chunked\r\n', END),
  'chunked before a comma': post('Transfer-Encoding: chunked,\r\n', END),
  'an empty coding': post('Transfer-Encoding: \r\n'),
  'a space before the colon of the coding': post('Transfer-Encoding : chunked\r\n', END),
  'a tab before the colon of the coding': post('Transfer-Encoding\t: chunked\r\n', END),
  'a vertical tab before the coding': post('Transfer-Encoding: \x0bchunked\r\n', END),
  'a folded coding': post('Transfer-Encoding:\r\n chunked\r\n', END),
  'a NUL in the coding': post('Transfer-Encoding: chu\0nked\r\n', END),
  'chunks in HTTP/1.0': `POST /first HTTP/1.0\r\nHost: a\r\n${CHUNKED}Connection: keep-alive\r\n\r\n${END}`,
})

const CHUNKS = refused(
  {
    // the parser hands out the head before it has found out
    'a tab behind the coding': post('Transfer-Encoding: chunked\t\r\n', END),
    'a chunk of 0x5': post(CHUNKED, `0x5\r\nabcde\r\n${END}`),
    'a chunk of -1': post(CHUNKED, `-1\r\nabcde\r\n${END}`),
    'a chunk of +5': post(CHUNKED, `+5\r\nabcde\r\n${END}`),
    'a chunk without a size': post(CHUNKED, `\r\nabcde\r\n${END}`),
    'a chunk that is longer than it says': post(CHUNKED, `3\r\nabcde\r\n${END}`),
    'a space behind the size': post(CHUNKED, `5 \r\nabcde\r\n${END}`),
    'a space before the size': post(CHUNKED, ` 5\r\nabcde\r\n${END}`),
    'a size of 17 digits': post(CHUNKED, `fffffffffffffffff\r\nabcde\r\n${END}`),
    'a size of 2^64 and five': post(CHUNKED, `10000000000000005\r\nabcde\r\n${END}`),
    'a bare LF behind the size': post(CHUNKED, `5\nabcde\r\n${END}`),
    'a bare LF behind the data': post(CHUNKED, `5\r\nabcde\n${END}`),
    'a bare CR behind the data': post(CHUNKED, `5\r\nabcde\r${END}`),
    'nothing behind the data': post(CHUNKED, `5\r\nabcde${END}`),
    'a bare LF behind the last size': post(CHUNKED, '5\r\nabcde\r\n0\n\n'),
    'a bare LF at the end': post(CHUNKED, '5\r\nabcde\r\n0\r\n\n'),
    'a bare LF behind an extension': post(CHUNKED, `5;a=b\nabcde\r\n${END}`),
    'a bare CR in an extension': post(CHUNKED, `5;a\rb\r\nabcde\r\n${END}`),
    'a length in the trailer': post(CHUNKED, '5\r\nabcde\r\n0\r\nContent-Length: 5\r\n\r\n'),
    'a coding in the trailer': post(CHUNKED, `5\r\nabcde\r\n0\r\n${CHUNKED}\r\n`),
  },
  'body',
)

const FLOODS = [
  ...refused({ 'a long extension': post(CHUNKED, `5;${'a'.repeat(20_000)}\r\nabcde\r\n${END}`) }, 'body', 413),
  ...refused({ 'long trailers': post(CHUNKED, `0\r\n${`X: ${'a'.repeat(1_000)}\r\n`.repeat(30)}\r\n`) }, 'body', 431),
  ...refused({ 'long headers': get(`X: ${'a'.repeat(1_000)}\r\n`.repeat(30)) }, 'head', 431),
]

const LINES = refused({
  'a bare LF behind the request line': 'GET /first HTTP/1.1\nHost: a\r\n\r\n',
  'a bare LF behind a header': `${HEAD.slice(0, -2)}\nX: b\r\n\r\n`,
  'a bare LF at the end of the head': `${HEAD}\n`,
  'bare LFs': 'GET /first HTTP/1.1\nHost: a\n\n',
  'a bare CR behind the request line': 'GET /first HTTP/1.1\rHost: a\r\n\r\n',
  'a bare CR in a header': get('X: b\rc\r\n'),
  'CR CR LF': get('X: b\r\r\n'),
  'a bare CR at the end of the head': `${HEAD}\rX`,
  'a folded header': get('X: b\r\n c\r\n'),
  'a header folded by a tab': get('X: b\r\n\tc\r\n'),
  'a first header that is folded': 'GET /first HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n',
  'a space before a colon': get('X : b\r\n'),
  'a space before the colon of Host': 'GET /first HTTP/1.1\r\nHost : a\r\n\r\n',
  'no colon': get('X\r\n'),
  'no name': get(': b\r\n'),
  'a NUL in a value': get('X: b\0c\r\n'),
  'a NUL in a name': get('X\0: b\r\n'),
  'a NUL in the target': 'GET /fi\0rst HTTP/1.1\r\nHost: a\r\n\r\n',
  'a NUL before the method': `\0${get()}`,
  'a control character in a value': get('X: b\x01c\r\n'),
})

const REQUEST_LINES = refused({
  'a space in the target': 'GET /fi rst HTTP/1.1\r\nHost: a\r\n\r\n',
  'tabs in the request line': 'GET\t/first\tHTTP/1.1\r\nHost: a\r\n\r\n',
  'a byte above 127 in the target': 'GET /f\xe9 HTTP/1.1\r\nHost: a\r\n\r\n',
  'a target without a slash': 'GET first HTTP/1.1\r\nHost: a\r\n\r\n',
  'a space before the method': ` ${get()}`,
  'a method of nobody': 'BREW /first HTTP/1.1\r\nHost: a\r\n\r\n',
  'a method in small letters': 'get /first HTTP/1.1\r\nHost: a\r\n\r\n',
  'a method of 5 000 letters': `${'A'.repeat(5_000)} /first HTTP/1.1\r\nHost: a\r\n\r\n`,
  'a method of RTSP': 'DESCRIBE /first RTSP/1.0\r\nHost: a\r\n\r\n',
  'HTTP/0.9': 'GET /first\r\n\r\n',
  'HTTP/0.9 by name': 'GET /first HTTP/0.9\r\n\r\n',
  'HTTP/1.2': 'GET /first HTTP/1.2\r\nHost: a\r\n\r\n',
  'HTTP/2.0': 'GET /first HTTP/2.0\r\nHost: a\r\n\r\n',
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'HTTP/11.1': 'GET /first HTTP/11.1\r\nHost: a\r\n\r\n',
  'http in small letters': 'GET /first http/1.1\r\nHost: a\r\n\r\n',
})

const HOSTS = refused({
  'no Host': 'GET /first HTTP/1.1\r\nX: b\r\n\r\n',
  'two Hosts': get('Host: b\r\n'),
  'two equal Hosts': get('HOST: a\r\n'),
  'two Hosts in HTTP/1.0': 'GET /first HTTP/1.0\r\nHost: a\r\nHost: b\r\nConnection: keep-alive\r\n\r\n',
  'two Hosts in one field': 'GET /first HTTP/1.1\r\nHost: a, b\r\n\r\n',
  'a Host with a user': 'GET /first HTTP/1.1\r\nHost: a@b\r\n\r\n',
  'a Host with a path': 'GET /first HTTP/1.1\r\nHost: a/b\r\n\r\n',
})

export const REFUSED: readonly Shape[] = [...[LENGTHS, CODINGS, CHUNKS, FLOODS, LINES, REQUEST_LINES, HOSTS].flat()]

function taken(name: string, why: string, text: string, body = ''): Shape {
  return { name: `${name}: ${why}`, bytes: bytesOf(text), status: null, fault: 'body', body }
}

const BLANKS = 'blanks around a value are no part of it, RFC 9110, 5.5, and one who thinks otherwise has no such length'

/** What looks like those above and is taken: why two servers that keep to the RFC cannot disagree about it. */
export const TAKEN: readonly Shape[] = [
  taken('a length of 004', 'it is decimal digits, RFC 9110, 8.6', post('Content-Length: 004\r\n', 'abcd'), 'abcd'),
  taken('a space behind a length', BLANKS, post('Content-Length: 4 \r\n', 'abcd'), 'abcd'),
  taken('a tab before the coding', BLANKS, post('Transfer-Encoding:\tchunked\r\n', `2\r\nab\r\n${END}`), 'ab'),
  taken('a space behind the coding', BLANKS, post('Transfer-Encoding: chunked \r\n', `2\r\nab\r\n${END}`), 'ab'),
  taken(
    'CHUNKED',
    'codings know no case, RFC 9112, 7',
    post('Transfer-Encoding: CHUNKED\r\n', `2\r\nab\r\n${END}`),
    'ab',
  ),
  taken('Content_Length', 'another name, which frames nothing', post('Content_Length: 4\r\n')),
  taken(
    'a size of 5 000 noughts and a 5',
    'it is 5',
    post(CHUNKED, `${'0'.repeat(5_000)}5\r\nabcde\r\n${END}`),
    'abcde',
  ),
  taken('an extension', 'it is ignored, RFC 9112, 7.1.1', post(CHUNKED, `2;a=b\r\nab\r\n${END}`), 'ab'),
  taken('a Host in the trailer', 'trailers are kept apart', post(CHUNKED, '2\r\nab\r\n0\r\nHost: b\r\n\r\n'), 'ab'),
  taken(
    'two spaces in the request line',
    'neither can be in a target, RFC 9112, 3',
    'GET  /first  HTTP/1.1\r\nHost: a\r\n\r\n',
  ),
  taken('empty lines before the request line', 'they are skipped, RFC 9112, 2.2', `\r\n\r\n${get()}`),
  taken('bare LFs before the request line', 'no field and no body could begin there', `\n\n${get()}`),
  taken('a length of a GET', 'it frames as that of a POST', get('Content-Length: 4\r\n').concat('abcd'), 'abcd'),
]
