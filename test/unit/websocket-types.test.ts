/** What hooks get follows from the address: checked by the compiler. */
import { expectTypeOf, it } from 'vitest'
import {
  type Connection,
  type HttpRequest,
  type WebSocketConnection,
  type WebSocketRequest,
  Worker,
} from '../../src/index.ts'

it('a WebSocket has connections of its own, strings and buffers', () => {
  for (const worker of [new Worker('websocket://a:1'), new Worker('ws://a:1'), new Worker('wss://a:1')]) {
    expectTypeOf<Parameters<NonNullable<typeof worker.onMessage>>>().toEqualTypeOf<
      [connection: WebSocketConnection, message: string | Buffer]
    >()
    expectTypeOf<Parameters<NonNullable<typeof worker.onWebSocketConnect>>>().toEqualTypeOf<
      [connection: WebSocketConnection, request: WebSocketRequest]
    >()
  }
  const unix = new Worker('websocket+unix:///a')
  unix.onWorkerStart = (worker) => {
    worker.onClose = (connection) => expectTypeOf(connection.closeCode).toEqualTypeOf<number | null>()
    worker.onMessage = (connection, message) => {
      connection.send(message)
      connection.closeWith(4000, connection.request.path)
      // @ts-expect-error no JSON by itself
      connection.send({ an: 'object' })
    }
  }
})

it('others have what they had', () => {
  const web = new Worker('http://a:1')
  expectTypeOf<Parameters<NonNullable<typeof web.onMessage>>[1]>().toEqualTypeOf<HttpRequest>()
  const lines = new Worker('text://a:1')
  expectTypeOf<Parameters<NonNullable<typeof lines.onMessage>>>().toEqualTypeOf<
    [connection: Connection<string>, message: string]
  >()
  const any = new Worker('text://a:1' as string)
  expectTypeOf<Parameters<NonNullable<typeof any.onMessage>>>().toEqualTypeOf<
    [connection: Connection<unknown>, message: unknown]
  >()
})
