/**
 * The clients of a storm: strict ones, without a retry, on every listening group, all the time. Each
 * answer is shown to a witness; what got none is kept with the process that the connection was with.
 */
import { type Answer, Client, type Outcome, Unanswered } from '../helpers/client.ts'
import { pause } from '../helpers/load.ts'
import type { GroupName } from './code.ts'

/** An answer, and when its request was sent and answered, in milliseconds of `performance.now()`. */
export interface Seen {
  group: GroupName
  pid: number
  version: number
  leader: boolean
  sentAt: number
  answeredAt: number
  /** What `mark` said when the request was sent. */
  mark: number
}

export interface Lost {
  group: GroupName
  outcome: Outcome
  detail: string
  /** Which process the connection was with; null: it had not answered on it yet. */
  pid: number | null
  at: string
}

export interface TrafficOptions {
  ports: Partial<Record<GroupName, number>>
  /** Asked when a request is sent; its answer comes back in `Seen`. */
  mark(group: GroupName): number
  onAnswer(seen: Seen): void
  onLost(lost: Lost): void
}

const KEEP_ALIVE_CLIENTS = 4
const SHORT_CLIENTS = 2
const PAUSE_MS = [5, 40] as const
const SLOW_SHARE = 0.03

export class Traffic {
  answered = 0
  readonly #options: TrafficOptions
  readonly #loops: Promise<void>[]
  #isOver = false

  constructor(options: TrafficOptions) {
    this.#options = options
    this.#loops = Object.entries(options.ports).flatMap(([group, port]) =>
      Array.from({ length: KEEP_ALIVE_CLIENTS + SHORT_CLIENTS }, (_, index) =>
        this.#loop(group as GroupName, port, index >= KEEP_ALIVE_CLIENTS),
      ),
    )
  }

  /** Lets every client finish its request. */
  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#loops)
  }

  async #loop(group: GroupName, port: number, isShort: boolean): Promise<void> {
    let client: Client | null = null
    let pid: number | null = null
    while (!this.#isOver) {
      try {
        if (!client || client.isClosed) {
          pid = null
          client = await Client.open({ port, host: '127.0.0.1' })
        }
        const answer = await this.#request(group, client, isShort)
        pid = answer.pid
        if (isShort || answer.isLast) {
          client.close()
          client = null
        }
      } catch (error) {
        this.#lose(group, pid, error)
        client?.close()
        client = null
      }
      await pause(PAUSE_MS)
    }
    client?.close()
  }

  async #request(group: GroupName, client: Client, isShort: boolean): Promise<{ pid: number; isLast: boolean }> {
    const [sentAt, mark] = [performance.now(), this.#options.mark(group)]
    const path = Math.random() < SLOW_SHARE ? '/slow' : '/'
    const answer = await client.request({ path, headers: isShort ? { Connection: 'close' } : {} })
    const reply = parseReply(answer)
    this.answered++
    this.#options.onAnswer({ group, ...reply, sentAt, answeredAt: performance.now(), mark })
    return { pid: reply.pid, isLast: answer.headers.get('connection') === 'close' }
  }

  #lose(group: GroupName, pid: number | null, error: unknown): void {
    const outcome = error instanceof Unanswered ? error.outcome : 'wrong'
    this.#options.onLost({ group, outcome, detail: String(error), pid, at: new Date().toISOString() })
  }
}

function parseReply(answer: Answer): Pick<Seen, 'pid' | 'version' | 'leader'> {
  if (answer.status !== 200) throw new Unanswered('wrong', `${answer.status} ${answer.body.slice(0, 200)}`)
  return JSON.parse(answer.body) as Pick<Seen, 'pid' | 'version' | 'leader'>
}
