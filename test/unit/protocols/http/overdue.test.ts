/** Idle connections whose time is over, with a real server that is blocked while its clients send. */
import { expect, it } from 'vitest'
import { block, get, listening } from './web.ts'

const KEEP = { keepAliveTimeout: 50, keepAliveTimeoutBuffer: 0 }

it('one whose request has come while a handler blocked the worker is answered', async () => {
  let late = (): void => undefined
  const web = await listening(
    {
      onRequest: (request, response) => {
        if (request.url === '/blocks') {
          late()
          block(1_200)
        }
        response.end(`fine ${request.url}`)
      },
    },
    KEEP,
  )
  const client = web.client()
  client.socket.write(get('/first'))
  await client.until('fine /first')
  late = () => void client.socket.write(get('/second'))
  web.client().socket.write(get('/blocks'))
  await client.until('fine /second')
  expect(client.told).toEqual([])
})

it('one that is silent is closed', async () => {
  const web = await listening({ onRequest: (_request, response) => response.end('fine') }, KEEP)
  const client = web.client()
  client.socket.write(get('/'))
  await client.until('fine')
  await client.closed()
  expect(client.told).toEqual(['end', 'close'])
})

it('a listener of user code for the timeout still decides by itself', async () => {
  const web = await listening({ onRequest: (_request, response) => response.end('fine') }, KEEP)
  let calls = 0
  web.server.on('timeout', () => void calls++)
  const client = web.client()
  client.socket.write(get('/'))
  await client.until('fine')
  await expect.poll(() => calls, { timeout: 5_000 }).toBeGreaterThan(0)
  client.socket.write(get('/'))
  client.text = ''
  await client.until('fine')
})

it('a time that is set for a request, or by server.setTimeout, is kept as Node.js keeps it', async () => {
  const web = await listening({
    onRequest: (request, response) => {
      if (request.url === '/told') response.setTimeout(30, () => setTimeout(() => response.end('told'), 30))
      if (request.url === '/closed') request.setTimeout(30)
    },
  })
  const told = web.client()
  told.socket.write(get('/told'))
  await told.until('told')
  const closed = web.client()
  closed.socket.write(get('/closed'))
  await closed.closed()
  web.server.setTimeout(30)
  const all = web.client()
  all.socket.write(get('/nothing'))
  await all.closed()
})
