/**
 * A link to one gateway process of this machine: asks it, keeps the answers apart, and hands on what the
 * gateway says by itself. It lives as long as its socket.
 */
import { connect, type Socket } from 'node:net'
import { basename } from 'node:path'
import { ShiftworkError } from '../../index.ts'
import { lookEvery, waitFor } from '../patience.ts'
import type { Data, Delivery, Request } from '../types.ts'
import { type LateWriter, Outbox, PacketReader } from '../wire/packets.ts'
import { readRecords, WIRE_VERSION, type WireRecord, writeRecord } from '../wire/records.ts'
import { shorten } from '../wire/shorten.ts'
import { noAnswerOf, Pending, type Waiting } from './pending.ts'

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
/**
 * After so long without a word from it, it is asked before it is believed that a client is still ours: it may have taken a
 * process for frozen that was one, and has given its clients to others. Well below what it waits.
 */
const DOUBT_MS = 20_000
/** What may wait for a gateway that reads slowly. */
const MAX_BUFFER_BYTES = 64 * 1024 * 1024
const CONNECT_MS = 5_000

export class PeerLink implements Target {
  readonly gateway: string
  readonly #socket: Socket
  readonly #hooks: LinkHooks
  readonly #outbox: Outbox
  readonly #reader = new PacketReader()
  readonly #pending: Pending
  /** What is called when the pings that are under way are answered, in their order. */
  readonly #onPongs: (() => void)[] = []
  #welcome: Waiting | null = null
  #heardAt = performance.now()
  #doubt: Promise<void> | null = null
  #isOpen = false
  #isLeaving = false
  #stateDir: string | null = null

  private constructor(gateway: string, socket: Socket, hooks: LinkHooks) {
    this.gateway = gateway
    this.#socket = socket
    this.#hooks = hooks
    this.#pending = new Pending(gateway)
    this.#outbox = new Outbox((packet) => socket.write(packet))
    const timer = lookEvery(PING_EVERY_MS, () => this.#showLife()).unref()
    socket.on('close', () => {
      clearInterval(timer)
      this.#lose()
    })
  }

  /**
   * Opens a link. Neither that nor the link keeps the process alive, what is asked over it does.
   * @throws the system's error when nobody listens; ShiftworkError `ERR_CONNECT` for another version.
   */
  static async open(path: string, introduction: Introduction, hooks: LinkHooks): Promise<PeerLink> {
    const socket = (await dial(path)).unref()
    const link = new PeerLink(basename(path, '.sock'), socket, hooks)
    const welcomed = link.#welcomed()
    socket.on('data', (chunk: Buffer) => link.#read(chunk))
    // it closes, and that is heard
    socket.on('error', () => undefined)
    link.write({ type: 'hello', value: { version: WIRE_VERSION, pid: process.pid, ...introduction } })
    link.#outbox.flush()
    const giveUp = (): void => link.#welcome?.reject(noAnswerOf(link.gateway))
    const endWait = waitFor(CONNECT_MS, giveUp, { keepsAlive: false })
    try {
      await welcomed
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      endWait()
    }
    return link
  }

  #welcomed(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#welcome = { resolve, reject }
    })
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Of the fleet of this gateway. */
  get stateDir(): string | null {
    return this.#stateDir
  }

  /** Null: our clients are ours. Otherwise it may have given us up; settles when it has not, or the link is lost. */
  get doubt(): Promise<void> | null {
    this.#noteSilence()
    return this.#doubt
  }

  #noteSilence(): void {
    if (performance.now() - this.#heardAt <= DOUBT_MS) return
    this.#doubt ??= this.confirm().then(() => {
      this.#doubt = null
    })
  }

  /** Commands that have no answer yet. */
  get pending(): number {
    return this.#pending.size
  }

  write(record: WireRecord): void {
    writeRecord(this.#outbox, record)
  }

  /** Lets somebody write at the end of this turn, after everything else. */
  defer(writer: LateWriter): void {
    this.#outbox.defer(writer)
  }

  /** Resolves when the gateway has taken everything that was written so far, or is gone. */
  confirm(): Promise<void> {
    if (!this.#isOpen) return Promise.resolve()
    this.#outbox.flush()
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

  /** Sends what is written, and closes when all that was asked is answered. */
  close(): void {
    this.#isLeaving = true
    this.#outbox.flush()
    // what was asked in this turn may not have come here yet
    setImmediate(() => this.#endIfDone())
  }

  #endIfDone(): void {
    if (this.#isLeaving && this.#pending.size === 0) this.#socket.end()
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
    try {
      write(request)
    } catch (error) {
      // too long, or no JSON: nothing of it was written
      return Promise.reject(error)
    }
    return this.#pending.wait(request, deadlineMs)
  }

  #read(chunk: Buffer): void {
    // what was read may have waited for us as long
    this.#noteSilence()
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
        this.#endIfDone()
        return
      case 'ping':
        this.write({ type: 'pong' })
        return
      case 'pong':
        this.#onPongs.shift()?.()
        return
      default:
        this.#hooks.onRecord(this, record)
    }
  }

  #meet(value: unknown): void {
    const { version, stateDir } = (value ?? {}) as { version?: unknown; stateDir?: unknown }
    if (version === WIRE_VERSION) {
      this.#isOpen = true
      this.#stateDir = typeof stateDir === 'string' ? stateDir : null
      this.#welcome?.resolve(undefined)
      return
    }
    const message = `The gateway ${this.gateway} speaks version ${String(version)} of links, this is ${WIRE_VERSION}`
    this.#welcome?.reject(
      new ShiftworkError('ERR_CONNECT', message, { hint: 'Restart its group: reload --force NAME.' }),
    )
  }

  #showLife(): void {
    if (this.#socket.destroyed) return
    // the last answer may not have come in time
    this.#endIfDone()
    if (performance.now() - this.#heardAt > SILENCE_MS) this.#socket.destroy()
    else this.#ping(() => undefined)
  }

  #lose(): void {
    const wasOpen = this.#isOpen
    this.#isOpen = false
    this.#welcome?.reject(lost(this.gateway))
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
    const socket = connect({ path: short })
    const giveUp = (): void => void socket.destroy(new Error('it does not answer'))
    const endWait = waitFor(CONNECT_MS, giveUp, { keepsAlive: false })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
    for (const event of ['connect', 'close'])
      socket.once(event, () => {
        endWait()
        release()
      })
  })
}
