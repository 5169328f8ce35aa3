/** The gentle end of a socket: nothing that was sent is lost to a reset, and nobody is waited for without end. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, onTestFinished, vi } from 'vitest'
import { endGently } from '../../../src/protocols/linger.ts'

async function sockets(): Promise<{ server: Socket; client: Socket; errors: string[] }> {
  const listener = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as { port: number }
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const errors: string[] = []
  client.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? 'error'))
  const [server] = (await once(listener, 'connection')) as [Socket]
  server.on('error', () => undefined)
  onTestFinished(() => {
    client.destroy()
    server.destroy()
    listener.close()
  })
  return { server, client, errors }
}

it('a client that is still sending gets all that was sent before, and the end, and no reset', async () => {
  const { server, client, errors } = await sockets()
  const sending = setInterval(() => client.write('x'.repeat(10_000)), 1)
  onTestFinished(() => clearInterval(sending))
  let bytes = 0
  client.on('data', (chunk) => {
    bytes += chunk.length
  })
  await once(server.resume(), 'data')
  server.write(Buffer.alloc(300_000))
  endGently(server)
  await once(client, 'end')
  expect(bytes).toBe(300_000)
  clearInterval(sending)
  client.end()
  await once(server, 'close')
  expect(errors).toEqual([])
})

it('a client that has ended already is not waited for', async () => {
  const { server, client } = await sockets()
  client.end()
  await once(server.resume(), 'end')
  const begunAt = performance.now()
  endGently(server)
  await once(server, 'close')
  expect(performance.now() - begunAt).toBeLessThan(200)
})

it('one that never ends is waited for a second after it could know, and no longer', async () => {
  const { server, client, errors } = await sockets()
  client.resume()
  const begunAt = performance.now()
  endGently(server)
  await once(server, 'close')
  expect(performance.now() - begunAt).toBeGreaterThanOrEqual(1_000)
  expect(errors).toEqual([])
})

it('with less patience one that goes on sending is not waited for any longer than that', async () => {
  const { server, client, errors } = await sockets()
  const sending = setInterval(() => client.write('x'), 5)
  onTestFinished(() => clearInterval(sending))
  await once(server.resume(), 'data')
  endGently(server, 500)
  // `once` would throw what the client is told
  await new Promise((resolve) => client.once('close', resolve))
  expect(errors).toHaveLength(1)
})

it('the second begins when the last byte is with the kernel, not when the end was wanted', async () => {
  const { server, client, errors } = await sockets()
  // more than the kernel takes: it is held up until the client reads
  server.write(Buffer.alloc(32 * 1024 * 1024))
  endGently(server)
  await new Promise((resolve) => setTimeout(resolve, 1_400))
  expect(server.writableFinished).toBe(false)
  const finished = once(server, 'finish').then(() => performance.now())
  const closed = once(server, 'close').then(() => performance.now())
  let bytes = 0
  client.on('data', (chunk) => {
    bytes += chunk.length
  })
  await once(client, 'end')
  expect(bytes).toBe(32 * 1024 * 1024)
  expect((await closed) - (await finished)).toBeGreaterThanOrEqual(1_000)
  expect(errors).toEqual([])
})

it.each([
  ['takes nothing is not waited for, whatever it sends', false],
  ['takes a long write piece by piece is waited for, whether it sends or not', true],
])('one that %s', async (_, isReading) => {
  const { server, client } = await sockets()
  client.pause()
  server.write(Buffer.alloc(64 * 1024 * 1024))
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  onTestFinished(() => void vi.useRealTimers())
  endGently(server)
  let passedMs = 0
  for (; passedMs < 200_000 && !server.destroyed; passedMs += 20_000) {
    client.write('x')
    if (isReading) {
      const before = client.bytesRead
      client.resume()
      while (client.bytesRead < before + 1_000_000) await delay(1)
      client.pause()
    }
    await delay(20)
    vi.advanceTimersByTime(20_000)
  }
  // it is looked at behind each step: what it had taken until the first counts from there
  expect(passedMs).toBe(isReading ? 200_000 : 60_000)
})
