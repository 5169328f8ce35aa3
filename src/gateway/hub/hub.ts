/**
 * A gateway process: the clients that it holds, the links that others have opened to it, and what each says
 * about the other. Made by `Gateway` in `onWorkerStart`; the acts are here, what to do is decided in `dispatch`,
 * `queue` and `requests`.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Connection, listen, ShiftworkError, type WebSocketRequest } from '../../index.ts'
import { Absence } from '../absence.ts'
import { createClientId, createGatewayId } from '../ids.ts'
import type { GatewaySettings } from '../options.ts'
import { makeLinkDir } from '../peer/places.ts'
import type { ClientRequest, ClientState, Data, Request } from '../types.ts'
import { MAX_PACKET_BYTES } from '../wire/limits.ts'
import { PACKETS } from '../wire/packets.ts'
import { WIRE_VERSION, type WireRecord } from '../wire/records.ts'
import { Clients } from './clients.ts'
import { Dispatch } from './dispatch.ts'
import { HubLink } from './link.ts'
import type { HubClient } from './model.ts'
import { isWebSocket, Queue } from './queue.ts'
import { answer, deliver } from './requests.ts'
import { sweep } from './sweep.ts'

/** A peer from which nothing comes for so long, not even a ping, is frozen: others get its clients. */
const LINK_SILENCE_MS = 30_000
/** What may wait for a peer that reads slowly, before it is taken for frozen. */
const MAX_LINK_BUFFER_BYTES = 64 * 1024 * 1024

/** So many goodbyes, and then a turn for everybody else; all of them within the last time. */
const PART_BATCH = 10
const PART_EVERY_MS = 5
const MAX_PART_MS = 2_000

const NOTHING = new Uint8Array()

export class Hub {
  /** The first part of its clients' ids. */
  readonly id = createGatewayId()
  readonly #settings: GatewaySettings
  readonly #clients = new Clients()
  readonly #dispatch: Dispatch
  readonly #queue: Queue
  readonly #links = new Map<Connection, HubLink>()
  readonly #byConnection = new WeakMap<Connection, HubClient>()
  readonly #absence = new Absence(() => this.#describeWaiting())
  #onIdle: () => void = () => undefined

  constructor(settings: GatewaySettings) {
    this.#settings = settings
    this.#dispatch = new Dispatch({
      clients: this.#clients,
      redelivers: settings.delivery === 'at-least-once',
      onRelieved: (client) => this.#queue.noteRelieved(client),
    })
    this.#queue = new Queue(settings.queue, this.#dispatch)
  }

  /** Opens its socket in this directory, which only this user can enter. */
  async open(linkDir: string): Promise<void> {
    makeLinkDir(linkDir)
    await sweep(linkDir)
    await listen(`tcp+unix://${join(linkDir, `${this.id}.sock`)}`, {
      exclusive: true,
      socketMode: 0o600,
      protocol: { ...PACKETS, input: (buffer, connection) => this.#links.get(connection)?.measure(buffer) ?? 0 },
      maxMessageBytes: MAX_PACKET_BYTES,
      maxSendBufferBytes: MAX_LINK_BUFFER_BYTES,
      idleTimeoutMs: LINK_SILENCE_MS,
      onConnect: (connection) => {
        this.#links.set(connection, new HubLink(connection, this.#take))
      },
      onMessage: (connection, packet) => this.#links.get(connection)?.read(packet),
      onClose: (connection) => this.#lose(connection),
    })
    this.#queue.watch(() => this.#clients.all())
  }

  /** For `status`. */
  figures(): Record<string, number> {
    const links = [...this.#links.values()].filter(({ hello }) => hello !== null)
    const { events, handedOver, redelivered, lost } = this.#dispatch
    return {
      clients: this.#clients.size,
      links: links.length,
      workers: this.#dispatch.serving,
      queued: events - handedOver,
      handedOver,
      redelivered,
      dropped: this.#queue.dropped + lost,
      closed: this.#queue.closed,
      paused: this.#queue.paused,
    }
  }

  // ---- clients -----------------------------------------------------------------------------------------------------

  connected(connection: Connection): void {
    const client = this.#clients.add(createClientId(this.id), connection)
    this.#byConnection.set(connection, client)
    const request = isWebSocket(connection) ? requestOf(connection.request) : null
    this.#dispatch.push(client, 'connect', request ? Buffer.from(JSON.stringify(request)) : NOTHING)
    if (this.#dispatch.serving === 0) this.#absence.note()
  }

  said(connection: Connection, message: unknown): void {
    const client = this.#byConnection.get(connection)
    if (!client || client.isClosed) return
    if (typeof message === 'string') this.#dispatch.push(client, 'text', Buffer.from(message))
    else if (message instanceof Uint8Array) this.#dispatch.push(client, 'bytes', message)
    else throw new TypeError('Behind a gateway a protocol decodes to text or bytes')
    this.#queue.noteAdded(client)
  }

  closed(connection: Connection): void {
    const client = this.#byConnection.get(connection)
    if (!client || client.isClosed) return
    this.#queue.forget(client)
    this.#clients.close(client)
    this.#dispatch.push(client, 'close', NOTHING)
    if (this.#clients.size === 0) this.#onIdle()
  }

  // ---- links -------------------------------------------------------------------------------------------------------

  readonly #take = (link: HubLink, record: WireRecord): void => {
    switch (record.type) {
      case 'hello':
        link.write({ type: 'welcome', value: { version: WIRE_VERSION, gateway: this.id, pid: process.pid } })
        return
      case 'serve':
        this.#dispatch.serve(link)
        this.#absence.end()
        return
      case 'leave':
        this.#dispatch.leave(link)
        return
      case 'ack':
        this.#dispatch.acknowledge(link, record.client, record.event)
        this.#noteIdle()
        return
      case 'send': {
        const client = this.#clients.find(record.to)
        const delivery = client ? deliver(client, record.data) : 'gone'
        link.write({ type: 'sent', request: record.request, delivery })
        return
      }
      case 'request':
        link.write(this.answer(record))
        return
      case 'ping':
        link.write({ type: 'pong' })
        return
      default:
        throw new RangeError(`a peer says ${record.type}`)
    }
  }

  /** Does what somebody asks for. */
  answer({ request, value, data }: { request: number; value: unknown; data: Data | null }): WireRecord {
    try {
      const told = answer(value as Request, data, {
        clients: this.#clients,
        maxSessionBytes: this.#settings.maxSessionBytes,
        tell: (client: HubClient, change: ClientState) => this.#dispatch.tell(client, change),
      })
      return { type: 'reply', request, isError: false, value: told }
    } catch (error) {
      if (!(error instanceof ShiftworkError)) throw error
      const { code, message, hint = null } = error
      return { type: 'reply', request, isError: true, value: { code, message, hint } }
    }
  }

  #lose(connection: Connection): void {
    const link = this.#links.get(connection)
    this.#links.delete(connection)
    if (link) this.#dispatch.close(link)
    if (this.#dispatch.serving === 0 && this.#clients.size > 0) this.#absence.note()
    this.#noteIdle()
  }

  #describeWaiting(): string | null {
    const { events, serving } = this.#dispatch
    if (serving > 0 || events === 0) return null
    return `${events} events of ${this.#clients.size} clients wait: this gateway has no business worker. Start a BusinessWorker in this start file or in one beside it`
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  /** Parts with every client, and waits until all that they said is handled; who calls it has the deadline. */
  async drain(): Promise<void> {
    await this.#partWithAll()
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
      this.#noteIdle()
    })
    this.#queue.stop()
    this.#absence.end()
    for (const link of this.#links.values()) link.close()
  }

  /** A few at a time: clients that were told at once would all come back at once. */
  async #partWithAll(): Promise<void> {
    const all = [...this.#clients.all()].filter(({ isClosed }) => !isClosed)
    const batch = Math.max(PART_BATCH, Math.ceil((all.length * PART_EVERY_MS) / MAX_PART_MS))
    while (all.length > 0) {
      for (const client of all.splice(0, batch)) {
        // nobody would resume it
        this.#queue.forget(client)
        client.connection.resume()
        client.connection.part()
      }
      if (all.length > 0) await delay(PART_EVERY_MS)
    }
  }

  #noteIdle(): void {
    if (this.#clients.size > 0) return
    // without a worker, nobody will handle what is left
    if (this.#dispatch.events === 0 || this.#dispatch.serving === 0) this.#onIdle()
  }
}

function requestOf({ url, headers, subprotocol }: WebSocketRequest): ClientRequest {
  return { url, headers, subprotocol }
}
