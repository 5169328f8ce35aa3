/** What hooks get follows from the address: held by the compiler, which checks this file. */
import { expectTypeOf, it } from 'vitest'
import { type Connection, type HttpConnection, type HttpRequest, Worker } from '../../../src/index.ts'

it('over HTTP a hook gets an HttpConnection and an HttpRequest, over other addresses what they have', () => {
  const web = new Worker('http://127.0.0.1:80')
  web.onMessage = async (connection, request) => {
    expectTypeOf(connection).toEqualTypeOf<HttpConnection>()
    expectTypeOf(request).toEqualTypeOf<HttpRequest>()
    await connection.sendFile(request.decodedPath, { root: 'public' })
  }
  const lines = new Worker('text://127.0.0.1:80')
  lines.onMessage = (connection, line) => {
    expectTypeOf(connection).toEqualTypeOf<Connection<string>>()
    expectTypeOf(line).toEqualTypeOf<string>()
  }
  const any = new Worker('http://127.0.0.1:80' as string)
  any.onMessage = (connection) => expectTypeOf(connection).toEqualTypeOf<Connection<unknown>>()
})
