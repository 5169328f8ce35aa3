/** The socket that the master holds: bound, never read, and looked for at start. */
import { createSocket } from 'node:dgram'
import { getSystemErrorName } from 'node:util'
import { expect, it, onTestFinished, vi } from 'vitest'
import { canHoldDatagrams, createDatagramHandle } from '../../../src/master/datagrams.ts'
import { assertNodeInternals } from '../../../src/master/listeners.ts'

function createHandle(): NonNullable<ReturnType<typeof createDatagramHandle>> {
  const handle = createDatagramHandle(4)
  if (!handle) throw new Error('this Node.js has no such handle')
  return handle
}

it('what comes for a bound handle waits until somebody reads it', async () => {
  const handle = createHandle()
  expect(handle.bind('127.0.0.1', 0, 0)).toBe(0)
  const out: { port?: number } = {}
  handle.getsockname(out)
  const client = createSocket('udp4')
  onTestFinished(() => void client.close())
  for (const text of ['1', '2', '3']) await new Promise((resolve) => client.send(text, out.port, '127.0.0.1', resolve))
  // so many turns of the loop would have read it
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  const reader = createSocket('udp4')
  onTestFinished(() => void reader.close())
  const texts = await new Promise<string[]>((resolve) => {
    const read: string[] = []
    reader.on('message', (data) => read.push(data.toString()) === 3 && resolve(read))
    reader.bind(handle as never)
  })
  expect(texts).toEqual(['1', '2', '3'])
})

it('a port that is taken is told at once, as the system says it', () => {
  const [one, other] = [createHandle(), createHandle()]
  onTestFinished(() => {
    one.close()
    other.close()
  })
  expect(one.bind('127.0.0.1', 0, 0)).toBe(0)
  const out: { port?: number } = {}
  one.getsockname(out)
  expect(getSystemErrorName(other.bind('127.0.0.1', out.port ?? 0, 0))).toBe('EADDRINUSE')
})

it('a Node.js without such a handle is told in one sentence at start', () => {
  expect(canHoldDatagrams()).toBe(true)
  expect(() => assertNodeInternals()).not.toThrow()
  const symbols = vi.spyOn(Object, 'getOwnPropertySymbols').mockReturnValue([])
  onTestFinished(() => symbols.mockRestore())
  expect(canHoldDatagrams()).toBe(false)
  expect(() => assertNodeInternals()).toThrow(`Node.js ${process.version} is not supported by this version`)
})
