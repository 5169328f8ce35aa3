/** Start files and business code of the process tests, as text: what a user would write. */

/** A start file with one group `web` on a free port; `options` go to the Worker as they are. */
export function webStart(options: Record<string, unknown> = {}, listen = 'http://127.0.0.1:0'): string {
  return `
import { Worker } from 'shiftwork'
const web = new Worker(${JSON.stringify(listen)}, ${JSON.stringify({ name: 'web', count: 2, bakeMs: 50, ...options })})
web.onWorkerStart = async (worker) => {
  const { createApp } = await import('./app.js')
  worker.onRequest = createApp(worker)
}
Worker.runAll()
`
}

/** Answers with its pid and a version; \`/slow\` after 0.8 s, a POST after it was read whole. */
export function app(version: string, more = ''): string {
  return `
export function createApp(worker) {
  ${more}
  return (request, response) => {
    const reply = (extra) => {
      response.setHeader('Content-Type', 'application/json')
      response.end(JSON.stringify({ pid: process.pid, version: ${JSON.stringify(version)}, id: worker.id, generation: worker.generation, ...extra }))
    }
    if (request.url.startsWith('/slow')) return setTimeout(reply, Number(new URL(request.url, 'http://x').searchParams.get('ms') ?? 800))
    if (request.method !== 'POST') return reply()
    let bytes = 0
    request.on('data', (chunk) => { bytes += chunk.length })
    request.on('end', () => reply({ bytes }))
  }
}
`
}

/** A group of a start file: where it listens, its options, and the file of its code (default `app.js`). */
export interface GroupOf {
  listen?: string
  code?: string
  [option: string]: unknown
}

/** A start file with several groups; those that listen nowhere do nothing. */
export function fleetStart(groups: Record<string, GroupOf>): string {
  const rows = Object.entries(groups).map(([name, { listen = null, code = 'app.js', ...options }]) => ({
    listen,
    code,
    options: { name, bakeMs: 50, ...options },
  }))
  return `
import { Worker } from 'shiftwork'
for (const { listen, code, options } of ${JSON.stringify(rows)}) {
  const worker = listen === null ? new Worker(options) : new Worker(listen, options)
  worker.onWorkerStart = async (self) => {
    if (listen === null) return void setInterval(() => undefined, 60_000)
    const { createApp } = await import('./' + code)
    self.onRequest = createApp(self)
  }
}
Worker.runAll()
`
}
