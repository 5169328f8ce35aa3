/** The start file and the business code of the stream tests, as text: an echo that does what it is told. */
import { join } from 'node:path'
import type { Target } from './client.ts'
import type { Project } from './project.ts'
import type { Speech } from './speeches.ts'

export type Transport = 'plain' | 'tls' | 'unix'
export const TRANSPORTS: readonly Transport[] = ['plain', 'tls', 'unix']

/** What the workers of `streamStart` take. */
export const MAX_MESSAGE_BYTES = 100_000
export const MAX_SEND_BUFFER_BYTES = 256 * 1024

/** A group of one process for each transport, named after it. */
export function streamStart(speech: Speech, options = '', transports = TRANSPORTS): string {
  const { schemes } = speech
  const addresses = {
    plain: `'${schemes.plain}://127.0.0.1:0'`,
    tls: `'${schemes.tls}://127.0.0.1:0'`,
    unix: `'${schemes.unix}+unix://' + new URL('unix.sock', import.meta.url).pathname`,
  }
  return `
import { readFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const read = (name) => readFileSync(new URL(name, import.meta.url))
const limits = { maxMessageBytes: ${MAX_MESSAGE_BYTES}, maxSendBufferBytes: ${MAX_SEND_BUFFER_BYTES} }
const open = (name, listen, more) => {
  const worker = new Worker(listen, { name, bakeMs: 0, ...limits, ...more, ${speech.options} ${options} })
  worker.onWorkerStart = async () => (await import('./app.js')).serve(worker, ${!speech.isBounded})
}
${transports.includes('plain') ? `open('plain', ${addresses.plain})` : ''}
${transports.includes('tls') ? `open('tls', ${addresses.tls}, { tls: { key: read('key.pem'), cert: read('cert.pem') } })` : ''}
${transports.includes('unix') ? `open('unix', ${addresses.unix})` : ''}
Worker.runAll()
`
}

/** Where the groups of `streamStart` really listen. */
export async function targets(project: Project): Promise<Record<Transport, Target>> {
  const { groups } = await project.status()
  const portOf = (name: string): number =>
    Number(/:(\d+)$/.exec(groups.find((group) => group.name === name)?.listen[0] ?? '')?.[1])
  return {
    plain: { port: portOf('plain') },
    tls: { port: portOf('tls'), tls: true },
    unix: { path: join(project.dir, 'unix.sock') },
  }
}

/**
 * Answers each message with itself, but for these words: `who`, `version`, `name N`, `told N` (what hooks were told of
 * that connection), `state N`, `close`, `end`, `destroy`, `throw`, `reject`, `wait G` (answers when `open G` came),
 * `pause G` (reads on then), `hold` (from now on onConnect waits for the gate `connect`), `slows` (pauses while its
 * send buffer is full), `fill` (sends until it is full), `own` (hooks of its own), `pipe N` (both ways), `do ID` (noted in
 * `handled.log`, answered with the version), `later MS`, `break MS` (pauses for so long), `big BYTES`, `crash`, `watch`
 * (from now on each time at which fewer connections are open is noted in `parted.log`).
 */
export function streamApp(version = '1'): string {
  return `
import { appendFileSync } from 'node:fs'
const HANDLED = new URL('handled.log', import.meta.url)
const PARTED = new URL('parted.log', import.meta.url)
const gates = new Map()
const named = new Map()
const told = []
let holds = false
const gate = (name) => {
  if (!gates.has(name)) gates.set(name, Promise.withResolvers ? Promise.withResolvers() : withResolvers())
  return gates.get(name)
}
const withResolvers = () => {
  const all = {}
  all.promise = new Promise((resolve) => { all.resolve = resolve })
  return all
}
const note = (connection, what) => told.push({ name: connection.context.name ?? connection.id, what })

export function serve(worker, isBytes) {
  // where messages end is not known: they end with a semicolon
  const send = (connection, text) => connection.send(isBytes ? text + ';' : text)

  const handle = (connection, text) => {
    const [word, name] = text.split(' ')
    const answer = (value) => send(connection, typeof value === 'string' ? value : JSON.stringify(value))
    const of = named.get(name)
    switch (word) {
      case 'version':
        return void answer(${JSON.stringify(version)} + ' ' + process.pid)
      case 'do':
        appendFileSync(HANDLED, name + '\\n')
        return void answer('done ' + name + ' ' + ${JSON.stringify(version)} + ' ' + process.pid)
      case 'later':
        return new Promise((resolve) => setTimeout(resolve, Number(name))).then(() => void answer('later ' + process.pid))
      case 'break':
        connection.pause()
        setTimeout(() => connection.resume(), Number(name))
        return void answer('break')
      case 'big':
        return void answer('x'.repeat(Number(name)))
      case 'crash':
        setImmediate(() => { throw new Error('crashed') })
        return
      case 'watch': {
        let last = 0
        // no hook is told when one is parted with
        setInterval(() => {
          const open = [...worker.connections].filter(({ state }) => state === 'open').length
          if (open < last) appendFileSync(PARTED, performance.now() + '\\n')
          last = open
        }, 1).unref()
        return void answer('watches')
      }
      case 'who': {
        const { id, protocol, remoteAddress, localPort, state, context } = connection
        context.asked = (context.asked ?? 0) + 1
        const { name, generation } = connection.worker
        return void answer({ pid: process.pid, id, protocol, remoteAddress, localPort, state, asked: context.asked, name, generation })
      }
      case 'name':
        connection.context.name = name
        named.set(name, connection)
        return void answer('named ' + name)
      case 'told':
        return void answer(told.filter((row) => row.name === name).map((row) => row.what))
      case 'state':
        return void answer({ state: of.state, isFull: of.isFull, isAtRest: of.isAtRest, bytesRead: of.bytesRead, bufferedBytes: of.bufferedBytes })
      case 'close':
        connection.close(isBytes ? 'bye;' : 'bye')
        return void note(connection, 'late ' + send(connection, 'late'))
      case 'end':
        answer('last')
        connection.end()
        return void note(connection, 'late ' + send(connection, 'late'))
      case 'destroy':
        return void connection.destroy()
      case 'throw':
        throw new Error('thrown')
      case 'reject':
        return Promise.reject(new Error('rejected'))
      case 'wait':
        note(connection, 'waits')
        return gate(name).promise.then(() => void answer('waited ' + name))
      case 'pause':
        connection.pause()
        void gate(name).promise.then(() => connection.resume())
        return void answer('paused')
      case 'hold':
        holds = true
        return void answer('holds')
      case 'open':
        gate(name).resolve()
        gates.delete(name)
        if (name === 'connect') holds = false
        return void answer('opened ' + name)
      case 'slows':
        connection.context.slows = true
        return void answer('slows')
      case 'fill':
        while (!connection.isFull) send(connection, 'x'.repeat(10_000))
        return void note(connection, 'dropped ' + send(connection, 'dropped'))
      case 'own':
        connection.onMessage = (_connection, message) => void send(connection, 'own ' + String(message).replace(';', ''))
        connection.onClose = () => note(connection, 'own closed')
        return void answer('owned')
      case 'pipe':
        answer('piped')
        connection.pipe(of)
        return void of.pipe(connection)
      default:
        // a copy: a slice would keep the whole message in memory
        note(connection, 'heard ' + Buffer.from(text.slice(0, 20)).toString())
        return void answer(text)
    }
  }

  // pause stops between messages, of which bytes are one: what else was in it would be dropped
  const roomOf = ({ context, isFull }) => {
    if (context.slows && isFull) return new Promise((resolve) => { context.drained = resolve })
  }

  const handleAll = (connection, parts) => {
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      // one that is closed handles no message any more; of bytes, this is where messages are told apart
      if (connection.state !== 'open' && connection.state !== 'parting') return
      const settling = handle(connection, part) ?? roomOf(connection)
      if (settling) return settling.then(() => handleAll(connection, parts))
    }
  }

  worker.onConnect = () => (holds ? gate('connect').promise : undefined)
  worker.onMessage = (connection, message) => {
    if (!isBytes) return handle(connection, String(message))
    const parts = ((connection.context.rest ?? '') + message.toString('latin1')).split(';')
    connection.context.rest = parts.pop()
    return handleAll(connection, parts.map((part) => Buffer.from(part, 'latin1').toString()))
  }
  worker.onClose = (connection) => note(connection, 'closed')
  worker.onError = (connection, error) => note(connection, 'error ' + (error.code ?? error.message))
  worker.onBufferFull = (connection) => {
    note(connection, 'full')
    if (connection.context.slows) connection.pause()
  }
  worker.onBufferDrain = (connection) => {
    note(connection, 'drained')
    connection.context.drained?.()
    if (connection.context.slows) connection.resume()
  }
}
`
}
