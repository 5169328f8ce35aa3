/** One more address of a worker: who is connected to it, and what its end leaves alone. In this process. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { beforeEach, expect, it, onTestFinished } from 'vitest'
import { listen } from '../../../src/inside/listen.ts'
import { enter } from '../../../src/inside/present.ts'
import { Timers } from '../../../src/inside/timers.ts'
import { Upstreams } from '../../../src/inside/upstreams.ts'
import { Branch } from '../../../src/protocols/branch.ts'
import { Connections } from '../../../src/protocols/connections.ts'
import { until } from '../../helpers/processes.ts'
import { isKeptAlive } from '../protocols/keepalive.ts'

const worker = {
  name: 'web',
  id: 0,
  generation: 1,
  isLeader: false,
  connections: { size: 0 } as never,
  broadcast: () => 0,
}

beforeEach(() => {
  enter({
    worker,
    upstreams: new Upstreams(worker),
    timers: new Timers(worker),
    branch: () => new Branch(new Connections()),
    keepListening: () => undefined,
    discount: () => undefined,
  })
})

async function clientOf(port: number | null): Promise<Socket> {
  const client = connect(port ?? 0, '127.0.0.1').on('error', () => undefined)
  onTestFinished(() => void client.destroy())
  await once(client, 'connect')
  return client
}

async function ask(client: Socket): Promise<string> {
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const [chunk] = await once(client, 'data')
  return String(chunk).split('\r\n')[0] ?? ''
}

it('of http: its connections are those that are open, and close leaves them open', async () => {
  const admin = await listen('http://127.0.0.1:0', { onRequest: (_request, response) => response.end('ok') })
  const [first, second] = [await clientOf(admin.port), await clientOf(admin.port)]
  expect([await ask(first), await ask(second)]).toEqual(['HTTP/1.1 200 OK', 'HTTP/1.1 200 OK'])
  expect(admin.connections.size).toBe(2)
  expect([...admin.connections].map(({ remotePort }) => remotePort)).toEqual([first.localPort, second.localPort])
  second.destroy()
  await until('one has left', () => admin.connections.size === 1)
  admin.close()
  // one that is at rest may be about to ask
  expect(await ask(first)).toBe('HTTP/1.1 200 OK')
  const refused = connect(admin.port ?? 0, '127.0.0.1')
  await expect(once(refused, 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

it.skipIf(process.platform !== 'linux')('a client whose machine has gone is found out by the kernel', async () => {
  const inside = await listen('text://127.0.0.1:0', { onMessage: () => undefined })
  const { localPort = 0 } = await clientOf(inside.port)
  await until('its keepalive runs', () => isKeptAlive({ localPort: inside.port ?? 0, remotePort: localPort }))
  expect(inside.connections.size).toBe(1)
  inside.close()
})
