/** What the bus needs of that which carries it. Types only. */
import type { BusAddress } from './address.ts'

/** A connection that is open; once it is lost, everything rejects and a new one is opened. */
export interface Broker {
  /** Both its ways are alive. @returns its own clock, in ms since 1970. */
  probe(): Promise<number>
  /** @returns how many have heard it. */
  publish(channel: string, bytes: Buffer): Promise<number>
  /** Enters a member into the list. @returns whether it was not there. */
  put(member: string, expiresAt: number): Promise<boolean>
  remove(member: string): Promise<void>
  /** Removes all members that have expired before. */
  prune(before: number): Promise<void>
  /** When each member expires, by its clock. */
  list(): Promise<Map<string, number>>
  /** Of one; null: it is not in the list. */
  find(member: string): Promise<number | null>
  close(): void
}

export interface BrokerHooks {
  /** It must not throw. */
  onMessage(channel: string, bytes: Buffer): void
  /** At most once, and not when it was closed. */
  onLost(reason: string): void
}

export interface BrokerOptions extends BrokerHooks {
  readonly address: BusAddress
  /** Everything that is published there is heard. */
  readonly channels: readonly string[]
  /** The name of the list of members. */
  readonly list: string
}

/** Rejects when it cannot be opened; with `ERR_OPTION` when it never will be. */
export type OpenBroker = (options: BrokerOptions) => Promise<Broker>
