/** A Fastify application on the worker's own server, so that plugins for WebSockets find it, too. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import Fastify from 'fastify'
import type { Worker } from 'shiftwork'

export async function startApp(worker: Worker): Promise<void> {
  const server = worker.server as Server
  const app = Fastify({
    serverFactory: (handler) => {
      worker.onRequest = handler
      return server
    },
  })

  app.get('/', () => ({ hello: 'fastify', pid: process.pid }))
  app.post('/echo', (request) => ({ received: request.body }))

  // plugins are loaded, hooks have run: a mistake in one fails the start, and a reload keeps the old code
  await app.ready()

  worker.onWorkerStop = async () => {
    // not before the last client has left: a closing application answers 503
    await once(server, 'close')
    await app.close()
  }
}
