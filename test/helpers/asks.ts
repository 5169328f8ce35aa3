/**
 * Load of a stream protocol: clients that ask, wait for the answer, pause, and ask again, each question with an
 * id of its own. A question that got no answer because the server ended the connection is asked again on a new
 * one; everything else that goes wrong is counted apart.
 */
import type { Target } from './client.ts'
import { Peer } from './peer.ts'
import { Signal } from './signal.ts'
import type { Speech } from './speeches.ts'

export interface AsksOptions {
  speech: Speech
  target: Target
  clients: number
  /** Between two questions, chosen anew each time. */
  pauseMs: [number, number]
  /** A new connection for each question; `ends`: the client sends no more before it has read the answer. */
  isShort?: boolean | 'ends'
}

/** A question without an answer. */
export interface Unanswered {
  id: string
  how: 'crossed' | 'reset' | 'refused' | 'wrong'
  /** Who has answered on this connection before; null: nobody. */
  servedBy: number | null
}

export class Asks {
  readonly answered: { id: string; version: string; pid: number }[] = []
  readonly unanswered: Unanswered[] = []
  readonly #options: AsksOptions
  readonly #loops: Promise<void>[]
  readonly #news = new Signal()
  #isStopping = false

  constructor(options: AsksOptions) {
    this.#options = options
    this.#loops = Array.from({ length: options.clients }, (_, index) => this.#loop(index))
  }

  count(how: Unanswered['how']): number {
    return this.unanswered.filter((row) => row.how === how).length
  }

  /** Waits for so many more answers. */
  more(count: number): Promise<void> {
    const until = this.answered.length + count
    const instead = (): string => `${this.answered.length} of ${until} are there, ${this.unanswered.length} have none`
    return this.#news.until(() => this.answered.length >= until, { what: `${count} more answers`, instead })
  }

  /** Lets every client have its answer. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(this.#loops)
  }

  async #loop(client: number): Promise<void> {
    const line = new Line(this.#options)
    for (let number = 0; !this.#isStopping; number++) {
      await this.#ask(line, `${client}.${number}`)
      await this.#pause()
    }
    line.hangUp()
  }

  /** Until it is answered, or has failed in a way that should not be. */
  async #ask(line: Line, id: string): Promise<void> {
    for (;;) {
      const reply = await line.ask(id)
      if (typeof reply !== 'string') {
        this.answered.push({ id, ...reply })
        this.#news.tell()
        return
      }
      this.unanswered.push({ id, how: reply, servedBy: line.servedBy })
      line.hangUp()
      if (reply !== 'crossed') return
    }
  }

  #pause(): Promise<void> {
    const [from, to] = this.#options.pauseMs
    const ms = from + Math.random() * (to - from)
    return new Promise((resolve) => (ms < 1 ? setImmediate(resolve) : setTimeout(resolve, ms)))
  }
}

/** One client's connection, opened again when it is needed. */
class Line {
  servedBy: number | null = null
  readonly #options: AsksOptions
  #peer: Peer | null = null

  constructor(options: AsksOptions) {
    this.#options = options
  }

  async ask(id: string): Promise<{ version: string; pid: number } | Unanswered['how']> {
    const { speech, target, isShort } = this.#options
    // a process that was not run for a while wakes up with its timers, and only then reads that its connection was ended
    await new Promise((resolve) => setImmediate(resolve))
    if (this.#peer?.ending) this.hangUp()
    try {
      this.#peer ??= await Peer.open(speech, target)
    } catch {
      // told apart from a connection that was there
      return 'refused'
    }
    const peer = this.#peer
    peer.send(`do ${id}`)
    if (isShort === 'ends') peer.end()
    const answer = await peer.next().catch(() => null)
    if (answer === null) return peer.ending === 'end' ? 'crossed' : 'reset'
    const [done, of, version = '', pid] = answer.split(' ')
    if (done !== 'done' || of !== id) return 'wrong'
    this.servedBy = Number(pid)
    if (isShort === 'ends' && (await peer.rest()).ending !== 'end') return 'reset'
    if (isShort) this.hangUp()
    return { version, pid: Number(pid) }
  }

  hangUp(): void {
    this.#peer?.end()
    this.#peer?.destroy()
    this.#peer = null
    this.servedBy = null
  }
}
