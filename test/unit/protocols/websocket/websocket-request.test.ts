import { expect, it } from 'vitest'
import { WebSocketRequest } from '../../../../src/protocols/websocket/websocket-request.ts'

const HEADERS = {
  host: 'example.org:80',
  cookie: 'a=1; b=2:3',
  'sec-websocket-key': 'x',
  'sec-websocket-version': '13',
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-protocol': 'chat.v1, chat.v2',
}

it('tells path and query apart', () => {
  const { path, query } = new WebSocketRequest({ url: '/chat?room=1&room=2', headers: {} }, [])
  expect([path, query.getAll('room')]).toEqual(['/chat', ['1', '2']])
  expect(new WebSocketRequest({ url: '/chat', headers: {} }, []).query.size).toBe(0)
})

it('keeps headers beyond the handshake, but for its own', () => {
  const request = new WebSocketRequest({ url: '/', headers: HEADERS }, [])
  expect(request.headers).toEqual(HEADERS)
  request.conclude()
  const { host, cookie } = HEADERS
  expect(request.headers).toEqual({ host, cookie, 'sec-websocket-protocol': 'chat.v1, chat.v2' })
  const bare = new WebSocketRequest({ url: '/', headers: {} }, [])
  bare.conclude()
  expect(bare.headers).toEqual({})
})

it('agrees on what the server likes best among the offers', () => {
  const agreed = (known: string[]) => new WebSocketRequest({ url: '/', headers: HEADERS }, known).subprotocol
  expect(agreed(['chat.v2', 'chat.v1'])).toBe('chat.v2')
  expect(agreed(['chat.v3', 'chat.v1'])).toBe('chat.v1')
  expect(agreed(['chat'])).toBeNull()
  expect(agreed([])).toBeNull()
})

it('lets no subprotocol be chosen that was not offered', () => {
  const request = new WebSocketRequest({ url: '/', headers: HEADERS }, ['chat.v2'])
  request.subprotocol = 'chat.v1'
  expect(request.subprotocol).toBe('chat.v1')
  expect(() => {
    request.subprotocol = 'chat.v3'
  }).toThrow(TypeError)
  request.subprotocol = null
  expect(request.subprotocol).toBeNull()
})

it('gives the headers of the answer as lines, once', () => {
  const request = new WebSocketRequest({ url: '/', headers: {} }, [])
  request.responseHeaders.append('Set-Cookie', 'a=1')
  request.responseHeaders.append('Set-Cookie', 'b=2')
  expect(() => request.responseHeaders.set('X', 'a\r\nb')).toThrow()
  expect(request.conclude()).toEqual(['set-cookie: a=1', 'set-cookie: b=2'])
  expect(request.conclude()).toEqual([])
})
