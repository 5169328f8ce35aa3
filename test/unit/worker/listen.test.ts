/** A server on a handle that somebody else has made. The same with a master's: every test of real processes. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { expect, it, onTestFinished } from 'vitest'
import { listenOn } from '../../../src/worker/listen.ts'

it('one that user code has let listen does not listen elsewhere as well: it is told what to leave out', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const address = server.address()
  let isClosed = false
  const handle = { close: () => (isClosed = true) }
  await expect(listenOn(server, handle, 511)).rejects.toMatchObject({
    code: 'ERR_OPTION',
    hint: expect.stringContaining('app.listen()'),
  })
  expect(isClosed).toBe(true)
  expect(server.address()).toEqual(address)
})
