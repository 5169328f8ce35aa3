/** A strict client of a stream protocol over a bare socket: what came, in order, and how it ended. */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Target } from './client.ts'
import { Signal } from './signal.ts'
import type { Speech } from './speeches.ts'

/** end: the other side has said that it is over · reset: it was torn down */
export type Ending = 'end' | 'reset'

export class Peer {
  readonly socket: Socket
  readonly received: string[] = []
  /** null: it is open. */
  ending: Ending | null = null
  readonly #speech: Speech
  readonly #news = new Signal()
  readonly #patienceMs: number
  #rest: Buffer = Buffer.alloc(0)
  #taken = 0
  #isWelcome: boolean

  private constructor(socket: Socket, speech: Speech, patienceMs: number) {
    this.socket = socket
    this.#speech = speech
    this.#patienceMs = patienceMs
    this.#isWelcome = speech.greeting === undefined
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('end', () => this.#end('end'))
    socket.on('error', () => this.#end('reset'))
    socket.on('close', () => this.#end('reset'))
  }

  /**
   * Does not end by itself when the other side has ended.
   * @param patienceMs how long it waits for anything.
   */
  static async open(speech: Speech, target: Target, patienceMs = 60_000): Promise<Peer> {
    const peer = new Peer(await Peer.#connect(target), speech, patienceMs)
    if (speech.greeting) {
      peer.write(speech.greeting)
      await peer.#until('a welcome', () => peer.#isWelcome || peer.ending !== null)
      if (peer.ending) throw new Error(`${peer.ending} before it was welcome`)
    }
    return peer
  }

  static #connect(target: Target): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const isTls = 'tls' in target && target.tls === true
      const options = { allowHalfOpen: true, noDelay: true, host: '127.0.0.1', ...target }
      // the tests' certificates are their own
      const socket = isTls ? connectTls({ ...options, rejectUnauthorized: false }) : connect(options)
      socket.once('error', reject)
      socket.once(isTls ? 'secureConnect' : 'connect', () => {
        socket.off('error', reject)
        resolve(socket)
      })
    })
  }

  send(...messages: string[]): void {
    this.write(Buffer.concat(messages.map((message) => this.#speech.encode(message))))
  }

  write(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  /** The next message that nobody has taken. @throws Error when it ends without one. */
  async next(): Promise<string> {
    await this.#until('a message', () => this.received.length > this.#taken || this.ending !== null)
    const message = this.received[this.#taken]
    if (message === undefined) throw new Error(`${this.ending} after ${JSON.stringify(this.received.slice(-3))}`)
    this.#taken++
    return message
  }

  async many(count: number): Promise<string[]> {
    const messages: string[] = []
    while (messages.length < count) messages.push(await this.next())
    return messages
  }

  ask(message: string): Promise<string> {
    this.send(message)
    return this.next()
  }

  async askJson<T>(message: string): Promise<T> {
    return JSON.parse(await this.ask(message)) as T
  }

  /** Sends no more. */
  end(): void {
    if (this.#speech.farewell && this.ending === null) this.write(this.#speech.farewell)
    this.socket.end()
  }

  /** Waits for the end. @returns the messages that nobody has taken, and how it ended. */
  async rest(): Promise<{ messages: string[]; ending: Ending | null }> {
    await this.#until('its end', () => this.ending !== null)
    const messages = this.received.slice(this.#taken)
    this.#taken = this.received.length
    return { messages, ending: this.ending }
  }

  destroy(): void {
    this.socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    if (!this.#isWelcome) {
      const taken = this.#speech.welcome?.(this.#rest) ?? 0
      this.#isWelcome = taken > 0
      this.#rest = this.#rest.subarray(taken)
      this.#news.tell()
    }
    if (!this.#isWelcome) return
    const { messages, taken, reply } = this.#speech.decode(this.#rest)
    this.#rest = this.#rest.subarray(taken)
    this.received.push(...messages)
    if (reply) this.write(reply)
    if (messages.length > 0) this.#news.tell()
  }

  #end(how: Ending): void {
    this.ending ??= how
    this.#news.tell()
  }

  #until(what: string, isSo: () => boolean): Promise<void> {
    const instead = (): string =>
      `${this.received.length} messages have come, the last ${JSON.stringify(this.received.at(-1)?.slice(0, 100))}`
    return this.#news.until(isSo, { what, instead, timeoutMs: this.#patienceMs })
  }
}
