/**
 * A connection of ours and the client at its other end, in one process and over a real socket. What its
 * hooks are told is noted in order.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { ConnectionHooks, Owner } from '../../../src/protocols/connection.ts'
import { Connections } from '../../../src/protocols/connections.ts'
import type { ConnectionLimits } from '../../../src/protocols/limits.ts'
import type { Protocol } from '../../../src/protocols/stream/protocol.ts'
import { StreamConnection } from '../../../src/protocols/stream/stream.ts'
import { TEXT } from '../../../src/protocols/stream/text.ts'
import { temporaryDirectory } from '../tempdir.ts'

export interface Pair<Message, Sent> {
  connection: StreamConnection<Message, Sent>
  client: Socket
  /** What the client has got, as text. */
  got(): string
  /** `error CODE`, `closed`, `full`, `drained`, and what the test adds. */
  told: string[]
  connections: Connections
}

export interface PairOptions<Message, Sent> {
  codec?: Protocol<Message, Sent>
  hooks?: Partial<ConnectionHooks<Message, Sent>>
  limits?: Partial<ConnectionLimits>
  /** Over a unix socket: what its client's kernel has taken has come, there is no window. */
  isUnix?: boolean
}

export const LIMITS: ConnectionLimits = {
  maxMessageBytes: 1_000,
  maxSendBufferBytes: 1024 * 1024,
  idleTimeoutMs: 0,
  heartbeat: null,
}

/** Closed behind the running test. */
export async function pair<Message = string, Sent = string>(
  options: PairOptions<Message, Sent> = {},
): Promise<Pair<Message, Sent>> {
  const told: string[] = []
  const connections = new Connections()
  const owner: Owner = {
    protocol: 'text',
    worker: { name: 'web', id: 0, generation: 1, isLeader: false, connections, broadcast: () => 0 },
    hooks: { ...notingHooks(told), ...(options.hooks as Partial<ConnectionHooks>) },
    limits: { ...LIMITS, ...options.limits },
    connections,
  }
  const server = createServer({ allowHalfOpen: true, noDelay: true })
  if (options.isUnix) server.listen(join(temporaryDirectory(), 'socket'))
  else server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as string | { port: number }
  const target = typeof address === 'string' ? { path: address } : { port: address.port, host: '127.0.0.1' }
  const client = connect({ ...target, allowHalfOpen: true, noDelay: true })
  let text = ''
  client.on('data', (chunk) => {
    text += chunk
  })
  client.on('error', (error: NodeJS.ErrnoException) => told.push(`client ${error.code}`))
  const [socket] = (await once(server, 'connection')) as [Socket]
  const connection = new StreamConnection(owner, socket, (options.codec ?? TEXT) as Protocol<Message, Sent>)
  onTestFinished(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
  void connection.open()
  return { connection, client, got: () => text, told, connections }
}

function notingHooks(told: string[]): ConnectionHooks {
  return {
    onConnect: null,
    onMessage: null,
    onClose: () => told.push('closed'),
    onError: (_connection, error) =>
      told.push(`error ${(error as { code?: string }).code ?? (error as Error).message}`),
    onBufferFull: () => told.push('full'),
    onBufferDrain: () => told.push('drained'),
  }
}

/** Turns of the loop, enough for bytes that were written to be read. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A promise that is settled by hand. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
