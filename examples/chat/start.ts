/**
 * A chat. One process holds the WebSockets and stays through every reload; the page comes from web workers
 * that reload beside it, and nobody who is talking notices.
 * Run it: npx tsx examples/chat/start.ts start
 * Open http://127.0.0.1:8085 in two windows, talk, change page.ts and: … reload
 */
import { Worker } from 'shiftwork'

const web = new Worker(`http://127.0.0.1:${process.env.PORT ?? 8085}`, { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { page } = await import('./page.ts')
  worker.onRequest = page
}

const chat = new Worker(`websocket://127.0.0.1:${process.env.CHAT_PORT ?? 8086}`, { name: 'chat', reloadable: false })
chat.heartbeat = { everyMs: 30_000 }
chat.onWorkerStart = async (worker) => {
  const { openChat } = await import('./chat.ts')
  openChat(worker)
}

Worker.runAll()
