/** A page that listens as a user, and a form that pushes to any. Who looks at it stands in its address: ?uid=anna. */

const TITLE = 'hello: a push to a user'

const STYLE = `
  * { box-sizing: border-box }
  :root { color-scheme: light dark; --ink: #1c2430; --dim: #667085; --line: #dfe3ea; --paper: #fff; --wash: #f3f5f9;
          --accent: #2459c4 }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e7eaf0; --dim: #98a2b3; --line: #333b49; --paper: #1a1f28; --wash: #12161d; --accent: #8db4ff }
  }
  body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--wash); max-width: 36rem;
         margin: 0 auto; padding: 1rem }
  h1 { font-size: 1.3rem }
  h2 { font-size: 1rem; margin: 0 0 .6rem; overflow-wrap: anywhere }
  section { background: var(--paper); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem;
            margin-bottom: 1rem }
  form { display: flex; flex-wrap: wrap; gap: .5rem }
  input, button { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line);
                  border-radius: .5rem; padding: .4rem .7rem; min-width: 0 }
  input { flex: 1 1 8rem }
  button { background: var(--accent); border-color: var(--accent); color: var(--paper); font-weight: 600; cursor: pointer }
  ul { list-style: none; padding: 0; margin: .8rem 0 0; min-height: 1.5em; overflow-wrap: anywhere }
  li { padding: .25rem 0; border-top: 1px solid var(--line) }
  li:first-child { border: none }
  #state { color: var(--dim); font-weight: 400 }
`

export function page(): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${TITLE}</title>
<style>${STYLE}</style>
<h1>${TITLE}</h1>
<section>
  <h2>You listen as <span id="me"></span> <span id="state">connecting…</span></h2>
  <ul id="heard"></ul>
</section>
<section>
  <h2>Push</h2>
  <form><input name="uid" placeholder="to whom" required><input name="text" placeholder="what" required><button>Push</button></form>
  <ul id="told"></ul>
</section>
<script>
  const find = (id) => document.getElementById(id)
  const address = new URLSearchParams(location.search)
  const me = address.get('uid') || 'anna'
  const port = address.get('gateway') || ${Number(process.env.GATEWAY_PORT ?? 8095)}
  const form = document.querySelector('form')
  find('me').textContent = form.elements.uid.value = me

  function add(list, text) {
    const line = document.createElement('li')
    line.textContent = text
    find(list).prepend(line)
  }

  function listen() {
    const socket = new WebSocket('ws://' + location.hostname + ':' + port + '/?uid=' + encodeURIComponent(me))
    socket.onopen = () => { find('state').textContent = '(connected)' }
    socket.onmessage = ({ data }) => add('heard', data)
    socket.onclose = () => {
      find('state').textContent = '(away, coming back…)'
      setTimeout(listen, 500)
    }
  }

  form.onsubmit = async (event) => {
    event.preventDefault()
    const { uid, text } = form.elements
    const response = await fetch('/push?uid=' + encodeURIComponent(uid.value), { method: 'POST', body: text.value })
    const { result, error, sent } = await response.json()
    add('told', uid.value + ': ' + (error || result) + (sent ? ' to ' + sent + (sent > 1 ? ' clients' : ' client') : ''))
  }
  listen()
</script>
</html>
`
}
