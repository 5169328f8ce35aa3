/**
 * Everything that can be asked of gateways, for whoever has links to them. A command about one client goes to
 * its gateway; one about many goes once to each gateway, and says which ones have not answered.
 */
import { type ErrorCode, ShiftworkError } from '../../index.ts'
import { gatewayOf } from '../ids.ts'
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
import {
  checkClose,
  checkData,
  checkDeadline,
  checkFields,
  checkId,
  checkIds,
  checkLimit,
  checkName,
  checkNames,
  checkWhere,
} from './checks.ts'
import { Deadline } from './deadline.ts'
import type { Target } from './link.ts'

/** How the gateways are reached. */
export interface Reach {
  /**
   * Of a client with this id; at once, where it is known. Rejects when it may be there and cannot be reached. Null: there
   * is no such gateway.
   */
  find(gateway: string, deadlineMs: number): Target | null | Promise<Target | null>
  /** All of them, in the order of their names, and which are known to be out of reach. */
  all(deadlineMs: number): Promise<{ targets: Target[]; missing: Missing[] }>
}

export interface SendOptions {
  /** Ids of clients that do not get it. */
  exclude?: string | readonly string[]
  /** Default: `deadlineMs` of the one who sends. */
  deadlineMs?: number
}

/** The name under which those are missing that nobody can name. */
export const EVERY_FAR_GATEWAY = 'bus'

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
   * `ERR_SEND_BUFFER_FULL`, `ERR_MESSAGE_TOO_LARGE`, `ERR_BUS` (it may be of another machine, which cannot be reached: it
   * was not sent).
   */
  sendTo(clientId: string, data: Data, { deadlineMs = this.#deadlineMs }: SendOptions = {}): Promise<Delivery> {
    return checked(
      () => {
        checkId(clientId)
        checkData(data)
        checkDeadline('deadlineMs', deadlineMs)
      },
      () => this.#sendOne(clientId, data, new Deadline(deadlineMs)),
    )
  }

  #sendOne(clientId: string, data: Data, deadline: Deadline): Promise<Delivery> {
    const found = this.#reach.find(gatewayOf(clientId), deadline.leftMs)
    const send = (target: Target | null): Promise<Delivery> | 'gone' =>
      target?.send(clientId, data, deadline.leftMs) ?? 'gone'
    // what a handler sends before it has settled is written before its message is acknowledged
    return found instanceof Promise ? found.then(send) : Promise.resolve(send(found))
  }

  /**
   * Sends to all clients of a user, or of several.
   * @returns what became of it; it rejects only when no gateway runs (`ERR_NOT_RUNNING`), or for a wrong argument.
   */
  sendToUid(uid: string | readonly string[], data: Data, options: SendOptions = {}): Promise<Deliveries> {
    const check = (): void => checkNames('uid', uid)
    return this.#sendAll({ where: { uid }, check }, data, options)
  }

  /** Sends to all members of a group, or of several: each client once. */
  sendToGroup(group: string | readonly string[], data: Data, options: SendOptions = {}): Promise<Deliveries> {
    const check = (): void => checkNames('group', group)
    return this.#sendAll({ where: { group }, check }, data, options)
  }

  /** Sends to every client. */
  sendToAll(data: Data, options: SendOptions = {}): Promise<Deliveries> {
    return this.#sendAll({ where: {}, check: () => undefined }, data, options)
  }

  #sendAll(
    { where, check }: { where: Where; check: () => void },
    data: Data,
    { exclude = [], deadlineMs = this.#deadlineMs }: SendOptions,
  ): Promise<Deliveries> {
    return checked(
      () => {
        check()
        checkData(data)
        checkIds(exclude)
        checkDeadline('deadlineMs', deadlineMs)
      },
      () => this.#sendEach(selectionOf(where, listOf(exclude)), data, new Deadline(deadlineMs)),
    )
  }

  async #sendEach(to: Selection, data: Data, deadline: Deadline): Promise<Deliveries> {
    const { targets, missing } = await this.#someTargets(deadline)
    const request: Request = { do: 'send', to }
    const { values, missing: silent } = await collect(targets, (target) =>
      target.request(request, data, deadline.leftMs),
    )
    const told = values as Omit<Deliveries, 'missing'>[]
    const sum = (name: 'sent' | 'buffered' | 'full'): number => told.reduce((total, value) => total + value[name], 0)
    return { sent: sum('sent'), buffered: sum('buffered'), full: sum('full'), missing: [...missing, ...silent] }
  }

  // ---- one client --------------------------------------------------------------------------------------------------

  /** From now on the client is this user's; it was nobody's, or another's. @returns false: there is no such client. */
  bindUid(clientId: string, uid: string): Promise<boolean> {
    const check = (): void => checkName('uid', uid)
    return this.#change({ clientId, check }, () => ({ do: 'bindUid', client: clientId, uid }))
  }

  unbindUid(clientId: string): Promise<boolean> {
    return this.#change({ clientId }, () => ({ do: 'unbindUid', client: clientId }))
  }

  /** @returns false: there is no such client. Rejects with `ERR_OPTION` when it is in 10 000 groups already. */
  join(clientId: string, group: string): Promise<boolean> {
    const check = (): void => checkName('group', group)
    return this.#change({ clientId, check }, () => ({ do: 'join', client: clientId, group }))
  }

  leave(clientId: string, group: string): Promise<boolean> {
    const check = (): void => checkName('group', group)
    return this.#change({ clientId, check }, () => ({ do: 'leave', client: clientId, group }))
  }

  /**
   * Sets fields of the client's session; null removes one. Of two who set the same field, the last one wins.
   * @returns false: there is no such client. Rejects with `ERR_MESSAGE_TOO_LARGE`, and nothing is changed.
   */
  setSession(clientId: string, fields: Session): Promise<boolean> {
    const check = (): void => checkFields(fields)
    return this.#change({ clientId, check }, () => {
      // one that is undefined is meant to be removed, and JSON would leave it out
      const given = Object.entries(fields).map(([name, value]) => [name, value === undefined ? null : value])
      return { do: 'setSession', client: clientId, fields: Object.fromEntries(given) as Session }
    })
  }

  /** Ends the client's connection when everything is delivered. @returns false: there is no such client. */
  close(clientId: string, { data, code = 1000, reason = '' }: CloseOptions = {}): Promise<boolean> {
    const check = (): void => {
      if (data !== undefined) checkData(data)
      checkClose(code, reason)
    }
    return this.#change({ clientId, check, ...(data !== undefined && { data }) }, () => {
      return { do: 'close', client: clientId, code, reason }
    })
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

  #change(
    { clientId, check, data = null }: { clientId: string; check?: () => void; data?: Data | null },
    requestOf: () => Request,
  ): Promise<boolean> {
    return checked(
      () => {
        checkId(clientId)
        check?.()
      },
      async () => (await this.#ask(clientId, requestOf(), data)) === true,
    )
  }

  /** Null: there is no such gateway, or no such client, or both have died meanwhile. */
  async #ask(clientId: string, request: Request, data: Data | null = null): Promise<unknown> {
    checkId(clientId)
    const deadline = new Deadline(this.#deadlineMs)
    const found = this.#reach.find(gatewayOf(clientId), deadline.leftMs)
    const target = found instanceof Promise ? await found : found
    return target ? this.#unlessDead(target, request, { data, deadline }) : null
  }

  /** @returns null, when a gateway has died before it has answered: what it has done has died with its clients. */
  async #unlessDead(
    target: Target,
    request: Request,
    { data, deadline }: { data: Data | null; deadline: Deadline },
  ): Promise<unknown> {
    try {
      return await target.request(request, data, deadline.leftMs)
    } catch (error) {
      if (!(error instanceof ShiftworkError) || error.code !== 'ERR_CONNECTION_CLOSED') throw error
      if (await this.#mayLive(target.gateway, deadline)) throw error
      return null
    }
  }

  async #mayLive(gateway: string, deadline: Deadline): Promise<boolean> {
    try {
      return (await this.#reach.find(gateway, deadline.leftMs)) !== null
    } catch {
      // nobody knows
      return true
    }
  }

  // ---- all clients -------------------------------------------------------------------------------------------------

  /** How many clients there are; rejects when a gateway does not answer, since the number would be wrong. */
  async count(where: Where = {}): Promise<number> {
    checkWhere(where)
    return sumOf((await this.#askEach({ do: 'count', of: selectionOf(where, []) })) as number[])
  }

  async isUidOnline(uid: string): Promise<boolean> {
    checkName('uid', uid)
    return (await this.count({ uid })) > 0
  }

  /** Takes every member out of a group. @returns how many those were. */
  dissolve(group: string): Promise<number> {
    return checked(
      () => checkName('group', group),
      async () => sumOf((await this.#askEach({ do: 'dissolve', group })) as number[]),
    )
  }

  /** Ids of clients: gateway by gateway, in the order in which they came. */
  async clients(where: Where = {}, page: PageOptions = {}): Promise<Page<string>> {
    const limit = checkLimit(page)
    checkWhere(where)
    const deadline = new Deadline(this.#deadlineMs)
    const [afterGateway = '', afterNumber = '0'] = page.after?.split(':') ?? []
    const found: { id: string; place: string }[] = []
    for (const target of await this.#everyTarget(deadline)) {
      if (target.gateway < afterGateway || found.length > limit) continue
      const after = target.gateway === afterGateway ? Number(afterNumber) : 0
      // one more than is wanted says that there is a next page
      const request: Request = { do: 'clients', of: selectionOf(where, []), limit: limit + 1 - found.length, after }
      const [told = []] = (await this.#lookAt([target], request, deadline)) as [string, number][][]
      found.push(...told.map(([id, number]) => ({ id, place: `${target.gateway}:${number}` })))
    }
    const items = found.slice(0, limit)
    return { items: items.map(({ id }) => id), next: found.length > limit ? (items.at(-1)?.place ?? null) : null }
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

  /** Asks each gateway; rejects unless all have answered. */
  async #askEach(request: Request): Promise<unknown[]> {
    const deadline = new Deadline(this.#deadlineMs)
    return this.#lookAt(await this.#everyTarget(deadline), request, deadline)
  }

  /** @returns what those tell that live; rejects unless all of them have answered. */
  async #lookAt(targets: readonly Target[], request: Request, deadline: Deadline): Promise<unknown[]> {
    const ask = (target: Target): Promise<unknown> => this.#unlessDead(target, request, { data: null, deadline })
    const { values, missing } = await collect(targets, ask)
    failIfMissing(missing)
    return values.filter((value) => value !== null)
  }

  /** All gateways; rejects when one is out of reach. */
  async #everyTarget(deadline: Deadline): Promise<Target[]> {
    const { targets, missing } = await this.#someTargets(deadline)
    failIfMissing(missing)
    return targets
  }

  /** Those that are within reach. Rejects when there is none at all. */
  async #someTargets(deadline: Deadline): Promise<{ targets: Target[]; missing: Missing[] }> {
    const found = await this.#reach.all(deadline.leftMs)
    if (found.targets.length > 0 || found.missing.length > 0) return found
    throw new ShiftworkError('ERR_NOT_RUNNING', 'There is no gateway', { hint: 'Start a Gateway, or look at linkDir.' })
  }
}

/** That a gateway was not reached, or has not answered, and nothing else that may be wrong. */
const SILENCE: readonly ErrorCode[] = [
  'ERR_NO_ANSWER',
  'ERR_CONNECTION_CLOSED',
  'ERR_SEND_BUFFER_FULL',
  // between machines less is sent than on one
  'ERR_MESSAGE_TOO_LARGE',
  'ERR_BUS',
]

/** What each of them tells, and who tells nothing. Rejects with what is wrong with the question. */
async function collect(
  targets: readonly Target[],
  ask: (target: Target) => Promise<unknown>,
): Promise<{ values: unknown[]; missing: Missing[] }> {
  const settled = await Promise.allSettled(targets.map(async (target) => ask(target)))
  const values: unknown[] = []
  const missing: Missing[] = []
  for (const [index, result] of settled.entries())
    if (result.status === 'fulfilled') values.push(result.value)
    else missing.push(missed(targets[index]?.gateway ?? '', result.reason))
  return { values, missing }
}

function missed(gateway: string, error: unknown): Missing {
  if (error instanceof ShiftworkError && SILENCE.includes(error.code)) return { gateway, reason: error.message }
  throw error
}

function failIfMissing(missing: readonly Missing[]): void {
  const [first] = missing
  if (!first) return
  const code = missing.some(({ gateway }) => gateway === EVERY_FAR_GATEWAY) ? 'ERR_BUS' : 'ERR_NO_ANSWER'
  throw new ShiftworkError(code, first.reason, { facts: { missing } })
}

/**
 * What is asked wrongly rejects, and ends a worker that does not look: it is a fault of its code. What cannot be done
 * rejects, too, but who does not wait for what became of it does not want to end for it.
 */
function checked<Told>(check: () => void, act: () => Promise<Told>): Promise<Told> {
  try {
    check()
  } catch (error) {
    return Promise.reject(error)
  }
  const told = act()
  told.catch(() => undefined)
  return told
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
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
