/**
 * Push: your web code tells a user something, wherever the user is connected, and knows what became of it.
 * Run it: npx tsx examples/push/start.ts start
 * Open http://127.0.0.1:8094/?uid=anna, and: curl -d 'your parcel is here' 'http://127.0.0.1:8094/push?uid=anna'
 */
import { Worker } from 'shiftwork'
import { BusinessWorker, Gateway } from 'shiftwork/gateway'

const web = new Worker(`http://127.0.0.1:${process.env.PORT ?? 8094}`, { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { answer } = await import('./web.ts')
  worker.onMessage = answer
}

const gateway = new Gateway(`websocket://127.0.0.1:${process.env.GATEWAY_PORT ?? 8095}`, {
  name: 'gateway',
  after: 'business', // it starts when somebody greets its clients, and stops first
  heartbeat: { everyMs: 30_000 },
})
gateway.onWorkerStart = async () => {
  const { admit } = await import('./users.ts')
  gateway.onWebSocketConnect = admit
}

const business = new BusinessWorker({ name: 'business' })
business.onWorkerStart = async () => {
  const { welcome } = await import('./users.ts')
  business.onWebSocketConnect = welcome
}

Worker.runAll()
