/**
 * A chat with rooms, names and private messages. The gateway holds the clients and stays; everything that they say is
 * handled by business workers, which you replace as often as you like while people talk.
 * Run it: npx tsx examples/chat-gateway/start.ts start
 * Open http://127.0.0.1:8092 in two windows, talk, change VERSION in app.ts and: … reload
 */
import { Worker } from 'shiftwork'
import { BusinessWorker, Gateway } from 'shiftwork/gateway'

const web = new Worker(`http://127.0.0.1:${process.env.PORT ?? 8092}`, { name: 'web' })
web.onWorkerStart = async (worker) => {
  const { page } = await import('./page.ts')
  worker.onRequest = page
}

new Gateway(`websocket://127.0.0.1:${process.env.GATEWAY_PORT ?? 8093}`, {
  name: 'gateway',
  after: 'business', // it starts when somebody handles its clients, and stops first
  maxMessageBytes: 16 * 1024,
  heartbeat: { everyMs: 30_000 },
})

const business = new BusinessWorker({ name: 'business', count: 2 })
business.onWorkerStart = async () => {
  const app = await import('./app.ts')
  business.onConnect = app.onConnect
  business.onMessage = app.onMessage
  business.onClose = app.onClose
  business.onError = app.onError
}

Worker.runAll()
