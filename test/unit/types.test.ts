/** What the compiler knows of a worker: messages and what may be sent follow from the address, or from the protocol. */
import { expectTypeOf, it } from 'vitest'
import { BusinessWorker, Gateway, GatewayClient } from '../../src/gateway/index.ts'
import {
  type Connection,
  type HttpRequest,
  type MessageOf,
  type Protocol,
  type Sendable,
  type SentOf,
  Worker,
  type WorkerOptions,
} from '../../src/index.ts'

type Bytes = string | Uint8Array

it('a message is what the address says', () => {
  expectTypeOf<MessageOf<'text://0.0.0.0:1'>>().toEqualTypeOf<string>()
  expectTypeOf<MessageOf<'text+tls://0.0.0.0:1'>>().toEqualTypeOf<string>()
  expectTypeOf<MessageOf<'text+unix:///run/a.sock'>>().toEqualTypeOf<string>()
  expectTypeOf<MessageOf<'frame://0.0.0.0:1'>>().toEqualTypeOf<Buffer>()
  expectTypeOf<MessageOf<'frame+tls://0.0.0.0:1'>>().toEqualTypeOf<Buffer>()
  expectTypeOf<MessageOf<'tcp://0.0.0.0:1'>>().toEqualTypeOf<Buffer>()
  expectTypeOf<MessageOf<'tls://0.0.0.0:1'>>().toEqualTypeOf<Buffer>()
  expectTypeOf<MessageOf<'tcp+unix:///run/a.sock'>>().toEqualTypeOf<Buffer>()
  expectTypeOf<MessageOf<'websocket://0.0.0.0:1'>>().toEqualTypeOf<string | Buffer>()
  expectTypeOf<MessageOf<'wss://0.0.0.0:1'>>().toEqualTypeOf<string | Buffer>()
  expectTypeOf<MessageOf<'http://0.0.0.0:1'>>().toEqualTypeOf<HttpRequest>()
  expectTypeOf<MessageOf<`text://0.0.0.0:${string}`>>().toEqualTypeOf<string>()
  expectTypeOf<MessageOf<string>>().toEqualTypeOf<unknown>()
})

it('what may be sent, too', () => {
  expectTypeOf<SentOf<'text://0.0.0.0:1'>>().toEqualTypeOf<string>()
  expectTypeOf<SentOf<'frame://0.0.0.0:1'>>().toEqualTypeOf<Bytes>()
  expectTypeOf<SentOf<'tcp://0.0.0.0:1'>>().toEqualTypeOf<Bytes>()
  expectTypeOf<SentOf<'wss://0.0.0.0:1'>>().toEqualTypeOf<Bytes>()
  expectTypeOf<SentOf<'https://0.0.0.0:1'>>().toEqualTypeOf<Sendable>()
  expectTypeOf<SentOf<string>>().toEqualTypeOf<unknown>()
})

it('a worker of an address takes hooks of that', () => {
  const text = new Worker('text://127.0.0.1:0')
  text.onMessage = (connection, line) => {
    expectTypeOf(line).toEqualTypeOf<string>()
    expectTypeOf(connection).toEqualTypeOf<Connection<string>>()
    // @ts-expect-error a line is text
    connection.send(Buffer.of(1))
  }
  text.onClose = (connection) => expectTypeOf(connection).toEqualTypeOf<Connection<string>>()
  // @ts-expect-error a line is no number
  text.onMessage = (_connection, line: number) => line
  text.onWorkerServing = async (worker) => expectTypeOf(worker.connections.size).toEqualTypeOf<number>()
  text.onStatus = (worker) => ({ clients: worker.connections.size, mode: 'late', isFull: false })
  // @ts-expect-error nobody waits for it
  text.onStatus = async () => ({ clients: 1 })
  const frame = new Worker(`frame://127.0.0.1:${process.env['PORT'] ?? 0}`, { heartbeat: { everyMs: 1, data: 'x' } })
  frame.onMessage = (connection, bytes) => {
    expectTypeOf(bytes).toEqualTypeOf<Buffer>()
    return connection.send(bytes)
  }
  // @ts-expect-error a ping is something that can be sent
  new Worker('text://127.0.0.1:0', { heartbeat: { everyMs: 1, data: 1 } })
})

it('an address that is only known at run time gives values that must be looked at', () => {
  const any = new Worker(process.env['LISTEN'] ?? 'text://127.0.0.1:0')
  any.onMessage = (_connection, message) => expectTypeOf(message).toEqualTypeOf<unknown>()
  // hooks of any worker may be written for less
  any.onMessage = (_connection, line: string) => line.length
})

interface Order {
  item: string
}

const ORDERS: Protocol<Order, { total: number }> = {
  input: (buffer, connection, seen) => {
    expectTypeOf(seen).toEqualTypeOf<number>()
    expectTypeOf(connection).toEqualTypeOf<Connection<{ total: number }>>()
    return buffer.indexOf(0) + 1
  },
  decode: (bytes) => ({ item: bytes.toString() }),
  encode: (receipt) => String(receipt.total),
}

it('a protocol of one’s own says what a message is, and what may be sent', () => {
  const orders = new Worker('tcp://127.0.0.1:0', { protocol: ORDERS })
  orders.onMessage = (connection, order) => {
    expectTypeOf(order).toEqualTypeOf<Order>()
    connection.send({ total: 1 })
    // @ts-expect-error that is an order and no receipt
    connection.send({ item: 'x' })
  }
  expectTypeOf<WorkerOptions<Order, { total: number }>['protocol']>().toEqualTypeOf<typeof ORDERS | undefined>()
})

it('a bus may come from the environment, where there is none', () => {
  const bus = process.env['NO_SUCH_BUS']
  const gateway = new Gateway('text://127.0.0.1:0', { bus })
  const business = new BusinessWorker({ bus })
  const client = new GatewayClient({ bus, linkDir: '/nowhere' })
  client.disconnect()
  expectTypeOf([gateway.worker, business.worker]).toEqualTypeOf<Worker[]>()
})

it('a context is the user’s own', () => {
  expectTypeOf<Connection<string>['context']['anything']>().toEqualTypeOf<unknown>()
})
