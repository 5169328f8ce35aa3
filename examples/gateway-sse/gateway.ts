/** Every client holds one stream of events. A reload keeps this process, so it keeps the streams. */
import type { ServerResponse } from 'node:http'
import type { Worker } from 'shiftwork'

const TICK_MS = 1_000

export function openGateway(worker: Worker): void {
  const clients = new Set<ServerResponse>()
  const sendAll = (event: string, data: unknown): void => {
    for (const client of clients) send(client, event, data)
  }

  worker.onRequest = (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
    response.on('close', () => clients.delete(response))
    clients.add(response)
    send(response, 'hello', { pid: process.pid })
  }

  const timer = setInterval(() => sendAll('tick', { at: new Date() }), TICK_MS)

  worker.onWorkerReload = () => sendAll('reload', { message: 'new code serves' })

  worker.onWorkerStop = () => {
    clearInterval(timer)
    for (const client of clients) client.end()
  }
}

function send(client: ServerResponse, event: string, data: unknown): void {
  client.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
}
