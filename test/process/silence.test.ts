/** Clients from which nothing comes: when they are asked for a sign of life, and when they are disconnected. */
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeCertificate } from '../helpers/certificate.ts'
import type { Target } from '../helpers/client.ts'
import { FrameClient, frame, OPCODES } from '../helpers/frames.ts'
import { Peer } from '../helpers/peer.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { SPEECHES, type Speech, speechOf } from '../helpers/speeches.ts'
import { streamApp } from '../helpers/streamapp.ts'

const IDLE_MS = 3_000
const EVERY_MS = 1_500

interface Row {
  speech: Speech
  scheme: string
}

const ROWS: Row[] = SPEECHES.flatMap((speech) =>
  speech.name === 'text' || speech.name === 'websocket'
    ? [speech.schemes.plain, speech.schemes.tls].map((scheme) => ({ speech, scheme }))
    : [{ speech, scheme: speech.schemes.plain }],
)

const nameOf = (kind: 'idle' | 'beat', { speech, scheme }: Row): string =>
  `${kind}-${speech.name}-${scheme}`.replace('+', '_')

/** For each protocol one group that minds idle clients, and one that asks silent ones. */
function startFile(): string {
  const groups = ROWS.flatMap((row) => {
    const { speech, scheme } = row
    const tls = scheme === speech.schemes.tls ? 'tls,' : ''
    const data = speech.name === 'websocket' ? '' : `, data: '${speech.isBounded ? 'ping' : 'ping;'}'`
    const open = (kind: 'idle' | 'beat', limit: string): string =>
      `open('${nameOf(kind, row)}', '${scheme}://127.0.0.1:0', { ${tls} ${speech.options} ${limit} }, ${!speech.isBounded})`
    return [
      open('idle', `idleTimeoutMs: ${IDLE_MS}`),
      open('beat', `heartbeat: { everyMs: ${EVERY_MS}, maxMissed: 2${data} }`),
    ]
  })
  return `
import { readFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const read = (name) => readFileSync(new URL(name, import.meta.url))
const tls = { key: read('key.pem'), cert: read('cert.pem') }
const open = (name, listen, options, isBytes) => {
  const worker = new Worker(listen, { name, bakeMs: 0, ...options })
  worker.onWorkerStart = async () => (await import('./app.js')).serve(worker, isBytes)
}
${groups.join('\n')}
Worker.runAll()
`
}

let project: Project
const ports = new Map<string, number>()
const opened: { destroy(): void }[] = []

beforeAll(async () => {
  project = new Project({ 'start.js': startFile(), 'app.js': streamApp() })
  makeCertificate(project)
  await project.start()
  for (const { name, listen } of (await project.status()).groups)
    ports.set(name, Number(/:(\d+)$/.exec(listen[0] ?? '')?.[1]))
})
afterAll(async () => {
  for (const each of opened) each.destroy()
  await project.end()
  rmSync(project.root, { recursive: true, force: true })
})

const targetOf = (kind: 'idle' | 'beat', row: Row): Target => ({
  port: ports.get(nameOf(kind, row)) ?? 0,
  tls: row.scheme === row.speech.schemes.tls,
})

async function open(kind: 'idle' | 'beat', row: Row): Promise<Peer> {
  const peer = await Peer.open(row.speech, targetOf(kind, row))
  opened.push(peer)
  return peer
}

/** What comes before this message is dropped. */
async function skipTo(peer: Peer, message: string): Promise<void> {
  for (let came = ''; came !== message; ) came = await peer.next()
}

/** What hooks were told of a connection, asked on a new one, which may be asked for a sign of life meanwhile. */
async function toldOf(kind: 'idle' | 'beat', row: Row, name: string): Promise<string[]> {
  const peer = await open(kind, row)
  peer.send(`told ${name}`)
  let told = await peer.next()
  while (told === 'ping') told = await peer.next()
  peer.end()
  return JSON.parse(told) as string[]
}

for (const row of ROWS) {
  it.concurrent(`${row.speech.name} (${row.scheme}): an idle client is disconnected by an end, and one that speaks is not`, async () => {
    let [idle, lively] = [await open('idle', row), await open('idle', row)]
    let spokeAt = performance.now()
    const begunAt = performance.now()
    await idle.ask('name idle')
    let endedAt = Number.POSITIVE_INFINITY
    const rest = idle.rest().finally(() => {
      endedAt = performance.now()
    })
    for (let asked = 0; performance.now() < Math.max(endedAt, begunAt + 2 * IDLE_MS); asked++) {
      const question = `still here ${asked}`
      const silentMs = performance.now() - spokeAt
      spokeAt = performance.now()
      const answer = await lively.ask(question).catch((error: unknown) => {
        // this process was not run for so long: it is right that nobody speaks there any more
        if (silentMs >= IDLE_MS - 250) return null
        throw error
      })
      if (answer === null) lively = await open('idle', row)
      else expect(answer).toBe(question)
      await new Promise((resolve) => setTimeout(resolve, 125))
    }
    expect(await rest).toEqual({ messages: [], ending: 'end' })
    expect(endedAt - begunAt).toBeGreaterThan(IDLE_MS - 50)
    idle.end()
    await until('onClose is called', async () => (await toldOf('idle', row, 'idle')).includes('closed'))
    expect(await toldOf('idle', row, 'idle')).toEqual(['closed'])
  })

  it.concurrent(`${row.speech.name} (${row.scheme}): a client that answers its pings lives, one that does not is disconnected, and onError told why`, async () => {
    const peer = await open('beat', row)
    await peer.ask('name beat')
    for (let pings = 0; pings < 5; pings++) {
      // what is no ping of the protocol itself is a message, and was answered with itself
      await skipTo(peer, 'ping')
      peer.write(row.speech.pong)
    }
    // from its answer on nothing more is heard
    peer.send('last')
    await skipTo(peer, 'last')
    expect((await peer.rest()).messages).toEqual(['ping', 'ping'])
    peer.destroy()
    await until('onClose is called', async () => (await toldOf('beat', row, 'beat')).includes('closed'))
    const told = (await toldOf('beat', row, 'beat')).filter((what) => !what.startsWith('heard pong'))
    expect(told).toEqual(['heard last', 'error ERR_TIMEOUT', 'closed'])
  })
}

it.concurrent('an idle WebSocket is told 1001', async () => {
  const row = { speech: speechOf('websocket'), scheme: 'websocket' }
  const client = await FrameClient.open(targetOf('idle', row))
  expect(await client.farewell()).toMatchObject({ code: 1001, end: 'closed', unread: 0 })
})

it.concurrent('a client whose handler takes its time is not idle', async () => {
  const row = { speech: speechOf('text'), scheme: 'text' }
  const peer = await open('idle', row)
  const begunAt = performance.now()
  peer.send(`later ${1.5 * IDLE_MS}`, 'still there')
  expect(await peer.many(2)).toEqual([expect.stringMatching(/^later \d+$/), 'still there'])
  // only now its silence begins; one that had begun before would be over with the next look, a quarter of it later
  expect(await peer.rest()).toEqual({ messages: [], ending: 'end' })
  expect(performance.now() - begunAt).toBeGreaterThan(1.9 * IDLE_MS)
})

it.concurrent('pings go out between the frames of a long message', async () => {
  const row = { speech: speechOf('websocket'), scheme: 'websocket' }
  const client = await FrameClient.open(targetOf('beat', row), { answersPings: false })
  opened.push(client.client.socket)
  client.write(frame(OPCODES.text, 'half ', { isFinal: false }))
  expect((await client.next()).opcode).toBe(OPCODES.ping)
  client.write(frame(OPCODES.pong))
  client.write(frame(OPCODES.more, 'of it'))
  let answer = await client.next()
  while (answer.opcode === OPCODES.ping) answer = await client.next()
  expect([answer.opcode, String(answer.payload)]).toEqual([OPCODES.text, 'half of it'])
})
