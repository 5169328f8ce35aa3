/** The examples do what they show: each is started, called, reloaded with changed code and stopped. */
import { readdirSync } from 'node:fs'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { expect, it, onTestFinished } from 'vitest'
import { quietPorts } from '../helpers/cli.ts'
import { Client, get } from '../helpers/client.ts'
import { DatagramClient } from '../helpers/datagrams.ts'
import { ANY_PORT, change, copyOf, EXAMPLES, FLAVOURS } from '../helpers/examples.ts'
import { Peer } from '../helpers/peer.ts'
import type { Flavour } from '../helpers/project.ts'
import { Signal } from '../helpers/signal.ts'
import { speechOf } from '../helpers/speeches.ts'

async function askWeb(port: number): Promise<string> {
  const { status, body } = await get({ port })
  expect(status).toBe(200)
  return body
}

async function askDatagram(port: number): Promise<string> {
  const client = await DatagramClient.open()
  await client.send(port, 'anybody?')
  await client.count(1)
  return client.answers[0] ?? ''
}

/** What an example's web group says, before and after the change of its code. */
const SPOKEN = {
  hello: { ask: askWeb, file: 'app.ts', before: 'hello from', after: 'welcome from' },
  express: { ask: askWeb, file: 'app.ts', before: "hello: 'express'", after: "welcome: 'express'" },
  fastify: { ask: askWeb, file: 'app.ts', before: "hello: 'fastify'", after: "welcome: 'fastify'" },
  'gateway-sse': { ask: askWeb, file: 'app.ts', before: 'hello from', after: 'welcome from' },
  'udp-echo': { ask: askDatagram, file: 'app.ts', before: 'hello from', after: 'welcome from' },
  proxy: { ask: askWeb, file: 'app.ts', before: 'hello from', after: 'welcome from' },
  chat: { ask: askWeb, file: 'page.ts', before: 'hello: a chat', after: 'welcome: a chat' },
} as const

/** Those that speak something else than HTTP; their tests are below. */
const STREAMS = ['line-server', 'custom-protocol']
/** Theirs are in chat-gateway.test.ts and push.test.ts. */
const GATEWAYS = ['chat-gateway', 'push']

it('U1 every example has a test', () => {
  const folders = readdirSync(EXAMPLES, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const tested = [...Object.keys(SPOKEN), ...STREAMS, ...GATEWAYS]
  expect(folders.map((entry) => entry.name).sort()).toEqual(tested.sort())
})

/** One in every way, the others in the README's: how code gets into a process does not hang on what it does. */
const flavoursOf = (name: string): Flavour[] => (name === 'hello' ? FLAVOURS : FLAVOURS.slice(0, 1))

for (const [name, { ask, file, before, after }] of Object.entries(SPOKEN))
  for (const flavour of flavoursOf(name))
    it(`U1 the example ${name}, run with ${flavour}, starts, answers, reloads to changed code and stops`, async () => {
      const project = copyOf(name)
      const running = await project.start(flavour, [], ANY_PORT)
      const port = await project.port()
      const old = await project.pids()
      expect(await ask(port)).toContain('hello')

      change(project, file, before, after)
      const { code, summary } = await project.reload('web')
      expect({ code, result: summary.result, error: summary.error }).toEqual({ code: 0, result: 'done', error: null })
      const now = await project.pids()
      expect(now).toHaveLength(2)
      expect(now.filter((pid) => old.includes(pid))).toEqual([])
      expect(await ask(port)).toContain('welcome')

      expect(await project.through(flavour, 'stop')).toMatchObject({ code: 0, stderr: '' })
      expect(await running.ended).toMatchObject({ code: 0, signal: null, stderr: '' })
    })

for (const name of ['express', 'fastify'])
  it(`U1 the example ${name} reads a JSON body`, async () => {
    const project = copyOf(name)
    await project.start('tsx-import', [], ANY_PORT)
    const body = JSON.stringify({ question: 42 })
    const headers = { 'Content-Type': 'application/json' }
    const answer = await get({ port: await project.port() }, '/echo', { method: 'POST', headers, body })
    expect({ status: answer.status, body: JSON.parse(answer.body) }).toEqual({
      status: 200,
      body: { received: { question: 42 } },
    })
  })

it('U1 the job of the example hello runs in one process of a group of two', async () => {
  const project = copyOf('hello')
  change(project, 'start.ts', "{ name: 'jobs' }", "{ name: 'jobs', count: 2 }")
  change(project, 'jobs.ts', '5_000', '50')
  const running = await project.start('tsx-import', [], ANY_PORT)
  await running.line(/(^job done by \d+\n){10}/m)
  const pids = await project.pids('jobs')
  expect(pids).toHaveLength(2)
  const workers = new Set([...running.stdout.matchAll(/^job done by (\d+)$/gm)].map((match) => Number(match[1])))
  expect(workers.size).toBe(1)
  expect(pids).toEqual(expect.arrayContaining([...workers]))
})

/** One client of the gateway: a stream that it reads for as long as it is open. */
class EventStream {
  readonly events: { event: string; data: Record<string, unknown> }[] = []
  isEnded = false
  readonly ended: Promise<void>
  readonly #news = new Signal()
  #text = ''

  private constructor(response: IncomingMessage) {
    response.setEncoding('utf8').on('data', (chunk: string) => this.#read(chunk))
    this.ended = new Promise((resolve) => {
      response.once('close', () => {
        this.isEnded = true
        resolve()
        this.#news.tell()
      })
    })
  }

  static open(port: number): Promise<EventStream> {
    return new Promise((resolve, reject) => {
      const request = httpGet({ host: '127.0.0.1', port, agent: false })
      request.once('response', (response) => resolve(new EventStream(response))).once('error', reject)
      onTestFinished(() => void request.destroy())
    })
  }

  #read(chunk: string): void {
    const parts = (this.#text + chunk).split('\n\n')
    this.#text = parts.pop() ?? ''
    for (const part of parts) {
      const match = /^event: (.*)\ndata: (.*)$/.exec(part)
      expect(match, part).not.toBeNull()
      this.events.push({ event: match?.[1] ?? '', data: JSON.parse(match?.[2] ?? '') as Record<string, unknown> })
    }
    this.#news.tell()
  }

  count(event: string): number {
    return this.events.filter((row) => row.event === event).length
  }

  /** Waits until so many events of that name have come. */
  async until(event: string, count: number): Promise<void> {
    const look = (): true | undefined => {
      if (this.count(event) >= count) return true
      if (this.isEnded) throw new Error(`the stream ended after ${this.count(event)} × ${event}`)
      return undefined
    }
    await this.#news.wait(look, { what: `${count} × ${event}`, instead: () => `${this.count(event)} came` })
  }
}

it('H1 streams of the example gateway-sse stay open in the same process through reloads, each is told of each, a stop ends them', async () => {
  const project = copyOf('gateway-sse')
  change(project, 'gateway.ts', 'TICK_MS = 1_000', 'TICK_MS = 20')
  const running = await project.start('tsx-import', [], ANY_PORT)
  const [gateway] = await project.pids('gateway')
  const eventsPort = await project.port('gateway')
  const streams = await Promise.all([1, 2, 3, 4, 5].map(() => EventStream.open(eventsPort)))
  await Promise.all(streams.map((stream) => stream.until('hello', 1)))

  for (let reloads = 1; reloads <= 4; reloads++) {
    const old = await project.pids()
    project.write('app.ts', project.read('app.ts').replace(/hello\d* from/, `hello${reloads} from`))
    const { code, summary } = await project.reload()
    expect({ code, result: summary.result, kept: summary.kept }).toEqual({ code: 0, result: 'done', kept: ['gateway'] })
    expect(await project.pids('gateway')).toEqual([gateway])
    expect((await project.pids()).filter((pid) => old.includes(pid))).toEqual([])
    expect((await get({ port: await project.port() })).body).toContain(`hello${reloads} from`)
    await Promise.all(streams.map((stream) => stream.until('reload', reloads)))
    await Promise.all(streams.map((stream) => stream.until('tick', stream.count('tick') + 2)))
  }

  for (const stream of streams) {
    expect(stream.isEnded).toBe(false)
    expect(stream.count('reload')).toBe(4)
    expect(stream.events.filter((row) => row.event === 'hello').map((row) => row.data)).toEqual([{ pid: gateway }])
  }
  const stopped = await project.shiftwork('stop', '--json')
  expect(stopped).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(stopped.stdout)).toMatchObject({ connectionsCut: 0, killed: 0 })
  // nobody is waited for until the deadline
  expect(stopped.ms).toBeLessThan(20_000)
  await Promise.all(streams.map((stream) => stream.ended))
  expect(await running.ended).toMatchObject({ code: 0, signal: null })
})

for (const flavour of flavoursOf('line-server'))
  it(`U1 the example line-server, run with ${flavour}, talks in lines, reloads to changed code and stops`, async () => {
    const project = copyOf('line-server')
    const running = await project.start(flavour, [], ANY_PORT)
    const target = { port: await project.port('lines') }
    const old = await project.pids('lines')
    const peer = await talk('text', target)
    expect(await peer.next()).toBe('hello, say help')
    expect(await peer.ask('help\r')).toBe('say help, who, echo, sleep, quit')
    expect(old).toContain(Number(/^hello from (\d+), you are 127\.0\.0\.1$/.exec(await peer.ask('who'))?.[1]))
    expect(await peer.ask('toString')).toBe('no such thing as "toString", say help')

    change(project, 'commands.ts', 'hello from', 'welcome from')
    peer.send('sleep 1', 'echo in time')
    const reloading = project.reload()
    expect(await peer.rest()).toEqual({ messages: ['good morning', 'in time'], ending: 'end' })
    peer.end()
    const { code, summary } = await reloading
    expect({ code, cut: summary.replaced.map((row) => row.connectionsCut) }).toEqual({ code: 0, cut: [0, 0] })
    const next = await talk('text', target)
    await next.next()
    expect(await next.ask('who')).toContain('welcome from')
    next.send('quit')
    expect(await next.rest()).toEqual({ messages: ['goodbye'], ending: 'end' })
    next.end()

    expect(await project.through(flavour, 'stop')).toMatchObject({ code: 0, stderr: '' })
    expect(await running.ended).toMatchObject({ code: 0, signal: null, stderr: '' })
  })

it('U1 the example custom-protocol takes values, gives values, and disconnects who speaks anything else', async () => {
  const project = copyOf('custom-protocol')
  const running = await project.start('tsx-import', [], ANY_PORT)
  const target = { port: await project.port('sums') }
  const peer = await talk('own', target)
  expect(await peer.askJson('{"add":[1,2]}')).toEqual({ sum: 3 })
  peer.send('{"add":[1]}', '{}', '{"add":[]}')
  expect(await peer.many(3)).toEqual(['{"sum":1}', '{"error":"say { \\"add\\": [1, 2] }"}', '{"sum":0}'])
  for (const garbage of ['GET / HTTP/1.1\r\n', '123456789', ':,', '2:{}.', '3:{},,', '99999999:']) {
    const stranger = await talk('own', target)
    stranger.write(Buffer.from(garbage))
    expect({ garbage, ...(await stranger.rest()) }).toEqual({ garbage, messages: [], ending: 'end' })
    stranger.end()
  }
  expect(await peer.askJson('{"add":[2,2]}')).toEqual({ sum: 4 })

  change(project, 'sums.ts', '=> sum + number', '=> sum - number')
  expect((await project.reload()).code).toBe(0)
  expect(await (await talk('own', target)).askJson('{"add":[2,2]}')).toEqual({ sum: -4 })
  expect(await project.shiftwork('stop')).toMatchObject({ code: 0, stderr: '' })
  expect(await running.ended).toMatchObject({ code: 0, signal: null })
})

async function talk(speech: string, target: { port: number }): Promise<Peer> {
  const peer = await Peer.open(speechOf(speech), target)
  onTestFinished(() => peer.destroy())
  return peer
}

it('U1 the example proxy hands requests on through reloads of both groups, and a client may stay on its connection', async () => {
  const project = copyOf('proxy')
  // a client rests through a reload
  change(project, 'start.ts', 'count: 2 })', 'count: 2, server: { keepAliveTimeout: 60_000 } })')
  const [webPort = 0] = await quietPorts(1)
  await project.start('tsx-import', [], { PORT: String(webPort), PROXY_PORT: '0' })
  const port = await project.port('proxy')
  // the old proxy goes on for those that it has
  const stays = await Client.open({ port })
  expect((await stays.request()).body).toContain('hello')
  change(project, 'app.ts', 'hello from', 'welcome from')
  expect((await project.reload('proxy', '--wait', 'serving')).code).toBe(0)
  expect((await get({ port })).body).toContain('hello')
  expect((await stays.request()).body).toContain('hello')
  stays.close()
  expect((await project.reload('web')).code).toBe(0)
  expect((await get({ port })).body).toContain('welcome')
})
