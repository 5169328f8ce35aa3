/**
 * Redis as the bus: two connections, since one that listens can say nothing. The only file that knows the package
 * `redis`, which is loaded when a bus is wanted. It never reconnects by itself: its waits would keep the process alive.
 */
import { isIP } from 'node:net'
import { ShiftworkError } from '../../index.ts'
import { waitFor } from '../patience.ts'
import type { BusAddress } from './address.ts'
import type { Broker, BrokerOptions } from './broker.ts'
import { within } from './within.ts'

const CONNECT_MS = 3_000
/** Between the connection and the first answers. */
const GREET_MS = 3_000
const SILENT = `it has not answered within ${GREET_MS} ms`

type Client = ReturnType<typeof createClients>[number]
type Package = typeof import('redis')

/** A Broker. @throws what Redis says; ShiftworkError `ERR_OPTION` when the package is missing. */
export async function openRedis(options: BrokerOptions): Promise<Broker> {
  const broker = new RedisBroker(createClients(await load(), options.address), options)
  await broker.open()
  return broker
}

async function load(): Promise<Package> {
  try {
    return await import('redis')
  } catch (cause) {
    throw new ShiftworkError('ERR_OPTION', 'Gateway: bus needs the package redis, which cannot be loaded', {
      hint: 'Run: npm install redis@5',
      cause,
    })
  }
}

function createClients({ createClient }: Package, address: BusAddress) {
  const { host, port, isTls, username, password } = address
  const socket = { host, port, connectTimeout: CONNECT_MS, reconnectStrategy: false as const }
  // RFC 6066: a literal address is no server name
  const tls = { ...socket, tls: true as const, ...(isIP(host) === 0 && { servername: host }) }
  const create = () =>
    createClient({
      socket: isTls ? tls : socket,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      name: 'shiftwork',
      disableOfflineQueue: true,
    })
  return [create(), create()] as const
}

/** Waits until it can be used; its sockets keep no process alive. */
async function open(client: Client): Promise<void> {
  let endWait: (() => void) | undefined
  let isLate = false
  // `connect` rejects with the same
  client.on('error', () => undefined)
  // one that was destroyed before it is connected would live on: until then it has the deadline of its socket
  client.once('connect', () => {
    const giveUp = (): void => {
      isLate = true
      client.destroy()
    }
    endWait = waitFor(GREET_MS, giveUp, { keepsAlive: false })
  })
  client.unref()
  try {
    await client.connect()
  } catch (error) {
    throw isLate ? new Error(SILENT) : error
  } finally {
    endWait?.()
  }
}

class RedisBroker implements Broker {
  readonly #speaker: Client
  readonly #listener: Client
  readonly #options: BrokerOptions
  #state: 'opening' | 'open' | 'closed' = 'opening'

  constructor([speaker, listener]: readonly [Client, Client], options: BrokerOptions) {
    this.#speaker = speaker
    this.#listener = listener
    this.#options = options
  }

  async open(): Promise<void> {
    const { channels, onMessage } = this.#options
    try {
      const opened = await Promise.allSettled([open(this.#speaker), open(this.#listener)])
      for (const result of opened) if (result.status === 'rejected') throw result.reason
      for (const client of [this.#speaker, this.#listener]) client.on('error', (error) => this.#lose(error))
      const hear = (bytes: Buffer, channel: Buffer): void => onMessage(channel.toString(), bytes)
      await within(this.#listener.subscribe([...channels], hear, true), GREET_MS, { reason: SILENT })
      if (this.#state === 'closed') throw new Error('the connection was closed at once')
      this.#state = 'open'
    } catch (error) {
      this.close()
      throw error
    }
  }

  async probe(): Promise<number> {
    const [[seconds, microseconds]] = await Promise.all([this.#speaker.time(), this.#listener.ping()])
    return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
  }

  publish(channel: string, bytes: Buffer): Promise<number> {
    return this.#speaker.publish(channel, bytes)
  }

  async put(member: string, expiresAt: number): Promise<boolean> {
    return (await this.#speaker.zAdd(this.#options.list, { value: member, score: expiresAt })) === 1
  }

  async remove(member: string): Promise<void> {
    await this.#speaker.zRem(this.#options.list, member)
  }

  async prune(before: number): Promise<void> {
    await this.#speaker.zRemRangeByScore(this.#options.list, '-inf', before)
  }

  async list(): Promise<Map<string, number>> {
    const rows = await this.#speaker.zRangeWithScores(this.#options.list, 0, -1)
    return new Map(rows.map(({ value, score }) => [value, score]))
  }

  find(member: string): Promise<number | null> {
    return this.#speaker.zScore(this.#options.list, member)
  }

  close(): void {
    this.#state = 'closed'
    for (const client of [this.#speaker, this.#listener]) if (client.isOpen) client.destroy()
  }

  #lose(error: Error): void {
    const wasOpen = this.#state === 'open'
    this.close()
    if (wasOpen) this.#options.onLost(error.message)
  }
}
