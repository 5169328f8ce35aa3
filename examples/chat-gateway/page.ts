/** The page of the chat: what it looks like. What it does is in browser.ts. Business code, replaced by each reload. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { SCRIPT } from './browser.ts'

const TITLE = 'hello: rooms that notice no reload'

const STYLE = `
  * { box-sizing: border-box }
  :root { color-scheme: light dark; --ink: #1c2430; --dim: #667085; --line: #dfe3ea; --paper: #fff; --wash: #f3f5f9;
          --mine: #dcebff; --secret: #fff1d6; --accent: #2459c4; --wrong: #b3261e }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e7eaf0; --dim: #98a2b3; --line: #333b49; --paper: #1a1f28; --wash: #12161d;
            --mine: #23406e; --secret: #4d3c17; --accent: #8db4ff; --wrong: #ff8a80 }
  }
  html, body { height: 100%; margin: 0 }
  body { font: 16px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--wash) }
  main { max-width: 60rem; height: 100dvh; margin: 0 auto; padding: .75rem; display: grid; gap: .75rem;
         grid: auto minmax(0, 1fr) auto / 13rem minmax(0, 1fr) }
  header, footer { grid-column: 1 / -1; display: flex; gap: .25rem 1rem; align-items: baseline; flex-wrap: wrap }
  h1 { font-size: 1.1rem; margin: 0 auto 0 0 }
  h2 { font-size: .75rem; text-transform: uppercase; letter-spacing: .06em; color: var(--dim); margin: 0 0 .4rem }
  footer, #where { color: var(--dim); font-size: .85rem }
  aside, section { background: var(--paper); border: 1px solid var(--line); border-radius: .75rem; padding: .75rem }
  aside { display: flex; flex-direction: column; gap: 1rem; overflow: auto }
  section { display: flex; flex-direction: column; padding: 0; overflow: hidden }
  button, input { font: inherit; color: inherit; border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .7rem;
                  background: var(--paper); min-width: 0 }
  button { cursor: pointer }
  button:hover { border-color: var(--accent) }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px }
  form { display: flex; gap: .5rem }
  form input { flex: 1 }
  form button { background: var(--accent); border-color: var(--accent); color: var(--paper); font-weight: 600 }
  .list { display: flex; flex-direction: column; gap: .3rem }
  .list button { text-align: left; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
  .list button[aria-pressed=true] { border-color: var(--accent); color: var(--accent); font-weight: 600 }
  #said { list-style: none; margin: 0; padding: .75rem; flex: 1; overflow-y: auto; display: flex; flex-direction: column;
          gap: .4rem }
  #said li { max-width: 85%; align-self: flex-start; background: var(--wash); border-radius: .75rem; padding: .35rem .75rem;
             overflow-wrap: anywhere }
  #said .mine { align-self: flex-end; background: var(--mine) }
  #said .secret { background: var(--secret) }
  #said .note { align-self: center; background: none; color: var(--dim); font-size: .85rem; padding: 0 }
  #said .wrong { color: var(--wrong) }
  #said b { display: block; font-size: .8rem }
  #said small { color: var(--dim); margin-left: .6rem; font-size: .7rem; white-space: nowrap }
  #say { padding: .6rem; border-top: 1px solid var(--line) }
  #say #to { white-space: nowrap; max-width: 45%; overflow: hidden; text-overflow: ellipsis; background: var(--secret);
             border-color: var(--secret); color: var(--ink); font-weight: 400 }
  [hidden] { display: none !important }
  #door { position: fixed; inset: 0; display: grid; place-items: center; padding: 1rem; background: var(--wash) }
  #door div { width: min(24rem, 100%); background: var(--paper); border: 1px solid var(--line); border-radius: 1rem;
              padding: 1.5rem }
  #door p { color: var(--dim); margin: .25rem 0 1rem }
  #door #refused { color: var(--wrong); margin: .75rem 0 0; overflow-wrap: anywhere }
  @media (max-width: 40rem) {
    main { grid: auto auto minmax(0, 1fr) auto / minmax(0, 1fr); padding: .5rem; gap: .5rem }
    aside { gap: .5rem; padding: .5rem }
    aside > div { display: flex; align-items: baseline; gap: .6rem }
    aside h2 { flex: 0 0 3.6rem; margin: 0 }
    .list { flex-direction: row; overflow-x: auto; padding: 2px }
    .list button { flex: none; max-width: 11rem; padding: .25rem .6rem }
    aside form { display: none }
  }
`

export function page(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' })
  response.end(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${TITLE}</title>
<style>${STYLE}</style>
<main>
  <header><h1>${TITLE}</h1><span id="where">connecting…</span></header>
  <aside>
    <div><h2>Rooms</h2><div class="list" id="rooms"></div></div>
    <form id="open"><input name="room" placeholder="Another room" maxlength="20" autocomplete="off"></form>
    <div><h2>Here</h2><div class="list" id="here"></div></div>
  </aside>
  <section>
    <ul id="said" aria-live="polite"></ul>
    <form id="say">
      <button type="button" id="to" hidden></button>
      <input name="text" placeholder="Say something" maxlength="2000" autocomplete="off">
      <button>Send</button>
    </form>
  </section>
  <footer><span id="by"></span></footer>
</main>
<div id="door">
  <div>
    <h2>Welcome</h2>
    <p>Under which name do you want to talk?</p>
    <form id="enter"><input name="name" placeholder="Your name" maxlength="20" autocomplete="off" required autofocus>
      <button>Enter</button></form>
    <p id="refused" hidden></p>
  </div>
</div>
<script>${SCRIPT.replaceAll('GATEWAY_PORT', String(Number(process.env.GATEWAY_PORT ?? 8093)))}</script>
</html>
`)
}
