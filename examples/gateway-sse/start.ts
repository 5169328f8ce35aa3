/**
 * A gateway that holds streams of server-sent events open while the web workers beside it reload.
 * Run it: npx tsx examples/gateway-sse/start.ts start
 * Listen: curl -N http://127.0.0.1:8084, then change app.ts and: … reload
 */
import { Worker } from 'shiftwork'

const web = new Worker(`http://127.0.0.1:${process.env.PORT ?? 8083}`, { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { app } = await import('./app.ts')
  worker.onRequest = app
}

const gateway = new Worker(`http://127.0.0.1:${process.env.EVENTS_PORT ?? 8084}`, {
  name: 'gateway',
  reloadable: false,
})
gateway.onWorkerStart = async (worker) => {
  const { openGateway } = await import('./gateway.ts')
  openGateway(worker)
}

Worker.runAll()
