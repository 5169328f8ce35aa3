/**
 * A link to one gateway process of this machine: asks it, keeps the answers apart, and hands on what the
 * gateway says by itself. It lives as long as its socket.
 */
import { connect, type Socket } from 'node:net'
import { basename } from 'node:path'
import { ShiftworkError } from '../../index.ts'
import type { Data, Delivery, Request } from '../types.ts'
import { Outbox, PacketReader } from '../wire/packets.ts'
import { readRecords, WIRE_VERSION, type WireRecord, writeRecord } from '../wire/records.ts'
import { shorten } from '../wire/shorten.ts'
import { Pending } from './pending.ts'

/** A gateway that commands can be given to, near or far. */
export interface Target {
  readonly gateway: string
  send(to: string, data: Data, deadlineMs: number): Promise<Delivery>
  request(request: Request, data: Data | null, deadlineMs: number): Promise<unknown>
}

export interface LinkHooks {
  /** What a gateway says to a business worker. */
  onRecord(link: PeerLink, record: WireRecord): void
  onClosed(link: PeerLink): void
}

/** Who we are. */
export interface Introduction {
  readonly role: 'business' | 'client'
  readonly name: string
}

const PING_EVERY_MS = 5_000
/** A gateway that says nothing for so long, not even to a ping, is frozen. */
const SILENCE_MS = 30_000
/** What may wait for a gateway that reads slowly. */
const MAX_BUFFER_BYTES = 64 * 1024 * 1024
const CONNECT_MS = 5_000
/** Not a question's number: the wait for the welcome. */
const WELCOME = 0

export class PeerLink implements Target {
  readonly gateway: string
  readonly #socket: Socket
  readonly #hooks: LinkHooks
  readonly #outbox: Outbox
  readonly #reader = new PacketReader()
  readonly #pending: Pending
  /** What is called when the pings that are under way are answered, in their order. */
  readonly #onPongs: (() => void)[] = []
  #heardAt = performance.now()
  #isOpen = false

  private constructor(gateway: string, socket: Socket, hooks: LinkHooks) {
    this.gateway = gateway
    this.#socket = socket
    this.#hooks = hooks
    this.#pending = new Pending((deadlineMs) => {
      return new ShiftworkError('ERR_NO_ANSWER', `Gateway ${gateway} has not answered within ${deadlineMs} ms`)
    })
    this.#outbox = new Outbox((packet) => socket.write(packet))
    const timer = setInterval(() => this.#showLife(), PING_EVERY_MS).unref()
    socket.on('close', () => {
      clearInterval(timer)
      this.#lose()
    })
  }

  /**
   * Opens a link. It does not keep the process alive, what is asked over it does.
   * @throws the system's error when nobody listens; ShiftworkError `ERR_CONNECT` for another version.
   */
  static async open(path: string, introduction: Introduction, hooks: LinkHooks): Promise<PeerLink> {
    const socket = await dial(path)
    const link = new PeerLink(basename(path, '.sock'), socket, hooks)
    const welcomed = link.#pending.wait(WELCOME, CONNECT_MS)
    socket.on('data', (chunk: Buffer) => link.#read(chunk))
    // it closes, and that is heard
    socket.on('error', () => undefined)
    link.write({ type: 'hello', value: { version: WIRE_VERSION, pid: process.pid, ...introduction } })
    link.#outbox.flush()
    try {
      await welcomed
    } catch (error) {
      socket.destroy()
      throw error
    }
    socket.unref()
    return link
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Commands that have no answer yet. */
  get pending(): number {
    return this.#pending.size
  }

  write(record: WireRecord): void {
    writeRecord(this.#outbox, record)
  }

  /** Resolves when the gateway has taken everything that was written so far, or is gone. */
  confirm(): Promise<void> {
    if (!this.#isOpen) return Promise.resolve()
    return new Promise((resolve) => this.#ping(resolve))
  }

  #ping(onPong: () => void): void {
    this.#onPongs.push(onPong)
    this.write({ type: 'ping' })
  }

  send(to: string, data: Data, deadlineMs: number): Promise<Delivery> {
    return this.#ask((request) => this.write({ type: 'send', request, to, data }), deadlineMs) as Promise<Delivery>
  }

  request(value: Request, data: Data | null, deadlineMs: number): Promise<unknown> {
    return this.#ask((request) => this.write({ type: 'request', request, value, data }), deadlineMs)
  }

  /** Sends what is written, and closes. */
  close(): void {
    this.#outbox.flush()
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #ask(write: (request: number) => void, deadlineMs: number): Promise<unknown> {
    if (!this.#isOpen) return Promise.reject(lost(this.gateway))
    if (this.#socket.writableLength > MAX_BUFFER_BYTES)
      return Promise.reject(
        new ShiftworkError(
          'ERR_SEND_BUFFER_FULL',
          `${MAX_BUFFER_BYTES} bytes wait for gateway ${this.gateway} already`,
        ),
      )
    const request = this.#pending.next()
    write(request)
    return this.#pending.wait(request, deadlineMs)
  }

  #read(chunk: Buffer): void {
    this.#heardAt = performance.now()
    try {
      for (const packet of this.#reader.take(chunk)) readRecords(packet, (record) => this.#take(record))
    } catch (error) {
      // whoever that is, it is no gateway
      console.error(`shiftwork: the gateway ${this.gateway} makes no sense: ${String(error)}`)
      this.#socket.destroy()
    }
  }

  #take(record: WireRecord): void {
    switch (record.type) {
      case 'welcome':
        this.#meet(record.value)
        return
      case 'sent':
      case 'reply':
        this.#pending.settle(record)
        return
      case 'pong':
        this.#onPongs.shift()?.()
        return
      default:
        this.#hooks.onRecord(this, record)
    }
  }

  #meet(value: unknown): void {
    const { version } = (value ?? {}) as { version?: unknown }
    const waiting = this.#pending.take(WELCOME)
    if (version === WIRE_VERSION) {
      this.#isOpen = true
      waiting?.resolve(undefined)
      return
    }
    const message = `The gateway ${this.gateway} speaks version ${String(version)} of links, this is ${WIRE_VERSION}`
    waiting?.reject(new ShiftworkError('ERR_CONNECT', message, { hint: 'Restart its group: reload --force NAME.' }))
  }

  #showLife(): void {
    if (performance.now() - this.#heardAt > SILENCE_MS) this.#socket.destroy()
    else this.#ping(() => undefined)
  }

  #lose(): void {
    const wasOpen = this.#isOpen
    this.#isOpen = false
    this.#pending.rejectAll(lost(this.gateway))
    for (const resolve of this.#onPongs.splice(0)) resolve()
    if (wasOpen) this.#hooks.onClosed(this)
  }
}

function lost(gateway: string): ShiftworkError {
  return new ShiftworkError(
    'ERR_CONNECTION_CLOSED',
    `The link to gateway ${gateway} is closed: nobody knows what it has done`,
  )
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { short, release } = shorten(path)
    const socket = connect({ path: short, timeout: CONNECT_MS })
    socket.once('error', reject)
    socket.once('timeout', () => socket.destroy(new Error('it does not answer')))
    socket.once('connect', () => {
      socket.setTimeout(0)
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('close', release)
    socket.once('connect', release)
  })
}
