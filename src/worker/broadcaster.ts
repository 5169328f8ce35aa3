/** What this worker broadcasts through its master, and how it hears what became of it. Made by `run`. */

import { ShiftworkError } from '../errors.ts'
import { type Broadcast, type BroadcastResult, MAX_WAITING_BYTES, resultOf, wireBytes } from '../ipc/broadcast.ts'
import { Calls } from '../ipc/calls.ts'
import type { WorkerMessage } from '../ipc/messages.ts'
import { Window } from '../ipc/window.ts'

/** Longer than the master waits for the slowest process. */
const ANSWER_TIMEOUT_MS = 5_000
/** There is one master to ask. */
const MASTER = 0

export class Broadcaster {
  readonly #report: (message: WorkerMessage, done: () => void) => void
  readonly #calls = new Calls<BroadcastResult | null>()
  readonly #window = new Window(MAX_WAITING_BYTES)
  #isLost = false

  constructor(report: (message: WorkerMessage, done: () => void) => void) {
    this.#report = report
  }

  /** As `Worker.broadcast`. */
  readonly broadcast: Broadcast = async (group, data) => {
    const bytes = wireBytes(data)
    if (this.#isLost) throw masterGone()
    if (!this.#window.hasRoom(bytes))
      throw new ShiftworkError('ERR_SEND_BUFFER_FULL', `${MAX_WAITING_BYTES} bytes of broadcasts wait for the master`, {
        hint: 'Await Worker.broadcast before you call it again.',
      })
    const send = (question: number): void => {
      this.#window.take(question, bytes)
      // what the kernel has taken fills no memory here; a master that reads nothing is full soon
      this.#report({ type: 'broadcast', question, group, data }, () => this.#window.release(question))
    }
    const outcome = await this.#calls.ask(MASTER, { send, timeoutMs: ANSWER_TIMEOUT_MS })
    if (outcome === 'gone') throw masterGone()
    if (outcome === 'late')
      throw new ShiftworkError('ERR_NO_ANSWER', 'The master does not answer: the broadcast may still be delivered')
    return resultOf(group, outcome.answer)
  }

  /** What the master answers. */
  told(question: number, result: BroadcastResult | null): void {
    this.#calls.answer(question, result)
  }

  /** The master is gone. */
  lose(): void {
    this.#isLost = true
    this.#calls.forget(MASTER)
  }
}

function masterGone(): ShiftworkError {
  return new ShiftworkError('ERR_NOT_RUNNING', 'The master is gone, and nothing can be broadcast without it', {
    hint: 'worker.broadcast reaches the connections of this process.',
  })
}
