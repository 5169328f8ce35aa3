/**
 * A TCP proxy: what a client sends goes to the web workers behind it, as fast as they take it, and back.
 * Run it: npx tsx examples/proxy/start.ts start
 * Ask it: curl http://127.0.0.1:8088, then change app.ts or proxy.ts and: … reload
 */
import { Worker } from 'shiftwork'

const webPort = process.env.PORT ?? 8089

const web = new Worker(`http://127.0.0.1:${webPort}`, { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { app } = await import('./app.ts')
  worker.onRequest = app
}

const proxy = new Worker(`tcp://127.0.0.1:${process.env.PROXY_PORT ?? 8088}`, {
  name: 'proxy',
  count: 2,
  after: 'web', // it starts when there is something to connect to, and stops first
})
proxy.onWorkerStart = async (worker) => {
  const { proxyTo } = await import('./proxy.ts')
  worker.onConnect = proxyTo(`tcp://127.0.0.1:${webPort}`)
}

Worker.runAll()
