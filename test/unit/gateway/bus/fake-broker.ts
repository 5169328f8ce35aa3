/** A broker in this process: what Redis does, and what befalls it. */
import type { Broker, BrokerOptions, OpenBroker } from '../../../../src/gateway/bus/broker.ts'

interface Connection {
  readonly options: BrokerOptions
  isOpen: boolean
}

export class FakeBroker {
  /** away: nobody can connect · frozen: nothing is answered any more */
  state: 'up' | 'frozen' | 'away' = 'up'
  attempts = 0
  probes = 0
  readonly members = new Map<string, number>()
  readonly published: { channel: string; bytes: Buffer }[] = []
  readonly #connections = new Set<Connection>()

  get connections(): number {
    return this.#connections.size
  }

  /** Cuts everybody off. */
  stop(): void {
    this.state = 'away'
    this.members.clear()
    for (const connection of [...this.#connections]) {
      this.#close(connection)
      connection.options.onLost('stopped')
    }
  }

  readonly open: OpenBroker = async (options) => {
    this.attempts++
    if (this.state === 'away') throw new Error('connect ECONNREFUSED')
    const connection = { options, isOpen: true }
    this.#connections.add(connection)
    return this.#brokerFor(connection)
  }

  /** What anybody can say. */
  say(channel: string, bytes: Buffer): number {
    this.published.push({ channel, bytes })
    const hearing = [...this.#connections].filter(({ options }) => options.channels.includes(channel))
    for (const { options } of hearing) options.onMessage(channel, bytes)
    return hearing.length
  }

  #brokerFor(connection: Connection): Broker {
    const act = async <Value>(value: () => Value): Promise<Value> => {
      if (!connection.isOpen) throw new Error('closed')
      if (this.state === 'frozen') await new Promise(() => undefined)
      return value()
    }
    return {
      probe: () => {
        this.probes++
        return act(() => performance.now())
      },
      publish: (channel, bytes) => act(() => this.say(channel, bytes)),
      put: (member, expiresAt) =>
        act(() => {
          const isNew = !this.members.has(member)
          this.members.set(member, expiresAt)
          return isNew
        }),
      remove: (member) => act(() => void this.members.delete(member)),
      prune: () => act(() => undefined),
      list: () => act(() => new Map(this.members)),
      find: (member) => act(() => this.members.get(member) ?? null),
      close: () => this.#close(connection),
    }
  }

  #close(connection: Connection): void {
    connection.isOpen = false
    this.#connections.delete(connection)
  }
}
