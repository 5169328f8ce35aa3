/** Who is there, and what they say. A reload keeps this process; `reload --force chat` replaces it, and the pages come back by themselves. */
import type { Connection, Worker } from 'shiftwork'

/** What the page gets: somebody has said something, or has come or gone. */
type News = { from: string; text: string } | { here: number }

export function openChat(worker: Worker<'websocket://'>): void {
  const tell = (news: News): void => void worker.broadcast(JSON.stringify({ ...news, pid: process.pid }))
  let guests = 0

  worker.onConnect = (connection) => {
    connection.context['name'] = `guest ${++guests}`
    // it takes part from the end of this hook on
    setImmediate(() => tell({ here: worker.connections.size }))
  }
  worker.onMessage = (connection, text) => tell({ from: nameOf(connection), text: String(text) })
  worker.onClose = () => tell({ here: worker.connections.size })
}

function nameOf(connection: Connection<string | Uint8Array>): string {
  return String(connection.context['name'])
}
