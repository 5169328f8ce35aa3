/** A gateway that does nothing by itself: a test sees what a worker tells it, and says what it answers. */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { Outbox, PacketReader } from '../../../src/gateway/wire/packets.ts'
import { readRecords, WIRE_VERSION, type WireRecord, writeRecord } from '../../../src/gateway/wire/records.ts'

export class FakeGateway {
  readonly said: WireRecord[] = []
  /** Of its fleet. */
  stateDir: string | null = null
  readonly #server: Server
  #socket: Socket | null = null
  #outbox: Outbox | null = null
  #wake: () => void = () => undefined

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket) => this.#link(socket))
  }

  static async open(linkDir: string): Promise<FakeGateway> {
    const server = createServer()
    const gateway = new FakeGateway(server)
    server.listen(join(linkDir, 'fake.sock'))
    await once(server, 'listening')
    onTestFinished(() => gateway.die())
    return gateway
  }

  #link(socket: Socket): void {
    const reader = new PacketReader()
    this.#socket = socket
    this.#outbox = new Outbox((packet) => socket.write(packet))
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      for (const packet of reader.take(chunk)) readRecords(packet, (record) => this.#take(record))
    })
  }

  #take(record: WireRecord): void {
    this.said.push(record)
    if (record.type === 'hello')
      this.say({ type: 'welcome', value: { version: WIRE_VERSION, gateway: 'fake', pid: 1, stateDir: this.stateDir } })
    this.#wake()
  }

  say(...records: WireRecord[]): void {
    for (const record of records) if (this.#outbox) writeRecord(this.#outbox, record)
  }

  /** Gives it a client, and tells it that this one has come. */
  give(client: number): void {
    const value = { id: `fake.${client}`, uid: null, groups: [], session: {}, protocol: 'text', connectedAt: 0 }
    this.say({ type: 'adopt', client, value })
    this.tell(client, 1, 'connect')
  }

  tell(client: number, event: number, kind: 'connect' | 'text' | 'close'): void {
    this.say({ type: 'event', client, event, kind, isRedelivered: false, losses: 0, bytes: new Uint8Array() })
  }

  /** Waits until it has been told this. */
  async until(type: WireRecord['type']): Promise<void> {
    while (!this.said.some((record) => record.type === type))
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
  }

  /** The link is lost, and it lives on. */
  cut(): void {
    this.#socket?.destroy()
  }

  /** As one that is killed: nobody listens there any more. */
  die(): void {
    this.#server.close()
    this.#socket?.destroy()
  }
}
