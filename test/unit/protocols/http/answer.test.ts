/** The last answer on a connection, with a real server and raw clients: what it says, and that it arrives whole. */
import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { closeAfter, comesTooLate, exchangeOf } from '../../../../src/protocols/http/answer.ts'

/** A server that drains from its first request on: each answer may be the last of its connection. */
async function drainingServer(listener: RequestListener): Promise<number> {
  const server = createServer((request, response) => {
    const exchange = exchangeOf(request.socket)
    exchange.open.push(response)
    response.on('close', () => exchange.open.splice(exchange.open.indexOf(response), 1))
    closeAfter(response, exchange)
    listener(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

/** Sends this and reads until the server has ended the connection. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => {
    socket.destroy()
  })
  socket.write(text)
  return readAll(socket)
}

async function readAll(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text
}

function headers(answer: string, name: string): string[] {
  const head = answer.split('\r\n\r\n', 1)[0] ?? ''
  return head.split('\r\n').filter((line) => line.toLowerCase().startsWith(`${name}:`))
}

/** The body of the one answer in this text, chunked or not. */
function bodyOf(answer: string): string {
  const [head = '', ...rest] = answer.split('\r\n\r\n')
  const body = rest.join('\r\n\r\n')
  if (!head.includes('Transfer-Encoding: chunked')) return body
  expect(body).toMatch(/\r\n0\r\n\r\n$/)
  return body.replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n/g, '').trimEnd()
}

describe('the last answer on a connection', () => {
  it.each<[string, (response: ServerResponse) => void]>([
    ['with headers of its own', (response) => response.writeHead(200, { 'X-Own': '1' }).end('whole')],
    ['without writeHead', (response) => response.setHeader('X-Own', '1').end('whole')],
    ['with a status text', (response) => response.writeHead(200, 'Fine', { 'X-Own': '1' }).end('whole')],
    ['with pairs of headers in one list', (response) => response.writeHead(200, ['X-Own', '1']).end('whole')],
    [
      'that wants to keep the connection',
      (response) =>
        response.writeHead(200, { connection: 'keep-alive', 'Keep-Alive': 'timeout=5', 'X-Own': '1' }).end('whole'),
    ],
    [
      'that wants so in a list',
      (response) => response.writeHead(200, ['Connection', 'keep-alive', 'X-Own', '1']).end('whole'),
    ],
    [
      'that has set so before',
      (response) => response.setHeader('Connection', 'keep-alive').setHeader('X-Own', '1').end('whole'),
    ],
    [
      'in pieces',
      (response) => {
        response.setHeader('X-Own', '1')
        response.write('who')
        setImmediate(() => response.end('le'))
      },
    ],
  ])('%s says Connection: close, keeps its other headers, and is whole', async (_, answerWith) => {
    const port = await drainingServer((_request, response) => answerWith(response))
    const answer = await exchange(port, GET)
    expect(headers(answer, 'connection')).toEqual(['Connection: close'])
    expect(headers(answer, 'keep-alive')).toEqual([])
    expect(headers(answer, 'x-own')).toEqual(['X-Own: 1'])
    expect(bodyOf(answer)).toBe('whole')
  })

  it.each<[string, string[] | string[][]]>([
    ['one after another', ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2']],
    [
      'as pairs, an upstream’s own Connection between them',
      [
        ['Set-Cookie', 'a=1'],
        ['Connection', 'keep-alive'],
        ['Set-Cookie', 'b=2'],
      ],
    ],
    ['closing by itself', ['Set-Cookie', 'a=1', 'connection', 'close', 'Set-Cookie', 'b=2']],
  ])('keeps headers that a list names twice: %s', async (_, list) => {
    const port = await drainingServer((_request, response) => response.writeHead(200, list as string[]).end('whole'))
    const answer = await exchange(port, GET)
    expect(headers(answer, 'set-cookie')).toEqual(['Set-Cookie: a=1', 'Set-Cookie: b=2'])
    expect(headers(answer, 'connection')).toEqual([expect.stringMatching(/^connection: close$/i)])
    expect(bodyOf(answer)).toBe('whole')
  })

  it('still goes through a writeHead that a middleware has put in its place', async () => {
    const server = createServer((request, response) => {
      const open = exchangeOf(request.socket)
      open.open.push(response)
      const original = response.writeHead.bind(response)
      response.writeHead = ((...args: Parameters<typeof original>) => {
        response.setHeader('X-Middleware', 'ran')
        return original(...args)
      }) as typeof response.writeHead
      closeAfter(response, open)
      response.end('ok')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => {
      server.close()
    })
    const answer = await exchange((server.address() as AddressInfo).port, GET)
    expect(headers(answer, 'x-middleware')).toEqual(['X-Middleware: ran'])
    expect(headers(answer, 'connection')).toEqual(['Connection: close'])
  })

  it('is the last of the requests that were parsed: the ones before it do not close', async () => {
    const answers: ServerResponse[] = []
    const port = await drainingServer((_request, response) => {
      answers.push(response)
      if (answers.length === 3) for (const [index, one] of answers.entries()) one.end(`answer ${index}`)
    })
    const text = await exchange(port, GET.repeat(3))
    const parts = text.split(/(?=HTTP\/1\.1)/)
    expect(parts.map((part) => headers(part, 'connection')[0])).toEqual([
      'Connection: keep-alive',
      'Connection: keep-alive',
      'Connection: close',
    ])
    expect(parts.map((part) => part.slice(-8))).toEqual(['answer 0', 'answer 1', 'answer 2'])
  })

  it('is not changed once its head is written', async () => {
    const server = createServer((request, response) => {
      response.write('begun')
      const open = exchangeOf(request.socket)
      open.open.push(response)
      closeAfter(response, open)
      expect(Object.hasOwn(response, 'writeHead')).toBe(false)
      expect(open.last).toBeNull()
      response.end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    onTestFinished(() => {
      socket.destroy()
      server.close()
    })
    socket.write(GET)
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    expect(headers(String(chunk), 'connection')).toEqual(['Connection: keep-alive'])
  })

  it('arrives whole though the client goes on sending: the connection is not reset under it', async () => {
    const body = 'x'.repeat(2_000_000)
    const port = await drainingServer((_request, response) => response.end(body))
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const errors: Error[] = []
    socket.on('error', (error) => errors.push(error))
    onTestFinished(() => {
      socket.destroy()
    })
    socket.write(GET)
    await once(socket, 'data')
    socket.pause()
    for (let count = 0; count < 50; count++) socket.write(GET)
    const more = readAll(socket)
    const answer = await more
    expect(errors).toEqual([])
    expect(answer.length).toBeGreaterThan(body.length / 2)
    expect(answer.match(/HTTP\/1\.1/g)?.length ?? 0).toBeLessThanOrEqual(1)
  })
})

describe('an answer before the body of its request has come', () => {
  /** Sends chunk after chunk for so long, reads only then, and ends. */
  async function upload(port: number, ms: number): Promise<{ answer: string; errors: string[]; waiting: number }> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const errors: string[] = []
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? 'error'))
    onTestFinished(() => void socket.destroy())
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n')
    const begunAt = performance.now()
    while (performance.now() - begunAt < ms && errors.length === 0) {
      socket.write('x'.repeat(100_000))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const waiting = socket.writableLength
    const answer = errors.length === 0 ? await readAll(socket) : ''
    return { answer, errors, waiting }
  }

  it.each<[string, RequestListener]>([
    ['that nobody reads', (_request, response) => response.writeHead(403).end('no')],
    [
      'that its handler does not read any more',
      (request, response) => {
        const first = (): void => {
          request.off('data', first).pause()
          response.writeHead(413).end('no')
        }
        request.on('data', first)
      },
    ],
  ])('%s reaches a client that reads it when it has sent for longer than a second', async (_, listener) => {
    const { answer, errors, waiting } = await upload(await drainingServer(listener), 2_400)
    expect(errors).toEqual([])
    // it was read all the time
    expect(waiting).toBeLessThan(1_000_000)
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect(bodyOf(answer)).toBe('no')
    expect(headers(answer, 'connection')).toEqual(['Connection: close'])
  })
})

describe('comesTooLate', () => {
  it('is true for a request that comes after the head of the closing answer, and for no other', async () => {
    const late: boolean[] = []
    const held: ServerResponse[] = []
    const port = await drainingServer((_request, response) => {
      late.push(comesTooLate(response))
      if (late.length === 1) {
        response.write('begun')
        held.push(response)
      }
    })
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => {
      socket.destroy()
    })
    socket.write(GET)
    await once(socket, 'data')
    socket.write(GET)
    const open = held[0] ? exchangeOf(held[0].req.socket).open : []
    await expect.poll(() => open.length).toBe(2)
    expect(late).toEqual([false, true])
    held[0]?.end()
    expect(await readAll(socket)).toContain('0\r\n\r\n')
  })
})

it('each connection has one exchange', async () => {
  const seen = new Set<unknown>()
  const port = await drainingServer((request, response) => {
    expect(exchangeOf(request.socket)).toBe(exchangeOf(response.req.socket))
    seen.add(exchangeOf(request.socket))
    response.end()
  })
  await exchange(port, GET)
  await exchange(port, GET)
  expect(seen.size).toBe(2)
})
