/**
 * A gateway process: the clients that it holds, the links that others have opened to it, and what each says
 * about the other. Made by `Gateway` in `onWorkerStart`; the acts are here, what to do is decided in `dispatch`,
 * `queue` and `requests`.
 */
import { join } from 'node:path'
import { type Connection, listen, ShiftworkError, type StopReason, type WebSocketRequest, Worker } from '../../index.ts'
import { Absence } from '../absence.ts'
import { createClientId, createGatewayId } from '../ids.ts'
import { type GatewaySettings, MAX_DATA_BYTES } from '../options.ts'
import { makeLinkDir } from '../peer/places.ts'
import type { ClientRequest, ClientState, Request } from '../types.ts'
import { MAX_PACKET_BYTES } from '../wire/limits.ts'
import { PACKETS, packetOf } from '../wire/packets.ts'
import { type Answer, type Asked, WIRE_VERSION, type WireRecord } from '../wire/records.ts'
import { Clients } from './clients.ts'
import { closeWith, isWebSocket } from './close.ts'
import { Dispatch } from './dispatch.ts'
import { Farewell } from './farewell.ts'
import { describeFatal } from './fatal.ts'
import type { ClientEvent } from './line.ts'
import { HubLink } from './link.ts'
import type { HubClient } from './model.ts'
import { Queue } from './queue.ts'
import { answer, deliver } from './requests.ts'
import { sweep } from './sweep.ts'

/**
 * A peer that is silent for so long is asked for a sign of life; after as long again it is frozen, and others get its
 * clients. A worker relies on it: see `DOUBT_MS` of its links.
 */
const LINK_SILENCE_MS = 15_000
/** What may wait for a peer that reads slowly, before it is taken for frozen. */
const MAX_LINK_BUFFER_BYTES = 64 * 1024 * 1024

/** RFC 6455 7.4.1: a server could not do what it was asked. */
const INTERNAL_ERROR = 1011

const NOTHING = new Uint8Array()

export class Hub {
  /** The first part of its clients' ids. */
  readonly id = createGatewayId()
  readonly #settings: GatewaySettings
  readonly #clients = new Clients()
  readonly #dispatch: Dispatch
  readonly #queue: Queue
  readonly #farewell: Farewell
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
      onFatal: (client, event) => this.#giveUpOn(client, event),
      onAbandoned: () => this.#noteFewer(),
    })
    this.#queue = new Queue(settings.queue, { dispatch: this.#dispatch, clients: this.#clients })
    this.#farewell = new Farewell(this.#dispatch)
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
      heartbeat: { everyMs: LINK_SILENCE_MS, maxMissed: 1, data: packetOf({ type: 'ping' }) },
      // what clients have said is handled while this gateway leaves
      partsLast: true,
      internal: true,
      onConnect: (connection) => {
        this.#links.set(connection, new HubLink(connection, this.#take))
      },
      onMessage: (connection, packet) => this.#links.get(connection)?.read(packet),
      onClose: (connection) => this.#lose(connection),
    })
    this.#queue.watch()
  }

  /** For `status`. */
  figures(): Record<string, number> {
    const links = [...this.#links.values()].filter(({ hello }) => hello !== null)
    const { events, handedOver, redelivered, lost, fatal } = this.#dispatch
    return {
      clients: this.#clients.size,
      links: links.length,
      workers: this.#dispatch.serving,
      queued: events - handedOver,
      handedOver,
      redelivered,
      dropped: this.#queue.dropped + lost,
      fatal,
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
    if (this.#farewell.hasBegun) void this.#farewell.partWith(client)
  }

  /** @returns when the next message may come; null: at once. */
  said(connection: Connection, message: unknown): Promise<void> | null {
    const client = this.#byConnection.get(connection)
    if (!client || client.isClosed) return null
    if (typeof message === 'string') this.#push(client, 'text', Buffer.from(message))
    else if (message instanceof Uint8Array) this.#push(client, 'bytes', message)
    else throw new TypeError('Behind a gateway a protocol decodes to text or bytes')
    if (this.#farewell.hasBegun) return this.#farewell.whenHeard(client)
    this.#queue.noteAdded(client)
    return null
  }

  /** @throws ShiftworkError for what no link could take: text may be longer than the bytes that it was, and a protocol unpack. */
  #push(client: HubClient, kind: 'text' | 'bytes', bytes: Uint8Array): void {
    if (bytes.byteLength > MAX_DATA_BYTES)
      throw new ShiftworkError(
        'ERR_MESSAGE_TOO_LARGE',
        `A message has ${bytes.byteLength} bytes, at most ${MAX_DATA_BYTES} pass a gateway`,
      )
    this.#dispatch.push(client, kind, bytes)
  }

  closed(connection: Connection): void {
    const client = this.#byConnection.get(connection)
    if (!client || client.isClosed) return
    this.#clients.close(client)
    this.#dispatch.push(client, 'close', NOTHING)
    this.#queue.noteClosed(client)
    this.#farewell.note(client)
    this.#noteIdle()
  }

  #giveUpOn(client: HubClient, event: ClientEvent): void {
    console.error(`shiftwork: ${describeFatal(client, event)}`)
    if (event.kind !== 'connect') return
    closeWith(client.connection, INTERNAL_ERROR, 'nobody can handle that you have come')
    // what else comes from it is not taken, and its onClose is called
    this.closed(client.connection)
  }

  // ---- links -------------------------------------------------------------------------------------------------------

  readonly #take = (link: HubLink, record: WireRecord): void => {
    switch (record.type) {
      case 'hello':
        link.write({ type: 'welcome', value: this.#welcome() })
        return
      case 'serve':
        this.#dispatch.serve(link)
        this.#absence.end()
        return
      case 'leave':
        this.#dispatch.leave(link, record)
        this.#noteFewer()
        return
      case 'ack':
        this.#acknowledge(link, record)
        return
      case 'begin':
        this.#dispatch.begin(link, record.client, record.event)
        return
      case 'outlived':
        this.#dispatch.outlive(link, record.client, record.event)
        return
      case 'send':
      case 'request':
        link.write(this.answer(record))
        return
      case 'ping':
        link.write({ type: 'pong' })
        return
      case 'pong':
        this.#dispatch.hasRead(link)
        return
      default:
        throw new RangeError(`a peer says ${record.type}`)
    }
  }

  /** Those of the same state directory have the same master. */
  #welcome(): Record<string, unknown> {
    return { version: WIRE_VERSION, gateway: this.id, pid: process.pid, stateDir: Worker.stateDir }
  }

  #acknowledge(link: HubLink, { client: number, event }: { client: number; event: number }): void {
    const client = this.#clients.findNumber(number)
    this.#dispatch.acknowledge(link, number, event)
    if (client) this.#farewell.note(client)
    this.#noteIdle()
  }

  /**
   * Does what somebody asks for, over a link or from another machine.
   * @returns what they are told.
   * @throws TypeError for what nobody asks for.
   */
  answer(record: Asked): Answer {
    const { request, data } = record
    if (record.type === 'send') {
      const client = this.#clients.find(record.to)
      return { type: 'sent', request, delivery: client ? deliver(client, record.data) : 'gone' }
    }
    try {
      const told = answer(record.value as Request, data, {
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
    this.#noteFewer()
  }

  /** There may be nobody left who takes clients. */
  #noteFewer(): void {
    this.#farewell.noteAll()
    this.#noteIdle()
  }

  #describeWaiting(): string | null {
    const { events, serving } = this.#dispatch
    if (serving > 0 || events === 0) return null
    return `${events} events of ${this.#clients.size} clients wait: this gateway has no business worker. Start a BusinessWorker in this start file or in one beside it`
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  /** Parts with every client, and waits until all that they said is handled; who calls it has the deadline. */
  async drain(reason: StopReason): Promise<void> {
    // nobody would resume those that are paused
    this.#queue.stop()
    this.#dispatch.succession.limit(reason)
    // at the deadline this process ends without another word
    process.once('exit', this.#giveUp)
    await this.#farewell.begin([...this.#clients.all()])
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
      this.#noteIdle()
    })
    this.#giveUp()
    this.#farewell.end()
    this.#absence.end()
    for (const link of this.#links.values()) link.close()
  }

  readonly #giveUp = (): void => {
    const { messages, clients } = this.#dispatch.giveUp()
    if (messages > 0)
      console.error(`shiftwork: ${messages} messages of ${clients} clients are lost: no business worker took them`)
  }

  #noteIdle(): void {
    if (this.#clients.size > 0) return
    // what no worker has, and none will take, is not waited for
    const { events, isServed, handedOver } = this.#dispatch
    if (events === 0 || (!isServed && handedOver === 0)) this.#onIdle()
  }
}

function requestOf({ url, headers, subprotocol }: WebSocketRequest): ClientRequest {
  return { url, headers, subprotocol }
}
