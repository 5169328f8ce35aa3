/** Handlers that fail: what their clients get, what is left of their neighbours, and that the worker stays. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { get, listening } from './web.ts'

describe('a handler that fails', () => {
  it('is answered for without the headers and the status text that it has set', async () => {
    const web = await listening({
      onRequest: (_request, response) => {
        response.setHeader('Content-Encoding', 'gzip').setHeader('Cache-Control', 'max-age=60')
        response.setHeader('Set-Cookie', 'a=1')
        response.statusMessage = 'Fine'
        throw new Error('on purpose')
      },
    })
    const client = web.client()
    client.socket.write(get('/'))
    await client.until('\r\n\r\n')
    expect(client.text).toMatch(/^HTTP\/1\.1 500 Internal Server Error\r\n/)
    expect(client.text).not.toMatch(/encoding|cache-control|set-cookie/i)
    expect(web.log()).toContain('the handler of GET / threw: Error: on purpose')
  })

  it('leaves the answers to the requests behind its own; with a body that has not come it is the last one', async () => {
    const web = await listening({
      onRequest: (request, response) => {
        if (request.url !== '/') throw new Error('on purpose')
        response.end('fine')
      },
    })
    const client = web.client()
    client.socket.write(get('/fails') + get('/'))
    await client.until('fine')
    expect(client.statuses).toEqual(['500', '200'])
    client.socket.write('POST /fails HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n')
    await client.closed()
    expect(client.statuses).toEqual(['500', '200', '500'])
    expect(client.text.match(/Connection: close/g)).toHaveLength(1)
  })

  it('half-way, behind an answer that is still being made, ends the connection after that one', async () => {
    let first: ServerResponse | null = null
    const web = await listening({
      onRequest: (request, response) => {
        if (request.url === '/first') {
          first = response
          return
        }
        response.write('half')
        throw new Error('on purpose')
      },
    })
    const client = web.client()
    client.socket.write(get('/first') + get('/half'))
    while (!web.log().includes('on purpose')) await new Promise((resolve) => setTimeout(resolve, 2))
    ;(first as ServerResponse | null)?.end('whole')
    await client.closed()
    expect(client.text).toMatch(/whole$/)
  })

  it.each([
    ['1.0, whose answers end with the connection, sees it reset', '1.0', 'ECONNRESET'],
    ['1.1 sees an answer without its end', '1.1', 'end'],
  ])('half-way: a client of HTTP/%s', async (_, version, end) => {
    let answer: ServerResponse | null = null
    const web = await listening({
      onRequest: (_request, response) => {
        answer = response
        response.write('half')
        return new Promise((_resolve, reject) => response.on('break', () => reject(new Error('on purpose'))))
      },
    })
    const client = web.client()
    client.socket.write(get('/').replace('1.1', version))
    await client.until('half')
    ;(answer as ServerResponse | null)?.emit('break')
    await client.closed()
    expect(client.told[0]).toBe(end)
    expect(client.text).not.toContain('\r\n0\r\n')
  })
})

describe('a listener that user code has put on the server, and that fails', () => {
  const failing = (request: IncomingMessage): URL => new URL(request.url ?? '', 'ws://base')
  const UPGRADE = 'Connection: Upgrade\r\nUpgrade: own\r\n'

  it.each([
    ['at once', failing],
    ['later', async (request: IncomingMessage) => failing(request)],
  ])(
    'for an upgrade or CONNECT, %s, costs its own client the connection, and nobody else anything',
    async (_, listener) => {
      const web = await listening({ onRequest: (_request, response) => response.end('fine') })
      for (const event of ['upgrade', 'connect'] as const) web.server.on(event, (request) => listener(request))
      for (const head of [get('//', UPGRADE), get('//', UPGRADE).replace('GET', 'CONNECT')]) {
        const client = web.client()
        client.socket.write(head)
        await client.closed()
        expect(client.text).toBe('')
      }
      expect(web.log()).toMatch(/\/0 \(pid \d+\): a listener of 'upgrade' of GET \/\/ threw: TypeError: Invalid URL/)
      expect(web.log()).toMatch(/a listener of 'connect' of CONNECT \/\/ threw: TypeError/)
      const next = web.client()
      next.socket.write(get('/'))
      await next.until('fine')
    },
  )

  it.each([
    ['at once', failing],
    ['later', async (request: IncomingMessage) => failing(request)],
  ])('alone with the requests, %s, is answered for with 500', async (_, listener) => {
    const web = await listening({})
    web.server.removeAllListeners('request').on('request', (request) => listener(request))
    const client = web.client()
    client.socket.write(get('//'))
    await client.until('\r\n\r\n')
    expect(client.statuses).toEqual(['500'])
  })

  it('beside another that may answer, costs the connection: the other one finds nothing answered', async () => {
    let other: ServerResponse | null = null
    const web = await listening({
      onRequest: (_request, response) => {
        other = response
      },
    })
    web.server.on('request', failing)
    const client = web.client()
    client.socket.write(get('//'))
    await client.closed()
    expect((other as ServerResponse | null)?.writeHead(200).end('late').writableEnded).toBe(true)
    expect(client.text).toBe('')
  })
})

describe('connection.close() while an answer is on its way', () => {
  it('lets an answer say so whose head is not written', async () => {
    const body = async function* (): AsyncGenerator<string> {
      await new Promise((resolve) => setTimeout(resolve, 10))
      yield 'streamed'
    }
    const web = await listening({
      onMessage: ((connection: { send: (value: unknown) => void; close: () => void }) => {
        connection.send(body())
        connection.close()
      }) as never,
    })
    const client = web.client()
    client.socket.write(get('/') + get('/'))
    await client.closed()
    expect(client.statuses).toEqual(['200'])
    expect(client.text).toContain('Connection: close\r\n')
    expect(client.text).toMatch(/streamed\r\n0\r\n\r\n$/)
    expect(client.told).toEqual(['end', 'close'])
  })
})

it('a socket that is handed out is nobody’s error when its client resets it', async () => {
  const web = await listening({})
  const handed = new Promise<Socket>((resolve) =>
    web.server.on('upgrade', (_request, socket) => resolve(socket as Socket)),
  )
  const client = web.client()
  client.socket.write(get('/', 'Connection: Upgrade\r\nUpgrade: own\r\n'))
  const socket = await handed
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
  client.socket.resetAndDestroy()
  expect(await closed).toBe(true)
})
