/** How many requests may be open on one connection, and that none of them waits for one that is not read. */
import type { ServerResponse } from 'node:http'
import { expect, it } from 'vitest'
import { get, listening } from './web.ts'

it('a request at the bound, whose body comes later, is read when those before it are answered', async () => {
  const held: ServerResponse[] = []
  const web = await listening({
    onRequest: (request, response) => {
      if (request.method === 'GET') {
        held.push(response)
        return
      }
      let bytes = 0
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      request.on('end', () => response.end(`read ${bytes}`))
    },
  })
  const client = web.client()
  client.socket.write(`${get('/').repeat(64)}POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n`)
  while (held.length < 64) await new Promise((resolve) => setTimeout(resolve, 2))
  client.socket.write('whole')
  await new Promise((resolve) => setTimeout(resolve, 20))
  for (const response of held) response.end()
  await client.until('read 5')
  expect(client.statuses).toHaveLength(65)
})

it('while more are open than the bound, nothing is read; all are answered in the end', async () => {
  const held: ServerResponse[] = []
  const web = await listening({ onRequest: (_request, response) => void held.push(response) })
  const client = web.client()
  client.socket.write(get('/').repeat(70))
  while (held.length < 70) await new Promise((resolve) => setTimeout(resolve, 2))
  client.socket.write(get('/').repeat(70))
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(held).toHaveLength(70)
  for (const response of held.slice(0, 5)) response.end()
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(held).toHaveLength(70)
  held[5]?.end()
  while (held.length < 140) await new Promise((resolve) => setTimeout(resolve, 2))
  for (const response of held.slice(6)) response.end()
  while (client.statuses.length < 140) await new Promise((resolve) => setTimeout(resolve, 2))
})
