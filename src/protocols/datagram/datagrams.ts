/**
 * The datagrams of a worker: hands each to `onMessage`, and knows which handlers and answers are not done
 * yet, so that a drain can wait for them. It is given a socket that reads already; it neither binds nor
 * closes it.
 */
import type { RemoteInfo } from 'node:dgram'
import type { Owner } from '../connection.ts'
import { report } from '../report.ts'
import type { CutReport } from '../traffic.ts'
import { DatagramConnection, type Sender, type Wire } from './datagram.ts'

/** A socket that another process reads, too. */
export interface DatagramPort {
  readonly localAddress: string
  readonly localPort: number
  readonly queuedBytes: number
  send(bytes: Uint8Array, to: Sender, done: (error: Error | null) => void): void
  /** Called for each datagram that is read, from the next turn of the loop on. */
  onDatagram(listener: (data: Buffer, from: RemoteInfo) => void): void
  /** Leaves what comes to others; answers can still be sent. */
  stopReading(): void
  /** The other way round. */
  readAgain(): void
}

/** So long a worker that leaves goes on reading what waits, while ever more comes, */
const LAST_CALL_MS = 250
/** and so many turns: libuv reads 32 in each, and a queue of the usual length holds some 250. */
const LAST_CALL_TURNS = 16
const MAX_NAMED = 10
/** While so many handlers have not settled, or those of so many bytes, no more is read, */
const MAX_BUSY = 10_000
const MAX_BUSY_BYTES = 64 * 1024 * 1024
/** until it is so much of that, */
const LITTLE = 0.5
/** or for so long: a worker that is deaf for ever is of no use to anybody. */
const HELD_MS = 10_000

export class Datagrams {
  readonly #owner: Owner
  #port: DatagramPort | null = null
  #isReading = false
  /** Those whose handler has not settled. */
  readonly #busy = new Set<DatagramConnection>()
  /** Of what these handle. */
  #busyBytes = 0
  /** Too much is not handled yet: nothing is read for a while. */
  #isHeld = false
  #patience: NodeJS.Timeout | null = null
  /** What waits in the kernel is read whatever is not handled yet. */
  #isLastCall = false
  /** Who waits until the kernel has every answer. */
  #onceFlushed: (() => void)[] = []
  #sending = 0
  #received = 0
  #onIdle: () => void = () => undefined

  constructor(owner: Owner) {
    this.#owner = owner
  }

  /** Begins to handle what comes. */
  open(port: DatagramPort): void {
    this.#port = port
    this.#isReading = true
    const wire: Wire = {
      localAddress: port.localAddress,
      localPort: port.localPort,
      get queuedBytes() {
        return port.queuedBytes
      },
      send: (bytes, to, done) => this.#send(port, bytes, { to, done }),
      onceFlushed: (callback) => void this.#onceFlushed.push(callback),
    }
    port.onDatagram((data, sender) => {
      this.#received++
      const connection = new DatagramConnection(this.#owner, wire, { sender, bytesRead: data.length })
      const settling = connection.handle(data)
      if (settling) this.#await(connection, settling)
    })
  }

  #send(
    port: DatagramPort,
    bytes: Uint8Array,
    { to, done }: { to: Sender; done: (error: Error | null) => void },
  ): void {
    port.send(bytes, to, (error) => {
      this.#sending--
      done(error)
      if (this.#onceFlushed.length > 0 && port.queuedBytes === 0) this.#noteFlushed()
      this.#noteIdle()
    })
    this.#sending++
  }

  #noteFlushed(): void {
    const callbacks = this.#onceFlushed
    this.#onceFlushed = []
    for (const callback of callbacks) callback()
  }

  #await(connection: DatagramConnection, settling: Promise<unknown>): void {
    this.#busy.add(connection)
    this.#busyBytes += connection.bytesRead
    if (!this.#isHeld && this.#isBusierThan(1)) this.#hold()
    void settling.then(() => {
      this.#busy.delete(connection)
      this.#busyBytes -= connection.bytesRead
      if (this.#isHeld && !this.#isBusierThan(LITTLE)) this.#goOn('others have')
      this.#noteIdle()
    })
  }

  #isBusierThan(part: number): boolean {
    return this.#busy.size > MAX_BUSY * part || this.#busyBytes > MAX_BUSY_BYTES * part
  }

  /** What comes waits in the kernel, for another worker, and is dropped there when it is too much, as ever with UDP. */
  #hold(): void {
    if (!this.#port || this.#isLastCall) return
    this.#isHeld = true
    this.#port.stopReading()
    this.#tell(`${this.#busy.size} handlers have not settled: reads no more until it is half of that`)
    this.#patience = setTimeout(() => this.#goOn('they may never settle'), HELD_MS).unref()
  }

  #goOn(why: string): void {
    if (this.#patience) clearTimeout(this.#patience)
    this.#isHeld = false
    this.#tell(`reads again, ${this.#busy.size} handlers have not settled: ${why}`)
    if (this.#isReading) this.#port?.readAgain()
  }

  #tell(text: string): void {
    const { protocol, worker } = this.#owner
    report(worker, `${protocol}: ${text}`)
  }

  // ---- drain -------------------------------------------------------------------------------------------------------

  /** Reads no more, from now on: what waits is somebody else's. Safe to call twice. */
  stop(): void {
    if (!this.#isReading) return
    this.#isReading = false
    this.#port?.stopReading()
    this.#noteIdle()
  }

  /**
   * Reads on until nothing waits in the kernel, and then no more: perhaps nobody else will read it. Where ever
   * more comes, it ends all the same.
   */
  stopWhenRead(): void {
    this.#isLastCall = true
    if (this.#isHeld) this.#goOn('this worker leaves')
    const lastAt = performance.now() + LAST_CALL_MS
    let turns = 0
    const look = (before: number): void => {
      const received = this.#received
      const isOver = ++turns > LAST_CALL_TURNS && performance.now() > lastAt
      if (received === before || isOver) this.stop()
      else setImmediate(() => look(received))
    }
    // the rest of this turn, and a whole one: every socket with something to read is looked at in it
    setImmediate(() => {
      const received = this.#received
      setImmediate(() => look(received))
    })
  }

  /** Resolves when it reads no more, every handler has settled and the kernel has every answer. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve
      this.#noteIdle()
    })
  }

  #noteIdle(): void {
    if (!this.#isReading && this.#busy.size === 0 && this.#sending === 0) this.#onIdle()
  }

  /** Waits no longer, and says what for. */
  cut(): CutReport {
    this.stop()
    const names = [...this.#busy].slice(0, MAX_NAMED).map(nameOf)
    return { connections: this.#busy.size, requests: names }
  }
}

function nameOf({ remoteAddress, remotePort }: DatagramConnection): string {
  return `a datagram from ${remoteAddress} port ${remotePort}`
}
