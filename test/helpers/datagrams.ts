/**
 * Strict clients over UDP: each datagram carries a number of its own, and each answer must name one that
 * was asked and has no answer yet. A client has only so many on their way at a time, so that no buffer of
 * the kernel is ever the limit; what has no answer after a while is lost.
 */
import { createSocket, type Socket } from 'node:dgram'
import { onTestFinished } from 'vitest'
import { until } from './processes.ts'
import { Signal } from './signal.ts'

/** What `udpApp` answers. */
export interface Answer {
  pid: number
  version: string
  /** What was asked. */
  said: string
}

const PATIENCE_MS = 20_000

/** One socket on loopback. */
export class DatagramClient {
  /** Everything that has come, in order. */
  readonly answers: string[] = []
  onAnswer: () => void = () => undefined
  readonly #socket: Socket
  readonly #host: string
  readonly #news = new Signal()

  private constructor(socket: Socket, host: string) {
    this.#socket = socket
    this.#host = host
    socket.on('message', (data) => {
      this.answers.push(data.toString())
      this.onAnswer()
      this.#news.tell()
    })
  }

  static open(host = '127.0.0.1'): Promise<DatagramClient> {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    onTestFinished(() => void socket.close())
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(0, host, () => resolve(new DatagramClient(socket, host)))
    })
  }

  get port(): number {
    return this.#socket.address().port
  }

  /** Resolves when the kernel has it: on loopback it is then in the other socket's queue. */
  send(port: number, text: string | Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(text, port, this.#host, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** The answer to this text; it must be unlike any other. */
  async ask(port: number, text: string): Promise<Answer> {
    await this.send(port, text)
    return this.answerTo(text)
  }

  answerTo(text: string, timeoutMs = PATIENCE_MS): Promise<Answer> {
    const find = (): Answer | undefined =>
      this.answers.map((answer) => JSON.parse(answer) as Answer).find(({ said }) => said === text)
    return this.#news.wait(find, { what: `an answer to ${text}`, instead: this.#instead, timeoutMs })
  }

  /** Waits until so many have come. */
  count(number: number, timeoutMs = PATIENCE_MS): Promise<void> {
    const wait = { what: `${number} answers`, instead: this.#instead, timeoutMs }
    return this.#news.until(() => this.answers.length >= number, wait)
  }

  readonly #instead = (): string => `${this.answers.length} came`
}

const ENOUGH = 100

export interface DatagramLoadOptions {
  /** Where the next datagram goes. */
  port: () => number
  clients: number
  /** On their way at a time, of each client. */
  window: number
  pauseMs: [number, number]
  /** Put before each number: a command of `udpApp`. */
  command?: string
}

export interface DatagramLoadResult {
  asked: number
  answered: number
  /** Those without an answer. */
  lost: string[]
  /** Those with more than one, and answers to what nobody asked. */
  doubled: string[]
  versions: Set<string>
  byPid: Map<number, number>
}

/** Several clients at once, until `stop`. */
export class DatagramLoad {
  readonly result: DatagramLoadResult = {
    asked: 0,
    answered: 0,
    lost: [],
    doubled: [],
    versions: new Set(),
    byPid: new Map(),
  }
  readonly #options: DatagramLoadOptions
  readonly #lanes: Promise<void>[]
  #isOn = true

  constructor(options: DatagramLoadOptions) {
    this.#options = options
    this.#lanes = Array.from({ length: options.clients }, (_, client) => this.#run(client))
  }

  /** Sends no more once enough were asked to tell anything, and waits for what is on its way. */
  async stop(): Promise<DatagramLoadResult> {
    await until('enough were asked', () => this.result.asked > ENOUGH)
    this.#isOn = false
    await Promise.all(this.#lanes)
    return this.result
  }

  async #run(number: number): Promise<void> {
    const client = await DatagramClient.open()
    const open = new Map<string, () => void>()
    const seen = new Set<string>()
    let read = 0
    const take = (): void => {
      for (; read < client.answers.length; read++) this.#note(client.answers[read] ?? '', { open, seen })
    }
    const { window, port, command = 'echo' } = this.#options
    const lane = async (place: number): Promise<void> => {
      for (let turn = 0; this.#isOn; turn++) {
        const text = `${command} ${number}.${place}.${turn}`
        const answered = new Promise<boolean>((resolve) => {
          const timer = setTimeout(() => resolve(false), PATIENCE_MS)
          open.set(text, () => {
            clearTimeout(timer)
            resolve(true)
          })
        })
        this.result.asked++
        await client.send(port(), text)
        if (!(await answered)) this.result.lost.push(text)
        await this.#pause()
      }
    }
    client.onAnswer = take
    await Promise.all(Array.from({ length: window }, (_, place) => lane(place)))
  }

  #note(answer: string, { open, seen }: { open: Map<string, () => void>; seen: Set<string> }): void {
    const { said, pid, version } = JSON.parse(answer) as Answer
    if (seen.has(said) || !open.has(said)) this.result.doubled.push(said)
    seen.add(said)
    open.get(said)?.()
    this.result.answered++
    this.result.versions.add(version)
    this.result.byPid.set(pid, (this.result.byPid.get(pid) ?? 0) + 1)
  }

  #pause(): Promise<void> {
    const [from, to] = this.#options.pauseMs
    return new Promise((resolve) => setTimeout(resolve, from + Math.random() * (to - from)))
  }
}

/** A start file with one group `web` over UDP; `options` go to the Worker as they are. */
export function udpStart(options: Record<string, unknown> = {}, listen = 'udp://127.0.0.1:0'): string {
  return `
import { Worker } from 'shiftwork'
const web = new Worker(${JSON.stringify(listen)}, ${JSON.stringify({ name: 'web', count: 2, bakeMs: 50, ...options })})
web.onWorkerStart = async (worker) => {
  const { attach } = await import('./app.js')
  await attach(worker)
}
Worker.runAll()
`
}

/** For `udpApp`: no worker becomes ready while there is this file. */
export const GATE = 'closed.gate'
export const GATED = `while (existsSync('${GATE}')) await delay(5)`

/** Answers each datagram with its pid, a version and what was asked. The first word may ask for more. */
export function udpApp(version: string, more = ''): string {
  return `
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
const COMMANDS = {
  slow: (words) => delay(Number(words[0])),
  never: () => new Promise(() => undefined),
  throw: () => { throw new Error('thrown on purpose') },
  reject: async () => { throw new Error('rejected on purpose') },
  block: (words) => { for (const end = performance.now() + Number(words[0]); performance.now() < end; ); },
  long: (words, connection) => { if (connection.send(Buffer.alloc(Number(words[0]))) !== false) throw new Error('sent') },
}
export async function attach(worker) {
  const answer = (connection, said) =>
    connection.send(JSON.stringify({ pid: process.pid, version: ${JSON.stringify(version)}, said }))
  worker.onMessage = (connection, data) => {
    const [word, ...words] = data.toString().split(' ')
    const busy = COMMANDS[word]?.(words, connection)
    if (busy) return busy.then(() => { answer(connection, data.toString()) })
    answer(connection, data.toString())
  }
  ${more}
}
`
}
