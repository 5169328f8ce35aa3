/**
 * Many WebSocket clients of a gateway that speak all the time, and are strict about what they hear: each message
 * has a number and is answered with it, each push has one, too. What is lost, doubled or out of order, and each connection
 * that ends, is written down. `gateways` has the code that answers.
 */
import { connect, type Socket } from 'node:net'
import { frame, HANDSHAKE, OPCODES, parseFrame } from './frames.ts'
import { Signal } from './signal.ts'

export interface SwarmOptions {
  port: number
  clients: number
  /** All of them together. */
  messagesPerSecond?: number
  /** So many of a client may be unanswered. Default 8. */
  ahead?: number
  /** Messages may be lost: answers to later ones come all the same. Those are counted. */
  isLossy?: boolean
}

const TICK_MS = 10
const UPGRADE = `GET / HTTP/1.1\r\nHost: gateway\r\n${Object.entries(HANDSHAKE)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join('')}\r\n`

/** One client. */
export class SwarmClient {
  readonly name: string
  /** The number of the last message that it has sent, of the last answer, and of the last push. */
  sent = 0
  answered = 0
  pushed = 0
  /** Who has answered last. */
  pid = 0
  isUpgraded = false
  /** Its business worker has greeted it. */
  isWelcome = false
  /** The code of the close frame; `end`: the connection ended without one. */
  farewell: number | 'end' | null = null
  /** When it was told a code, as `Date.now()` says it. */
  partedAt = 0
  readonly #socket: Socket
  readonly #swarm: Swarm
  #rest: Buffer = Buffer.alloc(0)

  constructor(name: string, port: number, swarm: Swarm) {
    this.name = name
    this.#swarm = swarm
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.write(UPGRADE)
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#socket.on('error', (error) => swarm.note(`${name}: ${error.message}`))
    this.#socket.on('close', () => {
      this.farewell ??= 'end'
      swarm.tell()
    })
  }

  /** @param more stands behind its name and the number. */
  say(more = ''): void {
    this.#socket.write(frame(OPCODES.text, `${this.name} ${++this.sent} ${more}`.trimEnd()))
  }

  /** What it could not write. */
  get stalledBytes(): number {
    return this.#socket.writableLength
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    if (!this.isUpgraded && !this.#upgrade()) return
    for (let parsed = parseFrame(this.#rest); parsed; parsed = parseFrame(this.#rest)) {
      const { opcode, payload } = parsed.frame
      this.#rest = this.#rest.subarray(parsed.end)
      if (opcode === OPCODES.text) this.#hear(payload.toString())
      else if (opcode === OPCODES.close) this.#part(payload)
      else this.#swarm.note(`${this.name}: opcode ${opcode}`)
    }
    this.#swarm.tell()
  }

  #upgrade(): boolean {
    const end = this.#rest.indexOf('\r\n\r\n')
    if (end < 0) return false
    const [status = ''] = this.#rest.toString('latin1', 0, end).split('\r\n')
    if (!status.includes(' 101 ')) this.#swarm.note(`${this.name}: ${status}`)
    this.#rest = this.#rest.subarray(end + 4)
    this.isUpgraded = true
    return true
  }

  #part(payload: Buffer): void {
    this.farewell = payload.length < 2 ? 1005 : payload.readUInt16BE()
    this.partedAt = Date.now()
    this.#socket.end(frame(OPCODES.close, payload))
  }

  #hear(text: string): void {
    const [what, word = '', pid = '', mark] = text.split(' ')
    const number = Number(word)
    if (what === 'answer') this.#hearAnswer(number, Number(pid), mark === 'redelivered')
    else if (what === 'push') this.#hearPush(number)
    else if (text === 'welcome') this.isWelcome = true
    else this.#swarm.note(`${this.name} hears ${text}`)
  }

  #hearAnswer(number: number, pid: number, isRedelivered: boolean): void {
    this.pid = pid
    this.#swarm.pids.add(pid)
    this.#swarm.answers++
    if (number === this.answered + 1 && number <= this.sent) this.answered++
    else if (number <= this.answered && isRedelivered) this.#swarm.repeats++
    else if (number > this.answered && number <= this.sent && this.#swarm.isLossy) this.answered = number
    else this.#swarm.note(`${this.name} hears answer ${number} after ${this.answered}`)
  }

  #hearPush(number: number): void {
    if (number !== ++this.pushed) this.#swarm.note(`${this.name} hears push ${number}, not ${this.pushed}`)
    this.pushed = number
  }
}

export class Swarm {
  readonly clients: readonly SwarmClient[]
  /** What was not as promised. */
  readonly wrongs: string[] = []
  /** Of the workers that have answered. */
  readonly pids = new Set<number>()
  answers = 0
  /** Answers to messages that were answered before, and that were marked. */
  repeats = 0
  readonly isLossy: boolean
  readonly #ahead: number
  readonly #perTick: number
  readonly #news = new Signal()
  #timer: NodeJS.Timeout | null = null
  #next = 0
  #due = 0

  private constructor({ port, clients, messagesPerSecond = 0, ahead = 8, isLossy = false }: SwarmOptions) {
    this.isLossy = isLossy
    this.#ahead = ahead
    this.#perTick = (messagesPerSecond * TICK_MS) / 1_000
    this.clients = Array.from({ length: clients }, (_, index) => new SwarmClient(`client-${index}`, port, this))
  }

  /** Resolves when every client is connected and was greeted. */
  static async open(options: SwarmOptions): Promise<Swarm> {
    const swarm = await Swarm.connect(options)
    await swarm.until('all are welcome', () => swarm.clients.every(({ isWelcome }) => isWelcome))
    return swarm
  }

  /** The same where nobody is there who would greet them. */
  static async connect(options: SwarmOptions): Promise<Swarm> {
    const swarm = new Swarm(options)
    await swarm.until('all are connected', () => swarm.clients.every(({ isUpgraded }) => isUpgraded))
    return swarm
  }

  note(wrong: string): void {
    if (this.wrongs.length < 20) this.wrongs.push(wrong)
  }

  tell(): void {
    this.#news.tell()
  }

  /** From now on they speak, one after another. */
  speak(): void {
    this.#timer = setInterval(() => {
      for (this.#due += this.#perTick; this.#due >= 1; this.#due--) {
        const client = this.clients[this.#next++ % this.clients.length]
        if (client && client.farewell === null && client.sent - client.answered < this.#ahead) client.say()
      }
    }, TICK_MS)
  }

  /** Waits for so many more answers. */
  more(answers: number): Promise<void> {
    const from = this.answers
    return this.until(`${answers} more answers`, () => this.answers >= from + answers)
  }

  /** Says nothing more, and waits until everything is answered. */
  async quiet(timeoutMs = 60_000): Promise<void> {
    if (this.#timer) clearInterval(this.#timer)
    const isAnswered = (): boolean => this.clients.every(({ sent, answered }) => sent === answered)
    await this.until('everything is answered', isAnswered, timeoutMs)
  }

  /** @throws Error when that is not so in time, with what is wrong. */
  until(what: string, isSo: () => boolean, timeoutMs = 60_000): Promise<void> {
    return this.#news.until(isSo, { what, instead: () => String(this), timeoutMs })
  }

  toString(): string {
    const open = this.clients.filter(({ farewell }) => farewell === null)
    const waiting = this.clients.filter(({ sent, answered }) => sent > answered).map((client) => client.name)
    return `${open.length} are connected, ${waiting.length} wait (${waiting.slice(0, 5)}), wrong is ${this.wrongs.join('; ')}`
  }

  /** What each client has heard in the end, counted: the words are `connected`, a close code, `end`. */
  get farewells(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { farewell } of this.clients) {
      const word = farewell ?? 'connected'
      counts[word] = (counts[word] ?? 0) + 1
    }
    return counts
  }

  /** When the last was told goodbye. */
  get partedAt(): number {
    return Math.max(...this.clients.map(({ partedAt }) => partedAt))
  }

  close(): void {
    if (this.#timer) clearInterval(this.#timer)
    for (const client of this.clients) client.close()
  }
}
