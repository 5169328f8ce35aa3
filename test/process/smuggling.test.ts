/**
 * Requests that two servers in a row might read differently. What is refused is answered 400, the connection is
 * closed, and nothing that stands behind it reaches a handler: over `onRequest` and over `onMessage`.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { get } from '../helpers/client.ts'
import { Project } from '../helpers/project.ts'
import { REFUSED, type Shape, TAKEN } from '../helpers/shapes.ts'

const BEHIND = 'GET /behind HTTP/1.1\r\nHost: a\r\n\r\n'
const SLOW = 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n'
/** A client that is silent for a second behind the end is not waited for: this is less. */
const MAX_SILENT_MS = 800

/** Who is asked is noted when a handler hears of it; a whole request is answered with its path and body. */
const START = `
import { Worker } from 'shiftwork'
const LATE_MS = 60
let handled = []
const answer = (url, body, send) => {
  if (url === '/handled') send(JSON.stringify(handled.splice(0)))
  else if (url === '/slow') setTimeout(() => send('[slow]'), LATE_MS)
  else send('[' + url + ' ' + body + ']')
}
const web = new Worker('http://127.0.0.1:0', { name: 'web' })
web.onWorkerStart = (worker) => {
  if (process.env.STYLE === 'message')
    worker.onMessage = (connection, request) => {
      handled.push(request.url)
      answer(request.url, request.text(), (text) => connection.send(text))
    }
  if (process.env.STYLE === 'request')
    worker.onRequest = (request, response) => {
      handled.push(request.url)
      let body = ''
      request.on('data', (chunk) => { body += chunk })
      request.on('end', () => answer(request.url, body, (text) => response.end(text)))
    }
  if (process.env.STYLE === 'foreign') {
    const note = (request, response) => {
      handled.push(request.url)
      request.resume().on('end', () => answer(request.url, '', (text) => response.end(text)))
    }
    worker.server.on('request', note)
    worker.server.on('upgrade', (request, socket) => { handled.push(request.url); socket.end('HTTP/1.1 101 Fine\\r\\n\\r\\n') })
  }
}
Worker.runAll()
`

async function startWith(STYLE: string): Promise<{ port: number; handled: () => Promise<string[]> }> {
  const project = Project.create({ 'start.js': START })
  await project.start('js', [], { STYLE })
  const port = await project.port()
  const handled = async (): Promise<string[]> => JSON.parse((await get({ port }, '/handled')).body) as string[]
  return { port, handled }
}

/** All that comes until the server closes, or until `isEnough`. */
function exchange(port: number, parts: readonly Buffer[], isEnough?: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const timer = setTimeout(() => socket.destroy(new Error(`neither closed nor answered: ${text}`)), 20_000)
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk
      if (isEnough?.(text)) socket.end()
    })
    socket.on('error', reject)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(text)
    })
    const next = ([part, ...rest]: readonly Buffer[]): void => {
      if (!part || socket.destroyed) return
      // one that has been refused takes no more
      if (socket.writable) socket.write(part, () => setImmediate(next, rest))
    }
    next(parts)
  })
}

const statusesOf = (text: string): number[] => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map((match) => Number(match[1]))
const bodiesOf = (text: string): string[] => text.match(/\[[^\]]*\]/g) ?? []
const paths = (handled: string[]): string[] => handled.filter((url) => url !== '/handled')

/** In one packet, in three, and byte by byte where that is few. */
function waysToSend(bytes: Buffer): Buffer[][] {
  const third = Math.ceil(bytes.length / 3)
  const inThree = [bytes.subarray(0, third), bytes.subarray(third, 2 * third), bytes.subarray(2 * third)]
  const single = bytes.length < 400 ? [Array.from(bytes, (_, index) => bytes.subarray(index, index + 1))] : []
  return [[bytes], inThree, ...single]
}

/** Sends five bytes more behind the end. @returns its errors, and for how long it has sent nothing at most. */
async function sendOn(
  port: number,
  bytes: string,
  handled: () => Promise<unknown>,
): Promise<{ lost: unknown[]; silentMs: number }> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  const lost: unknown[] = []
  const closed = new Promise((resolve) => {
    socket.on('error', (error) => lost.push(error)).on('close', resolve)
  })
  let sentAt = performance.now()
  let silentMs = 0
  socket.resume().write(bytes)
  await once(socket, 'end')
  for (let count = 0; count < 5; count++) {
    const before = sentAt
    sentAt = performance.now()
    socket.write('\0')
    silentMs = Math.max(silentMs, performance.now() - before)
    // another connection is answered: the worker has come by the byte
    await handled()
  }
  socket.end()
  await closed
  return { lost, silentMs }
}

describe.each(['request', 'message'])('%s', (style) => {
  it.each([
    ['a fault', 'GET /fault http/1.1\r\n'],
    ['a request that is refused', 'GET /two HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ])('C10 what a client goes on sending behind %s is thrown away, and brings it no reset', async (_, bytes) => {
    const { port, handled } = await startWith(style)
    let sent = await sendOn(port, bytes, handled)
    while (sent.lost.length > 0 && sent.silentMs > MAX_SILENT_MS) sent = await sendOn(port, bytes, handled)
    expect(sent.lost).toEqual([])
  })

  it('C10 what is refused is answered once, the connection closes, and nothing behind it is handled', async () => {
    const { port, handled } = await startWith(style)
    const wrong: unknown[] = []
    for (const { name, bytes, status, fault } of REFUSED) {
      for (const parts of waysToSend(Buffer.concat([bytes, Buffer.from(BEHIND)]))) {
        const text = await exchange(port, parts).catch((error: unknown) => String(error))
        const seen = paths(await handled())
        const mayBegin = style === 'request' && fault === 'body'
        const isRight =
          statusesOf(text).join() === String(status) &&
          /\r\nConnection: close\r\n/i.test(text) &&
          seen.every((url) => mayBegin && url === '/first')
        if (!isRight) wrong.push({ name, parts: parts.length, text, seen })
      }
    }
    expect(wrong).toEqual([])
    expect(REFUSED.length).toBeGreaterThan(95)
  })

  it('C10 the answer to what was asked before it is delivered first', async () => {
    const { port, handled } = await startWith(style)
    const outcomes = await Promise.all(
      REFUSED.map(async ({ name, bytes, status }) => {
        const text = await exchange(port, [Buffer.concat([Buffer.from(SLOW), bytes, Buffer.from(BEHIND)])])
        return { name, statuses: statusesOf(text), bodies: bodiesOf(text), status }
      }),
    )
    for (const { name, statuses, bodies, status } of outcomes)
      expect({ name, statuses, bodies }).toEqual({ name, statuses: [200, status], bodies: ['[slow]'] })
    expect(paths(await handled())).not.toContain('/behind')
  })

  it.each(TAKEN)('C10 taken: $name', async ({ bytes, body }: Shape) => {
    const { port } = await startWith(style)
    const text = await exchange(port, [Buffer.concat([bytes, Buffer.from(BEHIND)])], (so) => so.includes('[/behind ]'))
    expect(statusesOf(text)).toEqual([200, 200])
    expect(bodiesOf(text)).toEqual([`[/first ${body ?? ''}]`, '[/behind ]'])
  })

  it('C10 a size of 2^64 - 1 is a chunk that never ends: what follows is its data', async () => {
    const { port, handled } = await startWith(style)
    const open = exchange(port, [
      Buffer.from(`POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n${BEHIND}`),
    ])
    // as long as the connection lives there is no answer, and afterwards nobody is left to be answered
    for (let round = 0; round < 20; round++) expect(paths(await handled())).not.toContain('/behind')
    void open.catch(() => undefined)
  })
})

it('C10 listeners that user code has put on the server do not see what is refused, upgrades included', async () => {
  const { port, handled } = await startWith('foreign')
  const upgrade = (host: string): string =>
    `GET /socket HTTP/1.1\r\nHost: a\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`
  for (const text of ['GET /first HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', upgrade('Host: b\r\n')]) {
    expect(statusesOf(await exchange(port, [Buffer.from(text)]))).toEqual([400])
    expect(paths(await handled())).toEqual([])
  }
  expect(statusesOf(await exchange(port, [Buffer.from(upgrade(''))]))).toEqual([101])
  expect(paths(await handled())).toEqual(['/socket'])
  // what was asked before is answered first
  const text = await exchange(port, [Buffer.from(SLOW + upgrade('Host: b\r\n'))])
  expect({ statuses: statusesOf(text), bodies: bodiesOf(text) }).toEqual({ statuses: [200, 400], bodies: ['[slow]'] })
})
