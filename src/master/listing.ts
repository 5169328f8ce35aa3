/**
 * The open connections of all workers, on their way to the command line that asked: a page at a time from
 * each, and none before the last ones are taken, so that neither a long list nor a slow reader grows in
 * the master. Made by the supervisor.
 */
import { Calls } from '../ipc/calls.ts'
import { type ConnectionPage, type ConnectionRow, LIST_LIFETIME_MS } from '../ipc/connections.ts'
import type { MasterMessage } from '../ipc/messages.ts'
import type { Child } from './policy/fleet.ts'

/** A worker that has not answered by then is blocked. With the command's own start it is told within two seconds. */
const PAGE_TIMEOUT_MS = 1_000
/** Whoever asked, and takes nothing for so long, gets no more: less than a worker keeps its list. */
const TAKE_TIMEOUT_MS = LIST_LIFETIME_MS / 2

export interface Reader {
  rows(rows: ConnectionRow[]): void
  /** All that was told is with the kernel. @returns false when nobody reads any more. */
  taken(timeoutMs: number): Promise<boolean>
}

export class Listing {
  readonly #calls = new Calls<ConnectionPage>()
  readonly #send: (child: Child, message: MasterMessage) => void
  #nextList = 1

  constructor(send: (child: Child, message: MasterMessage) => void) {
    this.#send = send
  }

  /** @returns the pids of those that did not answer. */
  async list(children: readonly Child[], reader: Reader): Promise<number[]> {
    const list = this.#nextList++
    const whole = await Promise.all(children.map((child) => this.#listOf(child, list, reader)))
    return children.filter((_, index) => whole[index] === false).map(({ pid }) => pid)
  }

  answer(question: number, page: ConnectionPage): void {
    this.#calls.answer(question, page)
  }

  forget(key: number): void {
    this.#calls.forget(key)
  }

  /** @returns false when it has not told all. */
  async #listOf(child: Child, list: number, reader: Reader): Promise<boolean> {
    for (let isFirst = true; ; isFirst = false) {
      const send = (question: number): void => this.#send(child, { type: 'list', question, list, isFirst })
      const outcome = await this.#calls.ask(child.key, { send, timeoutMs: PAGE_TIMEOUT_MS })
      // with the process all its connections are gone
      if (outcome === 'gone') return true
      if (outcome === 'late') return false
      const { facts, rest } = outcome.answer
      if (facts.length > 0) reader.rows(facts.map((row) => rowOf(child, row)))
      if (rest !== 'more') return rest === 'none'
      if (!(await reader.taken(TAKE_TIMEOUT_MS))) return false
    }
  }
}

function rowOf({ name, id, pid }: Child, facts: ConnectionPage['facts'][number]): ConnectionRow {
  return { group: name, slot: id, pid, ...facts }
}
