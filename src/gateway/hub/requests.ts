/**
 * What a gateway does when it is asked: everything but sending to one client, which has its own record. Each
 * request is done at once, against the clients of this process, and returns what its asker is told.
 */
import { type Connection, ShiftworkError } from '../../index.ts'
import type { ClientState, Data, Deliveries, Delivery, Request, Session } from '../types.ts'
import { type Clients, infoOf, isThere } from './clients.ts'
import { closeWith } from './close.ts'
import type { HubClient } from './model.ts'

/** Of one client: what its business worker is told of it must fit into a packet. */
const MAX_GROUPS = 10_000

export interface RequestContext {
  readonly clients: Clients
  readonly maxSessionBytes: number
  /** Tells the client's worker what has changed. */
  tell(client: HubClient, change: ClientState): void
}

/** @throws ShiftworkError: the asker is told its code and sentence. */
export function answer(request: Request, data: Data | null, context: RequestContext): unknown {
  const { clients } = context
  switch (request.do) {
    case 'send':
      return deliverAll(clients.select(request.to), data ?? '')
    case 'count':
      return countOf(clients.select(request.of))
    case 'clients':
      return pageOfClients(clients.select(request.of), request)
    case 'uids':
      return pageOfNames(clients.uids(), request)
    case 'groups':
      return pageOfNames(clients.groups(), request)
    case 'dissolve':
      return dissolve(request.group, context)
    case 'info': {
      const client = clients.find(request.client)
      return client ? infoOf(client) : null
    }
    default: {
      const client = clients.find(request.client)
      if (!client) return false
      change(client, request, { data, context })
      return true
    }
  }
}

type Change = Extract<Request, { do: 'bindUid' | 'unbindUid' | 'join' | 'leave' | 'setSession' | 'close' }>

function change(
  client: HubClient,
  request: Change,
  { data, context }: { data: Data | null; context: RequestContext },
): void {
  const { clients } = context
  switch (request.do) {
    case 'bindUid':
    case 'unbindUid':
      clients.bindUid(client, request.do === 'bindUid' ? request.uid : null)
      context.tell(client, { uid: client.uid })
      return
    case 'join':
      if (client.groups.size >= MAX_GROUPS && !client.groups.has(request.group)) throw tooManyGroups()
      clients.join(client, request.group)
      context.tell(client, { joined: request.group })
      return
    case 'leave':
      clients.leave(client, request.group)
      context.tell(client, { left: request.group })
      return
    case 'setSession':
      client.session = mergeSession(client.session, request.fields, context.maxSessionBytes)
      context.tell(client, { session: request.fields })
      return
    case 'close':
      if (data !== null) deliver(client, data)
      closeWith(client.connection, request.code, request.reason)
      return
  }
}

/** Hands a message to the kernel for this client, if it takes one. */
export function deliver(client: HubClient, data: Data): Delivery {
  if (!isThere(client)) return 'gone'
  const { connection } = client
  // asked first: what `send` refuses is an error of the connection
  if (connection.isFull) return 'full'
  const sent = connection.send(typeof data !== 'string' && isText(connection) ? Buffer.from(data).toString() : data)
  if (sent === false) return connection.isFull ? 'full' : 'gone'
  return sent ? 'sent' : 'buffered'
}

/** It carries lines, which are text. */
function isText({ protocol }: Connection): boolean {
  return protocol.startsWith('text')
}

function deliverAll(clients: Iterable<HubClient>, data: Data): Omit<Deliveries, 'missing'> {
  const counts = { sent: 0, buffered: 0, full: 0, gone: 0 }
  for (const client of clients) counts[deliver(client, data)]++
  const { gone: _, ...told } = counts
  return told
}

function countOf(clients: Iterable<HubClient>): number {
  let count = 0
  for (const _ of clients) count++
  return count
}

/** In the order in which they came, each with its number. */
function pageOfClients(
  clients: Iterable<HubClient>,
  { limit, after }: { limit: number; after: number },
): [string, number][] {
  return [...clients]
    .filter(({ number }) => number > after)
    .sort((one, other) => one.number - other.number)
    .slice(0, limit)
    .map(({ id, number }) => [id, number])
}

/** In the order of their characters' codes. */
function pageOfNames(names: Iterable<string>, { limit, after }: { limit: number; after: string | null }): string[] {
  const all = [...names].filter((name) => after === null || name > after)
  return all.sort().slice(0, limit)
}

function dissolve(group: string, context: RequestContext): number {
  const members = [...context.clients.select({ uids: null, groups: [group], exclude: [] })]
  for (const client of members) {
    context.clients.leave(client, group)
    context.tell(client, { left: group })
  }
  return members.length
}

function tooManyGroups(): ShiftworkError {
  return new ShiftworkError('ERR_OPTION', `The client is in ${MAX_GROUPS} groups already`, {
    hint: 'Take it out of one first.',
  })
}

/** Fields that are null are removed. @throws ShiftworkError `ERR_MESSAGE_TOO_LARGE`: nothing is changed. */
export function mergeSession(session: Session, fields: Session, maxBytes: number): Session {
  const merged = Object.fromEntries(Object.entries({ ...session, ...fields }).filter(([, value]) => value !== null))
  const byteLength = Buffer.byteLength(JSON.stringify(merged))
  if (byteLength <= maxBytes) return merged
  throw new ShiftworkError(
    'ERR_MESSAGE_TOO_LARGE',
    `The session would have ${byteLength} bytes, at most ${maxBytes} are kept`,
    {
      hint: 'Keep less in it, or raise maxSessionBytes of the gateway.',
    },
  )
}
