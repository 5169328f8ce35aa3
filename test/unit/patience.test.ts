import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { lookEvery, waitAwake, waitFor } from '../../src/patience.ts'

/** Both ends of a connection. */
async function pair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const far = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [near] = await accepted
  server.close()
  onTestFinished(() => {
    near.destroy()
    far.destroy()
  })
  return { near, far }
}

/** So long nothing runs in this process, as if it were not given the processor. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

it('one that was stalled until its time was over hears first what has come', async () => {
  const { near, far } = await pair()
  const told: string[] = []
  near.on('data', () => told.push('heard'))
  const over = new Promise<void>((resolve) => {
    waitFor(50, () => {
      told.push('gave up')
      resolve()
    })
  })
  let looks: NodeJS.Timeout | undefined
  const looked = new Promise<void>((resolve) => {
    looks = lookEvery(50, () => {
      told.push('looked')
      resolve()
    })
  })
  far.write('x')
  // written by the kernel, not read yet
  stall(200)
  await Promise.all([over, looked])
  clearInterval(looks)
  expect(told[0]).toBe('heard')
})

it('a wait that is ended in its last moment is ended', async () => {
  let calls = 0
  const end = waitFor(10, () => calls++)
  await new Promise((resolve) => setTimeout(resolve, 10))
  end()
  end()
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(calls).toBe(0)
})

it('one that slept through its time is given it once more, and once only', async () => {
  const begunAt = performance.now()
  const over = new Promise<void>((resolve) => void waitAwake(400, resolve))
  const ended = waitAwake(400, () => expect.fail('it was ended'))
  stall(900)
  setTimeout(ended, 100)
  await over
  // 900 ms asleep, and 400 ms more
  expect(performance.now() - begunAt).toBeGreaterThanOrEqual(1_290)
})
