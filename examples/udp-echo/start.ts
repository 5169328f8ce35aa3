/**
 * Datagrams: each is answered by one of two workers, which read the same socket.
 * Run it: npx tsx examples/udp-echo/start.ts start, and ask it: echo hi | nc -u -w 1 127.0.0.1 8087
 */
import { Worker } from 'shiftwork'

const web = new Worker(`udp://127.0.0.1:${process.env.PORT ?? 8087}`, { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { echo } = await import('./app.ts')
  worker.onMessage = echo
}

Worker.runAll()
