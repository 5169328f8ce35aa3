/**
 * An Express application under Shiftwork.
 * Run it: npx tsx examples/express/start.ts start, then change app.ts and: … reload
 */
import { Worker } from 'shiftwork'

const web = new Worker(`http://127.0.0.1:${process.env.PORT ?? 8081}`, { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { app } = await import('./app.ts')
  worker.onRequest = app
}

Worker.runAll()
