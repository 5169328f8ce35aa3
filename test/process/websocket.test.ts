/** `websocket://` as user code sees it: hooks and their order, handshakes, limits, and what stands beside it. */
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { makeCertificate } from '../helpers/certificate.ts'
import { Client, get, type Target } from '../helpers/client.ts'
import { closeFrame, FrameClient, frame, HANDSHAKE, OPCODES, type OpenOptions } from '../helpers/frames.ts'
import { HELD, heldBytesOf } from '../helpers/held.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'

interface Served {
  project: Project
  running: Running
  target: Target
  open: (options?: OpenOptions) => Promise<FrameClient>
}

/** A worker with these hooks, in which `worker`, `log` (a line each) and `delay` are known. */
async function serve(hooks: string, options = '{}', listen = 'websocket://127.0.0.1:0'): Promise<Served> {
  const start = `
import { setTimeout as delay } from 'node:timers/promises'
import { readFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const worker = new Worker(${JSON.stringify(listen)}, { name: 'web', bakeMs: 50, ...${options} })
const log = (...words) => console.log(words.join(' '))
${hooks}
Worker.runAll()
`
  const project = Project.create({ 'start.js': start })
  if (listen.startsWith('wss')) makeCertificate(project)
  const running = await project.start()
  const path = /\+unix:\/\/(.*)/.exec(listen)?.[1]
  const target: Target = path ? { path } : { port: await project.port(), tls: listen.startsWith('wss') }
  const open = async (how?: OpenOptions): Promise<FrameClient> => {
    const client = await FrameClient.open(target, how)
    onTestFinished(() => client.close())
    return client
  }
  return { project, running, target, open }
}

/** The answer to a handshake that is refused, or not. */
async function handshake(target: Target, path: string, headers = {}): Promise<string> {
  const client = await Client.open(target)
  const answer = await client.upgrade({ path, headers: { ...HANDSHAKE, ...headers } })
  const told = [...answer.headers].filter(([name]) => name.startsWith('x-') || name === 'www-authenticate')
  await until('it is closed', () => answer.status === 101 || client.isClosed)
  client.close()
  return [answer.status, ...told.map(([name, value]) => `${name}=${value}`), answer.body].join(' ').trim()
}

const ECHO = 'worker.onMessage = (connection, message) => void connection.send(message)'

describe('hooks', () => {
  it('are called in order, one message at a time, and the last of them is onClose', async () => {
    const { running, open } = await serve(`
      worker.onWebSocketConnect = async (connection, request) => {
        log('handshake', request.path, request.query.get('a'), request.headers['x-test'], connection.state)
        await delay(20)
      }
      worker.onConnect = async (connection) => {
        log('connect', connection.request.url, connection.protocol)
        await delay(50)
        log('connected')
      }
      worker.onMessage = async (connection, message) => {
        log('begin', String(message), typeof message, Buffer.isBuffer(message))
        await delay(message === 'slow' ? 50 : 1)
        log('end', String(message))
      }
      worker.onClose = (connection) => log('close', connection.closeCode, connection.closeReason, connection.state)
    `)
    const client = await open({ path: '/chat?a=b', headers: { 'X-Test': 'yes' } })
    client.write(frame(OPCODES.text, 'slow'), frame(OPCODES.binary, 'bytes'), closeFrame(4001, 'enough'))
    expect(await client.farewell()).toEqual({ code: 4001, reason: 'enough', end: 'closed', unread: 0 })
    await running.line(/^close/m)
    const lines = running.stdout.slice(running.stdout.indexOf('handshake')).trimEnd().split('\n')
    expect(lines).toEqual([
      'handshake /chat b yes opening',
      'connect /chat?a=b websocket',
      'connected',
      'begin slow string false',
      'end slow',
      'begin bytes object true',
      'end bytes',
      'close 4001 enough closed',
    ])
  })

  it('a handler that throws or rejects costs its own client 1011, behind what was answered before', async () => {
    const { running, open, target } = await serve(`
      worker.onMessage = (connection, message) => {
        if (message === 'throw') throw new Error('as asked')
        if (message === 'reject') return Promise.reject(new Error('as asked'))
        connection.send(message)
      }
      worker.onError = (connection, error) => log('error', error.message, connection.state)
      worker.onConnect = (connection) => { if (connection.request.path === '/no') throw new Error('not here') }
    `)
    const other = await open()
    for (const how of ['throw', 'reject']) {
      const client = await open()
      for (const message of ['before', how, 'behind']) client.send(message)
      expect(await client.text()).toBe('before')
      expect(await client.farewell()).toEqual({ code: 1011, reason: '', end: 'closed', unread: 0 })
      expect(client.frames).toHaveLength(2)
    }
    expect(await (await open({ path: '/no' })).farewell()).toMatchObject({ code: 1011, end: 'closed' })
    other.send('still there?')
    expect(await other.text()).toBe('still there?')
    await running.line(/^error not here opening$/m)
    expect(running.stdout.match(/^error .*$/gm)).toEqual([
      'error as asked open',
      'error as asked open',
      'error not here opening',
    ])
    await running.line(/onMessage of a websocket connection failed: Error: as asked\n\s+at /)
    expect('port' in target).toBe(true)
  })

  it('a client that leaves: what it had said is handled, then onClose tells how', async () => {
    const { running, open } = await serve(`
      worker.onMessage = async (connection, message) => {
        // the goodbye has come with the first one
        await delay(5)
        while (message !== 'one' && connection.state !== 'closed') await delay(5)
        log('handled', message, connection.send('too late'), connection.state)
      }
      worker.onError = (connection, error) => log('error', error.code)
      worker.onClose = (connection) => log('close', connection.closeCode)
    `)
    const polite = await open()
    polite.write(frame(OPCODES.text, 'one'), frame(OPCODES.text, 'two'), closeFrame(1000))
    await running.line(/^close 1000$/m)
    const rude = await open()
    rude.send('three')
    rude.send('four')
    await new Promise<void>((resolve) => rude.client.socket.end(() => resolve()))
    await running.line(/^close 1006$/m)
    const lines = running.stdout.match(/^(?:handled|close|error).*$/gm) ?? []
    expect(lines.filter((line) => !line.startsWith('error'))).toEqual([
      expect.stringMatching(/^handled one false /),
      'handled two false closed',
      'close 1000',
      'handled three false closed',
      'handled four false closed',
      'close 1006',
    ])
    expect(new Set(lines.filter((line) => line.startsWith('error')))).toEqual(new Set(['error ERR_CONNECTION_CLOSED']))
  })

  it('close(data) says it last; closeWith gives a reason; what comes then is not handled', async () => {
    const { running, open } = await serve(`
      worker.onMessage = async (connection, message) => {
        log('handled', message)
        if (message === 'late') await delay(50)
        if (message === 'close') connection.close('bye')
        if (message === 'reason') connection.closeWith(4321, 'since you ask')
        if (message === 'end') { connection.end(); log('ended', connection.send('more')) }
        if (message === 'destroy') connection.destroy()
        if (message === 'wrong' || message === 'late') try { connection.closeWith(1005) } catch (error) { connection.send(error.name) }
      }
    `)
    const told = async (...messages: string[]) => {
      const client = await open()
      for (const message of messages) client.send(message)
      const { code, reason } = await client.farewell()
      return [...client.frames.slice(0, -1).map(({ payload }) => String(payload)), code, reason]
    }
    expect(await told('close', 'unheard')).toEqual(['bye', 1000, ''])
    expect(await told('reason', 'unheard')).toEqual([4321, 'since you ask'])
    expect(await told('end', 'heard')).toEqual([1000, ''])
    for (const wrong of ['wrong', 'late']) expect(await told(wrong, 'close')).toEqual(['TypeError', 'bye', 1000, ''])
    expect(await told('destroy')).toEqual([null, ''])
    await running.line(/^handled heard$/m)
    expect(running.stdout).toContain('ended false')
    expect(running.stdout).not.toContain('unheard')
  })

  it('ping asks for a sign of life, and the answer is one', async () => {
    const { open } = await serve(`
      worker.onConnect = async (connection) => {
        const askedAt = performance.now()
        connection.ping('life?')
        while (performance.now() - connection.idleMs < askedAt) await delay(1)
        connection.send('alive')
      }
      worker.onMessage = () => undefined
    `)
    const client = await open({ answersPings: false })
    const ping = await client.next()
    expect([ping.opcode, ping.payload.toString()]).toEqual([OPCODES.ping, 'life?'])
    client.write(frame(OPCODES.pong, ping.payload))
    expect(await client.text()).toBe('alive')
  })
})

describe('the handshake', () => {
  it('is refused by false, a number, a Response, a close or a throw, whole and with an end', async () => {
    const { target, running } = await serve(`
      worker.onWebSocketConnect = async (connection, request) => {
        if (request.path === '/late') await delay(20)
        if (request.path === '/number') {
          request.responseHeaders.set('WWW-Authenticate', 'Basic')
          return 401
        }
        if (request.path === '/response') return new Response('not now', { status: 503, headers: { 'X-Why': 'tea' } })
        if (request.path === '/close') connection.close()
        if (request.path === '/throw') throw new Error('as asked')
        if (request.path === '/odd') return 200
        if (request.path === '/destroy') connection.destroy()
        request.responseHeaders.append('X-Seen', 'yes')
        if (request.path === '/send') log('sent', connection.send('too early'))
        return request.path === '/welcome' || request.path === '/send'
      }
      worker.onMessage = () => log('a message')
      worker.onConnect = () => log('connected')
      worker.onClose = () => log('closed')
      worker.onError = (connection, error) => log('error', error.message)
    `)
    expect(await handshake(target, '/')).toBe('403 x-seen=yes')
    expect(await handshake(target, '/late')).toBe('403 x-seen=yes')
    expect(await handshake(target, '/number')).toBe('401 www-authenticate=Basic')
    expect(await handshake(target, '/response')).toBe('503 x-why=tea not now')
    expect(await handshake(target, '/close')).toBe('403 x-seen=yes')
    expect(await handshake(target, '/throw')).toBe('500')
    expect(await handshake(target, '/odd')).toBe('500')
    await expect(handshake(target, '/destroy')).rejects.toThrow('closed: in the handshake')
    expect(running.stdout).not.toMatch(/^(?:connected|closed|a message)$/m)
    expect(await handshake(target, '/send')).toBe('101 x-seen=yes')
    expect(await handshake(target, '/welcome')).toBe('101 x-seen=yes')
    await running.line(/^error .*dropped/m)
    expect(running.stdout.match(/^error .*$/gm)).toEqual([
      'error as asked',
      expect.stringContaining('refused with the status 200'),
      expect.stringContaining('dropped'),
    ])
    await running.says('sent false')
    await running.line(/onWebSocketConnect of a websocket connection failed: Error: as asked/)
  })

  it('a wrong one is refused before the hook is asked', async () => {
    const { target, running } = await serve(`
      worker.onWebSocketConnect = () => log('asked')
    `)
    expect(await handshake(target, '/', { 'Sec-WebSocket-Key': 'x' })).toContain('400')
    expect(running.stdout).not.toContain('asked')
  })

  it('agrees on the best subprotocol that both speak, or on what the hook chooses', async () => {
    const { open, target } = await serve(
      `
      worker.onWebSocketConnect = (connection, request) => {
        if (request.path === '/none') request.subprotocol = null
        if (request.path === '/other') request.subprotocol = request.subprotocols.at(-1)
        if (request.path === '/wrong') request.subprotocol = 'unheard-of'
      }
      worker.onConnect = (connection) => void connection.send(String(connection.subprotocol))
    `,
      `{ webSocket: { protocols: ['chat.v2', 'chat.v1'] } }`,
    )
    for (const [path, offer, agreed] of [
      ['/', 'chat.v1, chat.v2', 'chat.v2'],
      ['/', 'chat.v1,other', 'chat.v1'],
      ['/', 'other', 'null'],
      ['/other', 'chat.v2, other', 'other'],
      ['/none', 'chat.v2', 'null'],
    ] as const) {
      const client = await open({ path, headers: { 'Sec-WebSocket-Protocol': offer } })
      expect([path, offer, await client.text()]).toEqual([path, offer, agreed])
      expect(client.answer.headers.get('sec-websocket-protocol') ?? 'null').toBe(agreed)
    }
    expect(await handshake(target, '/wrong', { 'Sec-WebSocket-Protocol': 'chat.v2' })).toBe('500')
  })

  it('clients that vanish while it is asked leave nothing behind', async () => {
    const { open, target, project } = await serve(`
      let asked = 0
      worker.onWebSocketConnect = (connection, { path }) => {
        asked++
        return path === '/' ? undefined : delay(100)
      }
      worker.onMessage = (connection) => void connection.send(String(asked))
    `)
    for (let round = 0; round < 20; round++) {
      const client = await Client.open(target)
      client.send({ path: '/slow', headers: HANDSHAKE })
      if (round % 2) client.socket.resetAndDestroy()
      else client.socket.end()
    }
    const client = await open()
    const count = async (): Promise<string> => {
      client.send('how many?')
      return client.text()
    }
    await until('all were asked', async () => Number(await count()) >= 11)
    await until('they are gone', async () => {
      const [process] = (await project.status()).groups[0]?.processes ?? []
      return process?.connections === 1
    })
    expect(await project.pids()).toHaveLength(1)
  })
})

describe('beside it', () => {
  it('plain requests go to onRequest, on the same connection as a later upgrade', async () => {
    const { target } = await serve(`
      worker.onRequest = (request, response) => response.end('a page')
      ${ECHO}
    `)
    const client = await Client.open(target)
    expect((await client.request()).body).toBe('a page')
    expect((await client.upgrade({ headers: HANDSHAKE })).status).toBe(101)
    client.socket.write(frame(OPCODES.text, 'hello'))
    await new Promise((resolve) => client.socket.once('data', resolve))
    client.close()
  })

  it('a request that waits for its answer gets it before an upgrade behind it does, and all of it works', async () => {
    const { target } = await serve(`
      worker.onRequest = (request, response) => setTimeout(() => response.end('a page'), 50)
      ${ECHO}
    `)
    const client = await Client.open(target)
    client.pipeline([{ path: '/page' }, { headers: HANDSHAKE }])
    expect((await client.answer()).body).toBe('a page')
    const { status } = await client.upgrade()
    expect(status).toBe(101)
    const echo = new Promise<Buffer>((resolve) => client.socket.once('data', resolve))
    client.socket.write(frame(OPCODES.text, 'hello'))
    expect((await echo).subarray(2).toString()).toBe('hello')
    client.close()
  })

  it.each([
    ['answered', 'no onRequest', (client: Client) => client.answer()],
    [
      'being answered',
      'worker.onRequest = (_, response) => setTimeout(() => response.end(), 200)',
      () => Promise.resolve(),
    ],
  ])(
    'a client that resets its connection with an upgrade behind what is %s costs nobody anything',
    async (_, hook, wait) => {
      const { project, running, target, open } = await serve(`${ECHO}\n${hook.replace(/^no /, '// ')}`)
      const before = await project.pids()
      const other = await open()
      for (let round = 0; round < 5; round++) {
        const client = await Client.open(target)
        client.pipeline([{ path: '/page' }, { headers: HANDSHAKE }])
        await wait(client)
        client.socket.resetAndDestroy()
      }
      other.send('still there?')
      expect(String((await other.next()).payload)).toBe('still there?')
      await until('all are gone', async () => (await project.status()).groups[0]?.processes[0]?.connections === 1)
      expect(await project.pids()).toEqual(before)
      expect(running.stderr).toBe('')
    },
  )

  it('an upgrade behind an answer that waits for its client to read it gets its turn', async () => {
    const { target } = await serve(`
      const { createReadStream, writeFileSync } = await import('node:fs')
      writeFileSync('large.bin', Buffer.alloc(8_000_000, 'x'))
      worker.onRequest = (request, response) => {
        response.setHeader('Content-Length', 8_000_000)
        createReadStream('large.bin').pipe(response)
      }
      ${ECHO}
    `)
    const client = await Client.open(target)
    client.pipeline([{ path: '/page' }, { headers: HANDSHAKE }])
    expect((await client.answer()).body).toHaveLength(8_000_000)
    expect((await client.upgrade()).status).toBe(101)
    client.close()
  })

  it('an upgrade behind an answer that ends the connection is none', async () => {
    const { target } = await serve(`
      worker.onRequest = (request, response) => response.writeHead(200, { Connection: 'close' }).end('a page')
      worker.onWebSocketConnect = () => log('asked')
      ${ECHO}
    `)
    const client = await Client.open(target)
    client.pipeline([{ headers: { Connection: 'close' } }, { headers: HANDSHAKE }])
    expect((await client.answer()).body).toBe('a page')
    await expect(client.answer()).rejects.toThrow('closed: 0 bytes')
  })

  it('without it they are told what is spoken here, and a request with a body, too', async () => {
    const { target } = await serve(ECHO)
    const answer = await get(target)
    expect([answer.status, answer.headers.get('upgrade')]).toEqual([426, 'websocket'])
    expect((await get(target, '/', { method: 'POST', body: 'x'.repeat(100_000) })).status).toBe(426)
  })

  it.each(['wss://127.0.0.1:0', 'websocket+unix://'])('%s', async (scheme) => {
    const socket = Project.create({})
    const listen = scheme.startsWith('wss') ? scheme : `${scheme}${join(socket.dir, 'ws.sock')}`
    const tls = listen.startsWith('wss')
      ? `{ tls: { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') } }`
      : '{}'
    const { open, project } = await serve(ECHO, tls, listen)
    const client = await open()
    const long = 'ä'.repeat(50_000)
    client.send(long)
    expect(await client.text()).toBe(long)
    const reloaded = project.reload()
    expect(await client.farewell()).toEqual({ code: 1012, reason: '', end: 'closed', unread: 0 })
    expect(await reloaded).toMatchObject({ code: 0, summary: { replaced: [{ connectionsCut: 0 }] } })
  })

  it('a worker that would hear nothing is told so', async () => {
    const project = Project.create({
      'start.js': `import { Worker } from 'shiftwork'\nnew Worker('ws://127.0.0.1:0', { name: 'web' })\nWorker.runAll()\n`,
    })
    const { code, stderr } = await project.shiftwork('start')
    expect(code).toBe(1)
    expect(stderr).toContain('Set worker.onMessage or worker.onConnect')
  })
})

describe('limits', () => {
  it('a slow reader: so much waits and no more, and what was accepted arrives whole', async () => {
    const { open, running } = await serve(
      `
      worker.onMessage = (connection) => {
        const counts = { true: 0, null: 0 }
        for (let number = 0; ; number++) {
          const result = connection.send(String(number).padEnd(10_000))
          if (result === false) break
          counts[result]++
        }
        log('sent', counts.true + counts.null, 'waiting', connection.bufferedBytes)
      }
      worker.onBufferFull = (connection) => log('full', connection.isFull)
      worker.onBufferDrain = (connection) => { log('drained', connection.bufferedBytes); connection.send('drained') }
      worker.onError = (connection, error) => log('error', error.code)
    `,
      '{ maxSendBufferBytes: 300_000 }',
    )
    const client = await open()
    client.client.socket.pause()
    client.send('go')
    const [, sent, waiting] = await running.line(/^sent (\d+) waiting (\d+)$/m)
    expect(Number(waiting)).toBeGreaterThanOrEqual(300_000)
    expect(Number(waiting)).toBeLessThan(300_000 + 10_100)
    expect(running.stdout).toMatch(/^full true\nerror ERR_SEND_BUFFER_FULL$/m)
    client.client.socket.resume()
    for (let number = 0; number < Number(sent); number++) expect((await client.text()).trimEnd()).toBe(String(number))
    expect(await client.text()).toBe('drained')
    await running.line(/^drained 0$/m)
  })

  it.each([
    ['a limit below what the kernel is given', '{ maxSendBufferBytes: 1 }'],
    ['compression', '{ webSocket: { compression: { thresholdBytes: 0 } }, maxSendBufferBytes: 50_000 }'],
    ['neither', '{ maxSendBufferBytes: 100_000 }'],
  ])('onBufferFull and onBufferDrain come in turn, with %s', async (_what, options) => {
    const { open, running } = await serve(
      `
      process.on('warning', (warning) => log('warning', warning.message))
      const told = []
      worker.onMessage = (connection) => {
        for (let sent = true; sent !== false; connection.ping()) sent = connection.send(String(Math.random()).repeat(2_000))
      }
      worker.onBufferFull = () => told.push('full')
      worker.onBufferDrain = async (connection) => {
        told.push('drain')
        // what is sent while some of it is taken makes it full again
        if (told.length < 60) worker.onMessage(connection)
        else connection.close(told.join())
      }
    `,
      options,
    )
    const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate' }
    const client = await open({ headers, answersPings: false })
    client.send('go')
    expect(await client.farewell()).toMatchObject({ code: 1000, end: 'closed' })
    const texts = client.frames.filter(({ opcode, reserved }) => opcode === OPCODES.text && reserved === 0)
    const told = texts.at(-1)?.payload.toString()
    if (told?.startsWith('full')) expect(told).toBe(Array.from({ length: 30 }, () => 'full,drain').join())
    expect(running.stdout).not.toContain('warning')
  })

  it('a reader that takes a little at a time may be sent something whenever there is room', async () => {
    const { open, running } = await serve(
      `
      process.on('warning', (warning) => log('warning', warning.message))
      worker.onMessage = async (connection) => {
        for (let sent = 0; sent < 100; ) {
          if (connection.bufferedBytes < 90_000 && connection.send('x'.repeat(20_000)) !== false) sent++
          else await delay(1)
        }
        connection.close('done')
      }
    `,
      '{ maxSendBufferBytes: 100_000 }',
    )
    const client = await open()
    client.client.readSlowly({ stepBytes: 30_000, pauseMs: 1 })
    client.client.socket.resume()
    client.send('go')
    expect(await client.farewell()).toMatchObject({ code: 1000, end: 'closed', unread: 0 })
    expect(client.frames).toHaveLength(102)
    expect(running.stdout).not.toContain('warning')
  })

  it('a slow handler: its client is slowed down, and everything is handled in order', async () => {
    const { open, running, project } = await serve(`${HELD}
      let next = 0
      let isGo = false
      worker.onMessage = async (connection, message) => {
        if (connection.request.path === '/go') return void (isGo = true)
        while (!isGo) await delay(5)
        if (Number.parseInt(message) !== next++) log('wrong order', message)
        if (next === 2_000) { log('all'); connection.send('all') }
      }
    `)
    const client = await open()
    const [pid = 0] = await project.pids()
    const before = await heldBytesOf(project, pid)
    for (let number = 0; number < 2_000; number++) client.send(String(number).padEnd(50_000))
    // the kernel takes some megabytes of it; the rest of the hundred stays with the client
    await until('the client is slowed down', () => client.client.socket.writableLength > 50_000_000)
    expect((await heldBytesOf(project, pid)) - before).toBeLessThan(4 * 1024 * 1024)
    const go = await open({ path: '/go' })
    go.send('go')
    expect(await client.text()).toBe('all')
    expect(running.stdout).not.toContain('wrong order')
  })

  it('pause and resume: nothing is handled meanwhile, nothing is lost, and the order stays', async () => {
    const { open, running } = await serve(`
      let first = null
      worker.onMessage = (connection, message) => {
        if (connection.request.path === '/go') return first.resume()
        log('handled', message)
        if (message === '3') { first = connection; connection.pause(); log('paused') }
        if (message === '2') { connection.pause(); connection.resume() }
        connection.send(message)
      }
    `)
    const client = await open()
    for (let number = 0; number < 10; number++) client.send(String(number))
    await running.line(/^paused$/m)
    const go = await open({ path: '/go' })
    client.write(frame(OPCODES.ping, 'unheard'))
    expect(running.stdout).not.toContain('handled 4')
    go.send('go')
    for (let number = 0; number < 10; number++) expect(await client.text()).toBe(String(number))
    expect((await client.next()).opcode).toBe(OPCODES.pong)
  })

  it('a message that is too large is an error with a name, and 1009', async () => {
    const { open, running } = await serve(
      `worker.onMessage = () => log('handled')
      worker.onError = (connection, error) => log('error', error.code, error.message)`,
      '{ maxMessageBytes: 1000 }',
    )
    const client = await open()
    client.send('x'.repeat(1_000))
    client.send('x'.repeat(1_001))
    expect(await client.farewell()).toMatchObject({ code: 1009, end: 'closed' })
    await running.line(/^error ERR_MESSAGE_TOO_LARGE a message has more than 1000 bytes$/m)
    expect(running.stdout.match(/^handled$/gm)).toHaveLength(1)
  })

  it('a client that never answers the goodbye is closed all the same', async () => {
    const { open } = await serve('worker.onMessage = (connection) => connection.close()')
    const client = await open({ answersClose: false })
    const askedAt = performance.now()
    client.send('close')
    expect(await client.farewell()).toMatchObject({ code: 1000 })
    expect(performance.now() - askedAt).toBeGreaterThan(9_000)
  })
})
