/**
 * Many WebSocket clients that send numbered messages and are strict about what becomes of each. What a client
 * knows when it is told 1012: what was answered was handled, what was not answered was not. So it sends the
 * rest again on its next connection, and every message must then have been handled exactly once.
 */
import type { Target } from './client.ts'
import { FrameClient, frame, OPCODES } from './frames.ts'
import { Signal } from './signal.ts'

export interface CallersOptions {
  target: Target
  clients: number
  /** Between two messages of a client, chosen anew each time. */
  pauseMs: [number, number]
  /** So many may be on their way. */
  ahead: number
}

export interface CallersResult {
  /** Answers that were right: the next number, once. */
  answered: number
  /** By which version of the code, in the order of the answers. */
  versions: string[]
  /** What the connections came to, each `1012 closed`, and how often. */
  farewells: Record<string, number>
  /** What was not as promised. */
  wrongs: string[]
  /** The last number that each client got an answer to. */
  last: Map<string, number>
}

/** Its messages are `<name> <number>`, and the answer to each is that and a version. */
export class Callers {
  readonly result: CallersResult = { answered: 0, versions: [], farewells: {}, wrongs: [], last: new Map() }
  readonly #options: CallersOptions
  readonly #loops: Promise<void>[]
  #isStopping = false
  readonly #news = new Signal()

  constructor(options: CallersOptions) {
    this.#options = options
    this.#loops = Array.from({ length: options.clients }, (_, index) => this.#run(`client-${index}`))
  }

  /** Waits until so many more messages were answered. */
  more(count: number): Promise<void> {
    const until = this.result.answered + count
    const instead = (): string => JSON.stringify({ ...this.result, versions: [] })
    return this.#news.until(() => this.result.answered >= until, { what: `${count} more answers`, instead })
  }

  /** Lets every client hear what it waits for. */
  async stop(): Promise<CallersResult> {
    this.#isStopping = true
    await Promise.all(this.#loops)
    return this.result
  }

  async #run(name: string): Promise<void> {
    this.result.last.set(name, -1)
    while (!this.#isStopping) {
      try {
        const client = await FrameClient.open(this.#options.target)
        await this.#speak(name, client)
      } catch (error) {
        this.result.wrongs.push(`${name}: ${error}`)
      }
    }
  }

  /** Until the connection ends. */
  async #speak(name: string, client: FrameClient): Promise<void> {
    const heard = this.#hear(name, client)
    let next = (this.result.last.get(name) ?? 0) + 1
    while (!client.isEnding && !this.#isStopping) {
      if (next - (this.result.last.get(name) ?? 0) <= this.#options.ahead) await this.#say(`${name} ${next++}`, client)
      await this.#pause()
    }
    if (!client.isEnding && (this.result.last.get(name) ?? 0) < next - 1) await this.#until(name, next - 1, client)
    if (!client.isEnding) client.write(frame(OPCODES.close, Buffer.of(1000 >> 8, 1000 & 0xff)))
    await heard
  }

  /** Some in two fragments, with a pause between. */
  async #say(text: string, client: FrameClient): Promise<void> {
    if (Math.random() < 0.8) return client.send(text)
    client.write(frame(OPCODES.text, text.slice(0, 3), { isFinal: false }))
    await this.#pause()
    if (!client.isEnding) client.write(frame(OPCODES.more, text.slice(3)))
  }

  async #hear(name: string, client: FrameClient): Promise<void> {
    for (let frames = 0; ; frames = client.frames.length) {
      await client.more(frames)
      for (const { opcode, payload } of client.frames.slice(frames))
        if (opcode === OPCODES.text) this.#note(name, payload.toString())
      if (client.hasEnded) break
    }
    const { code, end, unread } = await client.farewell()
    const farewell = `${code} ${end}${unread > 0 ? ' in a frame' : ''}`
    this.result.farewells[farewell] = (this.result.farewells[farewell] ?? 0) + 1
  }

  #note(name: string, text: string): void {
    const number = (this.result.last.get(name) ?? 0) + 1
    const version = text.slice(`${name} ${number} `.length)
    if (text !== `${name} ${number} ${version}`) this.result.wrongs.push(`${name} ${number} was answered with ${text}`)
    this.result.last.set(name, number)
    this.result.answered++
    this.result.versions.push(version)
    this.#news.tell()
  }

  async #until(name: string, number: number, client: FrameClient): Promise<void> {
    while (!client.isEnding && (this.result.last.get(name) ?? 0) < number) await client.more(client.frames.length)
  }

  #pause(): Promise<void> {
    const [from, to] = this.#options.pauseMs
    return new Promise((resolve) => setTimeout(resolve, from + Math.random() * (to - from)))
  }
}
