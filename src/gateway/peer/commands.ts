/**
 * Everything that can be asked of gateways, for whoever has links to them. A command about one client goes to
 * its gateway; one about many goes once to each gateway, and says which ones have not answered.
 */
import { ShiftworkError } from '../../index.ts'
import { gatewayOf } from '../ids.ts'
import { MAX_DATA_BYTES } from '../options.ts'
import type {
  ClientInfo,
  CloseOptions,
  Data,
  Deliveries,
  Delivery,
  Missing,
  Page,
  PageOptions,
  Request,
  Selection,
  Session,
  Where,
} from '../types.ts'
import type { Target } from './link.ts'

/** How the gateways are reached. */
export interface Reach {
  /**
   * Of a client with this id; at once, where it is known. Rejects when it may be there and cannot be reached. Null: there
   * is no such gateway.
   */
  find(gateway: string): Target | null | Promise<Target | null>
  /** All of them, in the order of their names, and which are known to be out of reach. */
  all(): Promise<{ targets: Target[]; missing: Missing[] }>
}

export interface SendOptions {
  /** Ids of clients that do not get it. */
  exclude?: string | readonly string[]
  /** Default: `deadlineMs` of the one who sends. */
  deadlineMs?: number
}

const DEFAULT_LIMIT = 1_000
const MAX_LIMIT = 10_000
const NORMAL_CLOSE = 1000

export class Commands {
  readonly #reach: Reach
  readonly #deadlineMs: number

  constructor(reach: Reach, deadlineMs: number) {
    this.#reach = reach
    this.#deadlineMs = deadlineMs
  }

  // ---- messages ----------------------------------------------------------------------------------------------------

  /**
   * Sends to one client.
   * @returns what became of it. Rejects with `ERR_NO_ANSWER`, `ERR_CONNECTION_CLOSED` (its gateway is gone: nobody knows),
   * `ERR_SEND_BUFFER_FULL`, `ERR_MESSAGE_TOO_LARGE`.
   */
  sendTo(clientId: string, data: Data, { deadlineMs = this.#deadlineMs }: SendOptions = {}): Promise<Delivery> {
    return unawaited(this.#sendOne(clientId, data, deadlineMs))
  }

  #sendOne(clientId: string, data: Data, deadlineMs: number): Promise<Delivery> {
    try {
      checkData(data)
      const found = this.#reach.find(gatewayOf(clientId))
      // what a handler sends before it has settled is written before its message is acknowledged
      if (found instanceof Promise) return found.then((target) => target?.send(clientId, data, deadlineMs) ?? 'gone')
      return found ? found.send(clientId, data, deadlineMs) : Promise.resolve('gone')
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Sends to all clients of a user, or of several. @returns what became of it; it rejects only when no gateway runs. */
  sendToUid(uid: string | readonly string[], data: Data, options: SendOptions = {}): Promise<Deliveries> {
    return this.#sendAll({ uid }, data, options)
  }

  /** Sends to all members of a group, or of several: each client once. */
  sendToGroup(group: string | readonly string[], data: Data, options: SendOptions = {}): Promise<Deliveries> {
    return this.#sendAll({ group }, data, options)
  }

  sendToAll(data: Data, options: SendOptions = {}): Promise<Deliveries> {
    return this.#sendAll({}, data, options)
  }

  #sendAll(where: Where, data: Data, options: SendOptions): Promise<Deliveries> {
    return unawaited(this.#sendEach(where, data, options))
  }

  async #sendEach(
    where: Where,
    data: Data,
    { exclude = [], deadlineMs = this.#deadlineMs }: SendOptions,
  ): Promise<Deliveries> {
    checkData(data)
    const to = selectionOf(where, listOf(exclude))
    const { values, missing } = await this.#askAll({ do: 'send', to }, { data, deadlineMs })
    const told = values as Omit<Deliveries, 'missing'>[]
    const sum = (name: 'sent' | 'buffered' | 'full'): number => told.reduce((total, value) => total + value[name], 0)
    return { sent: sum('sent'), buffered: sum('buffered'), full: sum('full'), missing }
  }

  // ---- one client --------------------------------------------------------------------------------------------------

  /** From now on the client is this user's; it was nobody's, or another's. @returns false: there is no such client. */
  bindUid(clientId: string, uid: string): Promise<boolean> {
    checkName('uid', uid)
    return this.#change({ do: 'bindUid', client: clientId, uid })
  }

  unbindUid(clientId: string): Promise<boolean> {
    return this.#change({ do: 'unbindUid', client: clientId })
  }

  join(clientId: string, group: string): Promise<boolean> {
    checkName('group', group)
    return this.#change({ do: 'join', client: clientId, group })
  }

  leave(clientId: string, group: string): Promise<boolean> {
    return this.#change({ do: 'leave', client: clientId, group })
  }

  /**
   * Sets fields of the client's session; null removes one. Of two who set the same field, the last one wins.
   * @returns false: there is no such client. Rejects with `ERR_MESSAGE_TOO_LARGE`, and nothing is changed.
   */
  setSession(clientId: string, fields: Session): Promise<boolean> {
    const plain = JSON.parse(
      JSON.stringify(fields, (_, value: unknown) => (value === undefined ? null : value)),
    ) as Session
    return this.#change({ do: 'setSession', client: clientId, fields: plain })
  }

  /** Ends the client's connection when everything is delivered. @returns false: there is no such client. */
  close(clientId: string, { data, code = NORMAL_CLOSE, reason = '' }: CloseOptions = {}): Promise<boolean> {
    if (data !== undefined) checkData(data)
    checkClose(code, reason)
    return this.#change({ do: 'close', client: clientId, code, reason }, data ?? null)
  }

  /** Null: there is no such client. */
  async info(clientId: string): Promise<ClientInfo | null> {
    return (await this.#ask(clientId, { do: 'info', client: clientId })) as ClientInfo | null
  }

  async session(clientId: string): Promise<Session | null> {
    return (await this.info(clientId))?.session ?? null
  }

  async isOnline(clientId: string): Promise<boolean> {
    return (await this.info(clientId)) !== null
  }

  #change(request: Request, data: Data | null = null): Promise<boolean> {
    const { client } = request as { client: string }
    return unawaited(this.#ask(client, request, data).then((done) => done === true))
  }

  async #ask(clientId: string, request: Request, data: Data | null = null): Promise<unknown> {
    const found = this.#reach.find(gatewayOf(clientId))
    const target = found instanceof Promise ? await found : found
    return target ? target.request(request, data, this.#deadlineMs) : null
  }

  // ---- all clients -------------------------------------------------------------------------------------------------

  /** How many clients there are; rejects when a gateway does not answer, since the number would be wrong. */
  async count(where: Where = {}): Promise<number> {
    const counts = (await this.#askEach({ do: 'count', of: selectionOf(where, []) })) as number[]
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async isUidOnline(uid: string): Promise<boolean> {
    return (await this.count({ uid })) > 0
  }

  /** Takes every member out of a group. @returns how many those were. */
  async dissolve(group: string): Promise<number> {
    const counts = (await this.#askEach({ do: 'dissolve', group })) as number[]
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** Ids of clients: gateway by gateway, in the order in which they came. */
  async clients(where: Where = {}, page: PageOptions = {}): Promise<Page<string>> {
    const limit = checkLimit(page)
    const [afterGateway = '', afterNumber = '0'] = page.after?.split(':') ?? []
    const { targets, missing } = await this.#reach.all()
    failIfMissing(missing)
    const items: string[] = []
    for (const target of targets.filter(({ gateway }) => gateway >= afterGateway)) {
      const after = target.gateway === afterGateway ? Number(afterNumber) : 0
      const request: Request = { do: 'clients', of: selectionOf(where, []), limit: limit - items.length, after }
      const told = (await target.request(request, null, this.#deadlineMs)) as { ids: string[]; last: number | null }
      items.push(...told.ids)
      if (told.last !== null) return { items, next: `${target.gateway}:${told.last}` }
      // that there is more after this, the next gateway knows
      if (items.length === limit) return { items, next: `${target.gateway}:${Number.MAX_SAFE_INTEGER}` }
    }
    return { items, next: null }
  }

  /** Users that are online, in order, each once. */
  uids(page: PageOptions = {}): Promise<Page<string>> {
    return this.#names('uids', page)
  }

  /** Groups that have members, in order, each once. */
  groups(page: PageOptions = {}): Promise<Page<string>> {
    return this.#names('groups', page)
  }

  async #names(list: 'uids' | 'groups', page: PageOptions): Promise<Page<string>> {
    const limit = checkLimit(page)
    const lists = (await this.#askEach({ do: list, limit: limit + 1, after: page.after ?? null })) as string[][]
    const all = [...new Set(lists.flat())].sort()
    const items = all.slice(0, limit)
    return { items, next: all.length > limit ? (items.at(-1) ?? null) : null }
  }

  /** Rejects unless all have answered. */
  async #askEach(request: Request): Promise<unknown[]> {
    const { values, missing } = await this.#askAll(request, { data: null, deadlineMs: this.#deadlineMs })
    failIfMissing(missing)
    return values
  }

  async #askAll(
    request: Request,
    { data, deadlineMs }: { data: Data | null; deadlineMs: number },
  ): Promise<{ values: unknown[]; missing: Missing[] }> {
    const { targets, missing } = await this.#reach.all()
    if (targets.length === 0 && missing.length === 0)
      throw new ShiftworkError('ERR_NOT_RUNNING', 'There is no gateway', {
        hint: 'Start a Gateway, or look at linkDir.',
      })
    const settled = await Promise.allSettled(targets.map((target) => target.request(request, data, deadlineMs)))
    const failed = settled.map((result, index) =>
      result.status === 'rejected'
        ? { gateway: targets[index]?.gateway ?? '', reason: messageOf(result.reason) }
        : null,
    )
    const values = settled.filter((result) => result.status === 'fulfilled').map(({ value }) => value)
    return { values, missing: [...missing, ...failed.filter((entry) => entry !== null)] }
  }
}

/** Who does not wait for what became of it does not want to end for it. */
function unawaited<Told>(promise: Promise<Told>): Promise<Told> {
  promise.catch(() => undefined)
  return promise
}

function selectionOf({ uid, group }: Where, exclude: readonly string[]): Selection {
  return {
    uids: uid === undefined ? null : listOf(uid),
    groups: group === undefined ? null : listOf(group),
    exclude,
  }
}

function listOf(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}

function checkData(data: unknown): void {
  if (typeof data !== 'string' && !(data instanceof Uint8Array)) throw wrong('Only text and bytes can be sent')
  const byteLength = typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength
  if (byteLength <= MAX_DATA_BYTES) return
  throw new ShiftworkError(
    'ERR_MESSAGE_TOO_LARGE',
    `A message has ${byteLength} bytes, at most ${MAX_DATA_BYTES} are sent`,
  )
}

function checkName(what: string, name: unknown): void {
  if (typeof name !== 'string' || name === '') throw wrong(`A ${what} is text, and not empty`)
}

function checkClose(code: unknown, reason: unknown): void {
  const isCode = code === NORMAL_CLOSE || (Number.isInteger(code) && Number(code) >= 4000 && Number(code) <= 4999)
  if (!isCode) throw wrong('A close code is 1000, or from 4000 to 4999')
  if (typeof reason !== 'string' || Buffer.byteLength(reason) > 123) throw wrong('A close reason has at most 123 bytes')
}

function checkLimit({ limit = DEFAULT_LIMIT }: PageOptions): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw wrong(`A page has from 1 to ${MAX_LIMIT} entries`)
}

function wrong(message: string): ShiftworkError {
  return new ShiftworkError('ERR_OPTION', message)
}

function failIfMissing(missing: readonly Missing[]): void {
  const [first] = missing
  if (!first) return
  throw new ShiftworkError('ERR_NO_ANSWER', first.reason, { facts: { missing } })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
