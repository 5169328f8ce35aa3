/**
 * A Fastify application under Shiftwork.
 * Run it: npx tsx examples/fastify/start.ts start, then change app.ts and: … reload
 */
import { Worker } from 'shiftwork'

const web = new Worker(`http://127.0.0.1:${process.env.PORT ?? 8082}`, { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { startApp } = await import('./app.ts')
  await startApp(worker)
}

Worker.runAll()
