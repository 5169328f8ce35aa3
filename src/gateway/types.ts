/** What commands and events of gateways are made of, as plain data. Types only; what crosses a link is made of these. */

/** Text is sent as a text message where the protocol knows one, bytes as a binary one. */
export type Data = string | Uint8Array

/** A client's bag: plain JSON values by field. */
export type Session = Readonly<Record<string, unknown>>

/**
 * What became of a message to one client. sent: the kernel has it · buffered: the client reads slowly, it waits in the
 * gateway · full: too much waits for the client already, it was dropped · gone: there is no such client (any more).
 */
export type Delivery = 'sent' | 'buffered' | 'full' | 'gone'

/** What became of a message to many clients. */
export interface Deliveries {
  readonly sent: number
  readonly buffered: number
  readonly full: number
  /** Gateways that have not said what they did, and why; empty: the numbers are whole. */
  readonly missing: readonly Missing[]
}

/** A gateway that has given no answer. */
export interface Missing {
  /** The first part of its clients' ids; `bus` for all gateways of other machines. */
  readonly gateway: string
  readonly reason: string
}

/** A client as its gateway knows it. */
export interface ClientInfo {
  readonly id: string
  readonly uid: string | null
  readonly groups: readonly string[]
  readonly session: Session
  /** Undefined on a unix socket. */
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  /** The word before `://` of the gateway's address. */
  readonly protocol: string
  /** When it came, in ms since 1970. */
  readonly connectedAt: number
}

/** The request by which a WebSocket client came. */
export interface ClientRequest {
  /** As it was sent: path and query. */
  readonly url: string
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly subprotocol: string | null
}

/** One page of a list in a fixed order. */
export interface Page<Item> {
  readonly items: readonly Item[]
  /** Give it as `after` for the next page; null: this was the last. */
  readonly next: string | null
}

export interface PageOptions {
  /** At most so many, from 1 to 10 000. Default 1 000. */
  limit?: number
  /** `next` of the page before. */
  after?: string
}

/** Which clients. Several groups or uids: those in any of them, each client once. */
export interface Where {
  uid?: string | readonly string[]
  group?: string | readonly string[]
}

/** As `Where`, and who is left out. */
export interface Selection {
  readonly uids: readonly string[] | null
  readonly groups: readonly string[] | null
  /** Ids of clients. */
  readonly exclude: readonly string[]
}

/** How a client's connection is ended. */
export interface CloseOptions {
  /** Sent first. */
  data?: Data
  /** Of a WebSocket: 1000, or one of your own from 4000 to 4999. Default 1000. */
  code?: number
  /** Of a WebSocket: at most 123 bytes. */
  reason?: string
}

/** What a gateway is asked to do, beside sending to one client. */
export type Request =
  | { readonly do: 'send'; readonly to: Selection }
  | { readonly do: 'count'; readonly of: Selection }
  | { readonly do: 'clients'; readonly of: Selection; readonly limit: number; readonly after: number }
  | { readonly do: 'uids' | 'groups'; readonly limit: number; readonly after: string | null }
  | { readonly do: 'info'; readonly client: string }
  | { readonly do: 'unbindUid'; readonly client: string }
  | { readonly do: 'bindUid'; readonly client: string; readonly uid: string }
  | { readonly do: 'join' | 'leave'; readonly client: string; readonly group: string }
  | { readonly do: 'dissolve'; readonly group: string }
  | { readonly do: 'setSession'; readonly client: string; readonly fields: Session }
  | { readonly do: 'close'; readonly client: string; readonly code: number; readonly reason: string }

/** What a client has that a business worker is told about. */
export interface ClientState {
  readonly uid?: string | null
  /** A group. */
  readonly joined?: string
  readonly left?: string
  /** Fields that were set; null: it was removed. */
  readonly session?: Session
}
