/** What may stand in `new Worker(listen)`, and the sentence for what may not. */
import { describe, expect, it } from 'vitest'
import {
  addressKey,
  formatAddress,
  isSecure,
  overlaps,
  PROTOCOLS,
  parseAddress,
  parseTarget,
  securedBy,
  speechOf,
} from '../../src/address.ts'
import { ShiftworkError } from '../../src/errors.ts'

describe('parseAddress takes', () => {
  it.each([
    ['http://0.0.0.0:8080', { kind: 'tcp', protocol: 'http', host: '0.0.0.0', port: 8080 }],
    ['http://127.0.0.1:0', { kind: 'tcp', protocol: 'http', host: '127.0.0.1', port: 0 }],
    ['http://localhost:65535/', { kind: 'tcp', protocol: 'http', host: 'localhost', port: 65_535 }],
    ['HTTPS://example.org:443', { kind: 'tcp', protocol: 'https', host: 'example.org', port: 443 }],
    ['http://[::]:80', { kind: 'tcp', protocol: 'http', host: '::', port: 80 }],
    ['https://[fe80::1%eth0]:8443', { kind: 'tcp', protocol: 'https', host: 'fe80::1%eth0', port: 8443 }],
    ['udp://0.0.0.0:5353', { kind: 'udp', protocol: 'udp', host: '0.0.0.0', port: 5353 }],
    ['UDP://[::1]:0', { kind: 'udp', protocol: 'udp', host: '::1', port: 0 }],
    ['text://127.0.0.1:7000', { kind: 'tcp', protocol: 'text', host: '127.0.0.1', port: 7_000 }],
    ['text+tls://[::1]:7000', { kind: 'tcp', protocol: 'text+tls', host: '::1', port: 7_000 }],
    ['FRAME+TLS://a.example:7000', { kind: 'tcp', protocol: 'frame+tls', host: 'a.example', port: 7_000 }],
    ['tcp://127.0.0.1:7000', { kind: 'tcp', protocol: 'tcp', host: '127.0.0.1', port: 7_000 }],
    ['tls://127.0.0.1:7000', { kind: 'tcp', protocol: 'tls', host: '127.0.0.1', port: 7_000 }],
    ['tcp+tls://127.0.0.1:7000', { kind: 'tcp', protocol: 'tls', host: '127.0.0.1', port: 7_000 }],
    ['http+tls://127.0.0.1:7000', { kind: 'tcp', protocol: 'https', host: '127.0.0.1', port: 7_000 }],
    ['ws://127.0.0.1:7000', { kind: 'tcp', protocol: 'websocket', host: '127.0.0.1', port: 7_000 }],
    ['ws+tls://127.0.0.1:7000', { kind: 'tcp', protocol: 'wss', host: '127.0.0.1', port: 7_000 }],
    ['websocket+tls://127.0.0.1:7000', { kind: 'tcp', protocol: 'wss', host: '127.0.0.1', port: 7_000 }],
    ['text+unix:///run/app.sock', { kind: 'unix', protocol: 'text', path: '/run/app.sock' }],
    ['text+tls+unix:///run/app.sock', { kind: 'unix', protocol: 'text+tls', path: '/run/app.sock' }],
    ['tls+unix:///run/app.sock', { kind: 'unix', protocol: 'tls', path: '/run/app.sock' }],
    ['http+unix:///run/app.sock', { kind: 'unix', protocol: 'http', path: '/run/app.sock' }],
    ['http+unix:///run/my app/ü.sock', { kind: 'unix', protocol: 'http', path: '/run/my app/ü.sock' }],
    [`http+unix:///${'x'.repeat(106)}`, { kind: 'unix', protocol: 'http', path: `/${'x'.repeat(106)}` }],
  ])('%s', (text, address) => {
    expect(parseAddress(text)).toEqual({ ...address, text })
  })
})

const SCHEME = 'Write it as http://0.0.0.0:8080 or http+unix:///run/app.sock.'
const FORM = 'Write it as http://0.0.0.0:8080 or http://[::]:8080.'
const PORT = 'Choose a port from 0 (any free one) to 65535.'

describe('parseAddress refuses, and says why and what would be right', () => {
  it.each([
    ['0.0.0.0:8080', 'it has no scheme', SCHEME],
    ['8080', 'it has no scheme', SCHEME],
    ['', 'it has no scheme', SCHEME],
    ['http:/localhost:80', 'it has no scheme', SCHEME],
    ['htpp://0.0.0.0:80', '"htpp" is no known protocol', 'Did you mean http://?'],
    ['htttps://0.0.0.0:80', '"htttps" is no known protocol', 'Did you mean https://?'],
    ['txt://0.0.0.0:70', '"txt" is no known protocol', 'Did you mean text://?'],
    ['text+ssl://0.0.0.0:70', 'it has no scheme', SCHEME],
    [
      'gopher://0.0.0.0:70',
      '"gopher" is no known protocol',
      'Known protocols: http, https, tcp, tls, text, text+tls, frame, frame+tls, websocket, wss, udp.',
    ],
    ['http://localhost', 'it has no port', 'Add one: http://localhost:8080.'],
    ['https://localhost/', 'it has no port', 'Add one: https://localhost:8080.'],
    ['http://[::1]', 'it has no port', 'Add one: http://[::1]:8080.'],
    ['http://0.0.0.0:65536', 'port 65536 is above 65535', PORT],
    ['http://0.0.0.0:99999999999', 'port 99999999999 is above 65535', PORT],
    ['http://0.0.0.0:-1', 'it is not host:port', FORM],
    ['http://0.0.0.0:http', 'it is not host:port', FORM],
    ['http://:8080', 'it is not host:port', FORM],
    ['http://::1:8080', 'it is not host:port', FORM],
    ['http://a b:80', 'it is not host:port', FORM],
    ['http://0.0.0.0:80/path', 'it is not host:port', FORM],
    ['http://user@:80', 'it is not host:port', FORM],
    ['http+unix://run/app.sock', 'the socket path is not absolute', 'Use three slashes: http+unix:///run/app.sock.'],
    ['http+unix://', 'the socket path is not absolute', 'Use three slashes: http+unix:///run/app.sock.'],
    [
      'udp+unix:///run/app.sock',
      'Node.js knows no datagrams on unix sockets',
      'Use udp://127.0.0.1:port, or frame+unix:///path, which keeps messages apart too.',
    ],
    ['udp://0.0.0.0', 'it has no port', 'Add one: udp://0.0.0.0:8080.'],
    [`http+unix:///${'ü'.repeat(54)}`, 'the socket path has 109 bytes, the kernel takes 107', 'Choose a shorter path.'],
  ])('%s: %s', (text, why, hint) => {
    const refusal = new ShiftworkError('ERR_ADDRESS', `Cannot listen on "${text}": ${why}`, { hint })
    expect(() => parseAddress(text)).toThrow(refusal)
  })
})

describe('a socket path that the kernel does not take', () => {
  const deep = `/${'deep/'.repeat(40)}`

  it('is an address for those that can reach it', () => {
    const path = `${deep}${'n'.repeat(80)}`
    for (const text of [`http+unix://${path}`, `wss+unix://${path}`])
      expect(parseAddress(text, { takesLongPaths: true })).toMatchObject({ kind: 'unix', path })
    expect(parseTarget(`text+unix://${path}`, { takesLongPaths: true }).address).toMatchObject({ path })
    expect(() => parseAddress(`http+unix://${path}`)).toThrow('the socket path has 281 bytes, the kernel takes 107')
  })

  it('must end in a name that fits', () => {
    const long = { takesLongPaths: true }
    expect(() => parseAddress(`http+unix://${deep}${'ü'.repeat(41)}`, long)).toThrow('name has 82 bytes, 80 fit')
    expect(parseAddress(`http+unix:///${'n'.repeat(106)}`, long)).toMatchObject({ kind: 'unix' })
  })
})

it('two texts for one listener have one key', () => {
  const key = (text: string): string => addressKey(parseAddress(text))
  expect(key('http://0.0.0.0:80')).toBe(key('https://0.0.0.0:80/'))
  expect(key('http+unix:///a')).toBe(key('https+unix:///a'))
  expect(
    new Set(['http://0.0.0.0:80', 'http://0.0.0.0:81', 'http://127.0.0.1:80', 'http+unix:///a'].map(key)).size,
  ).toBe(4)
})

it('a port of TCP and the same port of UDP are two listeners, and are not in each other’s way', () => {
  const [tcp, udp, any] = ['tcp://127.0.0.1:80', 'udp://127.0.0.1:80', 'udp://0.0.0.0:80'].map((text) =>
    parseAddress(text),
  )
  if (!tcp || !udp || !any) throw new Error('unreachable')
  expect(addressKey(udp)).toBe('udp:127.0.0.1:80')
  expect(addressKey(tcp)).not.toBe(addressKey(udp))
  expect([overlaps(tcp, udp), overlaps(tcp, any), overlaps(any, udp)]).toEqual([false, false, true])
})

it.each([
  ['udp://[::1]:0', 40_123, 'udp://[::1]:40123'],
  ['http://[::1]:80', undefined, 'http://[::1]:80'],
  ['http://127.0.0.1:0', 40_123, 'http://127.0.0.1:40123'],
  ['http+unix:///run/a.sock', undefined, 'http+unix:///run/a.sock'],
])('formatAddress shows %s bound to %s as %s', (text, port, shown) => {
  expect(formatAddress(parseAddress(text), port)).toBe(shown)
})

it('what is spoken does not depend on what carries it, and each stream has a scheme inside TLS', () => {
  const table = PROTOCOLS.map((scheme) => [scheme, speechOf(scheme), isSecure(scheme), securedBy(scheme)])
  expect(table).toEqual([
    ['http', 'http', false, 'https'],
    ['https', 'http', true, 'https'],
    ['tcp', 'tcp', false, 'tls'],
    ['tls', 'tcp', true, 'tls'],
    ['text', 'text', false, 'text+tls'],
    ['text+tls', 'text', true, 'text+tls'],
    ['frame', 'frame', false, 'frame+tls'],
    ['frame+tls', 'frame', true, 'frame+tls'],
    ['websocket', 'websocket', false, 'wss'],
    ['wss', 'websocket', true, 'wss'],
    ['udp', 'udp', false, undefined],
  ])
})
