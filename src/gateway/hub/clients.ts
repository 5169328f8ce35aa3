/** The clients of one gateway process, and who is found under which id, uid and group. Knows nothing of links. */
import type { Connection } from '../../index.ts'
import type { ClientInfo, Selection } from '../types.ts'
import { Line } from './line.ts'
import type { HubClient } from './model.ts'

export class Clients {
  readonly #byId = new Map<string, HubClient>()
  readonly #byNumber = new Map<number, HubClient>()
  readonly #byUid = new Map<string, Set<HubClient>>()
  readonly #byGroup = new Map<string, Set<HubClient>>()
  #lastNumber = 0

  /** Those that are connected. */
  get size(): number {
    return this.#byId.size
  }

  /** Those that are gone and whose events are not all handled. */
  get gone(): number {
    return this.#byNumber.size - this.#byId.size
  }

  /** Also those that are gone and whose events are not all handled. */
  all(): IterableIterator<HubClient> {
    return this.#byNumber.values()
  }

  add(id: string, connection: Connection): HubClient {
    const client: HubClient = {
      number: ++this.#lastNumber,
      id,
      connection,
      connectedAt: Date.now(),
      // a connection that is closed does not know them any more
      remoteAddress: connection.remoteAddress,
      remotePort: connection.remotePort,
      groups: new Set(),
      line: new Line(),
      uid: null,
      session: {},
      owner: null,
      isClosed: false,
      isPaused: false,
    }
    this.#byId.set(id, client)
    this.#byNumber.set(client.number, client)
    return client
  }

  find(id: string): HubClient | undefined {
    const client = this.#byId.get(id)
    return client && isThere(client) ? client : undefined
  }

  findNumber(number: number): HubClient | undefined {
    return this.#byNumber.get(number)
  }

  /** It is gone: nobody finds it any more, but its events still can be acknowledged. */
  close(client: HubClient): void {
    client.isClosed = true
    this.#byId.delete(client.id)
    remove(this.#byUid, client.uid, client)
    for (const group of client.groups) remove(this.#byGroup, group, client)
  }

  /** Its last event is handled. */
  forget(client: HubClient): void {
    this.#byNumber.delete(client.number)
  }

  bindUid(client: HubClient, uid: string | null): void {
    remove(this.#byUid, client.uid, client)
    client.uid = uid
    if (uid !== null) insert(this.#byUid, uid, client)
  }

  join(client: HubClient, group: string): void {
    client.groups.add(group)
    insert(this.#byGroup, group, client)
  }

  leave(client: HubClient, group: string): void {
    client.groups.delete(group)
    remove(this.#byGroup, group, client)
  }

  /** Each once. */
  *select({ uids, groups, exclude }: Selection): Generator<HubClient> {
    const excluded = new Set(exclude)
    for (const client of this.#selected(uids, groups)) if (isThere(client) && !excluded.has(client.id)) yield client
  }

  #selected(uids: Selection['uids'], groups: Selection['groups']): Iterable<HubClient> {
    if (!uids && !groups) return [...this.#byId.values()]
    const sets = [
      ...(uids ?? []).map((uid) => this.#byUid.get(uid)),
      ...(groups ?? []).map((group) => this.#byGroup.get(group)),
    ].filter((set) => set !== undefined)
    // those of this moment: who is sent something may be closed by it
    return new Set(sets.flatMap((set) => [...set]))
  }

  uids(): Generator<string> {
    return namesIn(this.#byUid)
  }

  groups(): Generator<string> {
    return namesIn(this.#byGroup)
  }
}

/** One that has been said goodbye to may know that before we hear that it is gone: it is nobody any more. */
export function isThere({ connection, isClosed }: HubClient): boolean {
  return !isClosed && connection.state !== 'closing' && connection.state !== 'closed'
}

function* namesIn(index: ReadonlyMap<string, ReadonlySet<HubClient>>): Generator<string> {
  for (const [name, clients] of index) if (hasSome(clients)) yield name
}

function hasSome(clients: ReadonlySet<HubClient>): boolean {
  for (const client of clients) if (isThere(client)) return true
  return false
}

export function infoOf(client: HubClient): ClientInfo {
  const { id, uid, groups, session, remoteAddress, remotePort, connection, connectedAt } = client
  return {
    id,
    uid,
    groups: [...groups],
    session,
    remoteAddress,
    remotePort,
    protocol: connection.protocol,
    connectedAt,
  }
}

function insert(index: Map<string, Set<HubClient>>, name: string, client: HubClient): void {
  const known = index.get(name)
  if (known) known.add(client)
  else index.set(name, new Set([client]))
}

function remove(index: Map<string, Set<HubClient>>, name: string | null, client: HubClient): void {
  if (name === null) return
  const known = index.get(name)
  known?.delete(client)
  if (known?.size === 0) index.delete(name)
}
