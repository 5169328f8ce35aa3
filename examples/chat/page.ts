/** The page of the chat: business code, replaced by each reload. It comes back by itself when its WebSocket is closed. */
import type { IncomingMessage, ServerResponse } from 'node:http'

const TITLE = 'hello: a chat that notices no reload'

export function page(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' })
  response.end(`<!doctype html>
<meta charset="utf-8">
<title>${TITLE}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  #said { list-style: none; padding: 0; min-height: 12rem }
  input { font: inherit; width: 100%; padding: .5rem; box-sizing: border-box }
  footer, #here { color: #666; font-size: .85em }
</style>
<h1>${TITLE}</h1>
<p id="here">connecting…</p>
<ul id="said"></ul>
<form><input name="text" placeholder="Say something" autocomplete="off" autofocus></form>
<footer>this page was served by process ${process.pid}</footer>
<script>
  const said = document.getElementById('said')
  const here = document.getElementById('here')
  const form = document.querySelector('form')
  const port = new URLSearchParams(location.search).get('chat') ?? ${process.env.CHAT_PORT ?? 8086}
  let socket
  let waitMs = 100

  function open() {
    socket = new WebSocket('ws://' + location.hostname + ':' + port)
    socket.onopen = () => { waitMs = 100 }
    socket.onmessage = ({ data }) => show(JSON.parse(data))
    // 1012 is a restart: what comes after it is there already
    socket.onclose = ({ code }) => {
      here.textContent = 'away'
      setTimeout(open, code === 1012 ? 0 : (waitMs = Math.min(waitMs * 2, 5000)))
    }
  }

  function show(news) {
    if (news.here) { here.textContent = news.here + ' here, held by process ' + news.pid; return }
    const line = document.createElement('li')
    line.textContent = news.from + ': ' + news.text
    said.append(line)
  }

  form.onsubmit = (event) => {
    event.preventDefault()
    if (socket.readyState !== WebSocket.OPEN || !form.text.value) return
    socket.send(form.text.value)
    form.text.value = ''
  }
  open()
</script>
`)
}
