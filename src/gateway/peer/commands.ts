/**
 * Everything that can be asked of gateways, for whoever has links to them. A command about one client goes to
 * its gateway; one about many goes once to each gateway, and says which ones have not answered.
 */
import type {
  ClientInfo,
  CloseOptions,
  Data,
  Deliveries,
  Delivery,
  Page,
  PageOptions,
  Request,
  Selection,
  Session,
  Where,
} from '../types.ts'
import { Asker, type Reach } from './asker.ts'
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
  checkOptions,
  checkWhere,
} from './checks.ts'
import { Deadline } from './deadline.ts'
import type { Target } from './link.ts'
import { told } from './told.ts'

export interface SendOptions {
  /** Ids of clients that do not get it. */
  exclude?: string | readonly string[]
  /** Default: `deadlineMs` of the one who sends. */
  deadlineMs?: number
}

/** Each returns a promise, also when it is asked wrongly; see `told` for what becomes of one that nobody looks at. */
export class Commands {
  readonly #asker: Asker
  readonly #deadlineMs: number

  constructor(reach: Reach, deadlineMs: number) {
    this.#asker = new Asker(reach)
    this.#deadlineMs = deadlineMs
  }

  // ---- messages ----------------------------------------------------------------------------------------------------

  /**
   * Sends to one client.
   * @returns what became of it. Rejects with `ERR_NO_ANSWER`, `ERR_CONNECTION_CLOSED` (its gateway is gone: nobody knows),
   * `ERR_SEND_BUFFER_FULL`, `ERR_MESSAGE_TOO_LARGE`, `ERR_BUS` (it may be of another machine, which cannot be reached: it
   * was not sent).
   */
  sendTo(clientId: string, data: Data, options: Pick<SendOptions, 'deadlineMs'> = {}): Promise<Delivery> {
    return told(
      () => {
        checkId(clientId)
        checkData(data)
        // who is left out of the others is a matter of the same options, and none of one client
        checkOptions(options, ['deadlineMs', 'exclude'])
        checkDeadline('deadlineMs', this.#deadlineOf(options))
      },
      () => this.#sendOne(clientId, data, new Deadline(this.#deadlineOf(options))),
    )
  }

  #deadlineOf({ deadlineMs = this.#deadlineMs }: SendOptions): number {
    return deadlineMs
  }

  #sendOne(clientId: string, data: Data, deadline: Deadline): Promise<Delivery> {
    const found = this.#asker.find(clientId, deadline)
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
    options: SendOptions,
  ): Promise<Deliveries> {
    return told(
      () => {
        check()
        checkData(data)
        checkOptions(options, ['exclude', 'deadlineMs'])
        checkIds(options.exclude ?? [])
        checkDeadline('deadlineMs', this.#deadlineOf(options))
      },
      () => {
        const to = selectionOf(where, listOf(options.exclude ?? []))
        return this.#sendEach(to, data, new Deadline(this.#deadlineOf(options)))
      },
    )
  }

  async #sendEach(to: Selection, data: Data, deadline: Deadline): Promise<Deliveries> {
    const { values, missing } = await this.#asker.some({ do: 'send', to }, { data, deadline })
    const each = values as Omit<Deliveries, 'missing'>[]
    const sum = (name: 'sent' | 'buffered' | 'full'): number => each.reduce((total, value) => total + value[name], 0)
    return { sent: sum('sent'), buffered: sum('buffered'), full: sum('full'), missing }
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
  close(clientId: string, options: CloseOptions = {}): Promise<boolean> {
    const check = (): void => {
      checkOptions(options, ['data', 'code', 'reason'])
      const { data, code = 1000, reason = '' } = options
      if (data !== undefined) checkData(data)
      checkClose(code, reason)
    }
    return this.#change({ clientId, check, dataOf: () => options.data ?? null }, () => {
      const { code = 1000, reason = '' } = options
      return { do: 'close', client: clientId, code, reason }
    })
  }

  /** Null: there is no such client. */
  info(clientId: string): Promise<ClientInfo | null> {
    return this.#look(clientId, (info) => info)
  }

  session(clientId: string): Promise<Session | null> {
    return this.#look(clientId, (info) => info?.session ?? null)
  }

  isOnline(clientId: string): Promise<boolean> {
    return this.#look(clientId, (info) => info !== null)
  }

  #look<Told>(clientId: string, pick: (info: ClientInfo | null) => Told): Promise<Told> {
    return told(
      () => checkId(clientId),
      async () => pick((await this.#ask(clientId, { do: 'info', client: clientId })) as ClientInfo | null),
    )
  }

  #change(
    { clientId, check, dataOf }: { clientId: string; check?: () => void; dataOf?: () => Data | null },
    requestOf: () => Request,
  ): Promise<boolean> {
    return told(
      () => {
        checkId(clientId)
        check?.()
      },
      async () => (await this.#ask(clientId, requestOf(), dataOf?.())) === true,
    )
  }

  /** Null: there is no such gateway, or no such client, or both have died meanwhile. */
  #ask(clientId: string, request: Request, data: Data | null = null): Promise<unknown> {
    return this.#asker.one(clientId, request, { data, deadline: new Deadline(this.#deadlineMs) })
  }

  // ---- all clients -------------------------------------------------------------------------------------------------

  /** How many clients there are; rejects when a gateway does not answer, since the number would be wrong. */
  count(where: Where = {}): Promise<number> {
    return told(
      () => checkWhere(where),
      () => this.#sum({ do: 'count', of: selectionOf(where, []) }),
    )
  }

  isUidOnline(uid: string): Promise<boolean> {
    return told(
      () => checkName('uid', uid),
      async () => (await this.#sum({ do: 'count', of: selectionOf({ uid }, []) })) > 0,
    )
  }

  /** Takes every member out of a group. @returns how many those were. */
  dissolve(group: string): Promise<number> {
    return told(
      () => checkName('group', group),
      () => this.#sum({ do: 'dissolve', group }),
    )
  }

  async #sum(request: Request): Promise<number> {
    const numbers = (await this.#asker.each(request, new Deadline(this.#deadlineMs))) as number[]
    return numbers.reduce((sum, number) => sum + number, 0)
  }

  /** Ids of clients: gateway by gateway, in the order in which they came. */
  clients(where: Where = {}, page: PageOptions = {}): Promise<Page<string>> {
    return told(
      () => {
        checkWhere(where)
        checkLimit(page)
      },
      () => this.#clients(where, page),
    )
  }

  async #clients(where: Where, page: PageOptions): Promise<Page<string>> {
    const limit = checkLimit(page)
    const deadline = new Deadline(this.#deadlineMs)
    const [afterGateway = '', afterNumber = '0'] = page.after?.split(':') ?? []
    const found: { id: string; place: string }[] = []
    for (const target of await this.#asker.all(deadline)) {
      if (target.gateway < afterGateway || found.length > limit) continue
      const after = target.gateway === afterGateway ? Number(afterNumber) : 0
      // one more than is wanted says that there is a next page
      const request: Request = { do: 'clients', of: selectionOf(where, []), limit: limit + 1 - found.length, after }
      const [rows = []] = (await this.#asker.told([target], { request, deadline })) as [string, number][][]
      found.push(...rows.map(([id, number]) => ({ id, place: `${target.gateway}:${number}` })))
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

  #names(list: 'uids' | 'groups', page: PageOptions): Promise<Page<string>> {
    return told(
      () => checkLimit(page),
      () => this.#page(list, page),
    )
  }

  async #page(list: 'uids' | 'groups', page: PageOptions): Promise<Page<string>> {
    const limit = checkLimit(page)
    const request: Request = { do: list, limit: limit + 1, after: page.after ?? null }
    const lists = (await this.#asker.each(request, new Deadline(this.#deadlineMs))) as string[][]
    const all = [...new Set(lists.flat())].sort()
    const items = all.slice(0, limit)
    return { items, next: all.length > limit ? (items.at(-1) ?? null) : null }
  }
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
