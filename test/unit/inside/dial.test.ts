/** The socket of an outgoing connection: how it is set up, and how its time is shared. */
import { readFileSync } from 'node:fs'
import { type AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { expect, it, onTestFinished, vi } from 'vitest'
import { parseAddress } from '../../../src/address.ts'
import { dial, leftMs } from '../../../src/inside/dial.ts'
import { makeCertificate } from '../../helpers/certificate.ts'
import { until } from '../../helpers/processes.ts'
import type { Project } from '../../helpers/project.ts'
import { isKeptAlive } from '../protocols/keepalive.ts'
import { temporaryDirectory } from '../tempdir.ts'

it.skipIf(process.platform !== 'linux')('inside TLS, too, it does not delay, and is kept alive', async () => {
  const dir = temporaryDirectory()
  makeCertificate({ dir } as Project)
  const [key, cert] = [readFileSync(join(dir, 'key.pem')), readFileSync(join(dir, 'cert.pem'))]
  const server = createServer({ key, cert }, (socket) => void socket.on('error', () => undefined).resume())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const noDelay = vi.spyOn(Socket.prototype, 'setNoDelay')
  const address = parseAddress(`tls://127.0.0.1:${port}`)
  const { socket, connected } = dial({ address, name: 'x', tls: { rejectUnauthorized: false }, timeoutMs: 20_000 })
  onTestFinished(() => {
    vi.restoreAllMocks()
    socket.destroy()
    server.close()
  })
  await connected
  expect(noDelay.mock.contexts).toContain(socket)
  await until('its keepalive runs', () => isKeptAlive(socket))
})

it('a stage gets what is left of the time, and a quarter when the one before was heard of late', () => {
  expect(leftMs(1_000, performance.now() - 5_000)).toBe(250)
  expect(leftMs(1_000, performance.now() - 100)).toBeGreaterThan(250)
  expect(leftMs(1_000, performance.now() - 100)).toBeLessThanOrEqual(900)
})
