/**
 * The main example: web workers, and a job worker whose timer runs in one process of the fleet.
 * Run it: npx tsx examples/hello/start.ts start, then change app.ts and: … reload
 */
import { Worker } from 'shiftwork'

const web = new Worker(`http://127.0.0.1:${process.env.PORT ?? 8080}`, { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { app } = await import('./app.ts')
  worker.onRequest = app
}

const jobs = new Worker({ name: 'jobs' })
jobs.onWorkerStart = async (worker) => {
  const { startJobs } = await import('./jobs.ts')
  startJobs(worker)
}

Worker.runAll()
