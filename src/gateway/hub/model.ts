/** What a hub holds: clients, and the links to the workers that handle them. They know each other. No behaviour. */
import type { Connection } from '../../index.ts'
import type { Session } from '../types.ts'
import type { WireRecord } from '../wire/records.ts'
import type { Line } from './line.ts'

export interface HubClient {
  /** For links: counts the clients of this process, from 1. */
  readonly number: number
  /** Never used again, by nobody. */
  readonly id: string
  readonly connection: Connection
  /** Since 1970. */
  readonly connectedAt: number
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  readonly groups: Set<string>
  readonly line: Line
  uid: string | null
  session: Session
  /** The worker that handles its events. */
  owner: BusinessLink | null
  isClosed: boolean
  /** Nothing is read from it, since too much waits already. */
  isPaused: boolean
}

/** A link to a business worker, as far as clients are concerned. */
export interface BusinessLink {
  /** ready: it has come · serving: it takes clients · leaving: it finishes those that it has · closed */
  state: 'ready' | 'serving' | 'leaving' | 'closed'
  readonly clients: Set<HubClient>
  /** Clients that wait for room in its window. */
  readonly starved: Set<HubClient>
  /** It leaves because it has crashed: what it does not finish may be why. */
  hasCrashed: boolean
  handedBytes: number
  /** What it was told of clients that were given to it, since it was last known to have read all of that. */
  toldBytes: number
  /** @returns how many bytes that is. */
  write(record: WireRecord): number
}
