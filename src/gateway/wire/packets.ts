/**
 * How records stand in a stream: many in one packet behind its length, so that what is said in one turn of
 * the loop costs one write. Both sides of a link cut and fill packets here.
 */
import type { Protocol } from '../../index.ts'
import { PACKET_HEAD_BYTES as HEAD_BYTES, MAX_PACKET_BYTES } from './limits.ts'
import { type Sink, type WireRecord, writeRecord } from './records.ts'

/** So much is collected before it is sent without waiting for the end of the turn. */
const FULL_BYTES = 64 * 1024
const CHUNK_BYTES = 64 * 1024

/** As a protocol of a listener: whole packets without their heads come in, whole packets go out. */
export const PACKETS: Protocol<Buffer, Uint8Array> = {
  input: measurePacket,
  decode: (bytes) => recordsOf(bytes),
  encode: (bytes) => bytes,
}

/**
 * How long the packet is that these bytes begin with; 0: that cannot be told yet.
 * @throws RangeError for a length that makes no sense.
 */
export function measurePacket(buffer: Buffer): number {
  return buffer.length < HEAD_BYTES ? 0 : lengthOf(buffer)
}

function lengthOf(buffer: Buffer): number {
  const length = buffer.readUInt32BE()
  if (length <= HEAD_BYTES || length > MAX_PACKET_BYTES)
    throw new RangeError(`a packet says that it has ${length} bytes`)
  return length
}

/** One record as a packet of its own. */
export function packetOf(record: WireRecord): Buffer {
  let packet: Buffer = Buffer.alloc(0)
  const outbox = new Outbox((bytes) => {
    packet = bytes
  })
  writeRecord(outbox, record)
  outbox.flush()
  return packet
}

/** The same for a plain socket. */
export class PacketReader {
  #parts: Buffer[] = []
  #byteLength = 0

  /**
   * Takes what has come.
   * @returns the packets that are whole now, without their heads.
   * @throws RangeError for a length that makes no sense.
   */
  take(chunk: Buffer): Buffer[] {
    this.#parts.push(chunk)
    this.#byteLength += chunk.length
    const packets: Buffer[] = []
    for (;;) {
      if (this.#byteLength < HEAD_BYTES) return packets
      if ((this.#parts[0]?.length ?? 0) < HEAD_BYTES) this.#join()
      const length = lengthOf(this.#parts[0] as Buffer)
      if (this.#byteLength < length) return packets
      if ((this.#parts[0]?.length ?? 0) < length) this.#join()
      const whole = this.#parts[0] as Buffer
      packets.push(whole.subarray(HEAD_BYTES, length))
      this.#byteLength -= length
      if (whole.length === length) this.#parts.shift()
      else this.#parts[0] = whole.subarray(length)
    }
  }

  #join(): void {
    this.#parts = [Buffer.concat(this.#parts)]
  }
}

/** What stands in a whole packet. */
export function recordsOf(packet: Buffer): Buffer {
  return packet.subarray(HEAD_BYTES)
}

/** Has something to write that is best written last, once for the whole turn. */
export interface LateWriter {
  writeLate(): void
}

/** Collects records and sends them as packets: at the end of the turn, or when there are many. */
export class Outbox implements Sink {
  readonly #send: (packet: Buffer) => void
  #chunk: Buffer = Buffer.alloc(0)
  /** Where the packet that is being filled begins in the chunk. */
  #from = 0
  #at = 0
  #timer: NodeJS.Immediate | null = null
  #late: LateWriter[] = []

  constructor(send: (packet: Buffer) => void) {
    this.#send = send
  }

  room(byteLength: number): { bytes: Buffer; at: number } {
    if (this.#at - this.#from >= FULL_BYTES) this.flush()
    if (this.#at === this.#from) {
      this.#startPacket(byteLength)
      this.#timer ??= setImmediate(() => this.flush())
    } else if (this.#chunk.length - this.#at < byteLength) {
      this.flush()
      return this.room(byteLength)
    }
    const at = this.#at
    this.#at += byteLength
    return { bytes: this.#chunk, at }
  }

  #startPacket(byteLength: number): void {
    const needed = HEAD_BYTES + byteLength
    if (this.#chunk.length - this.#at < needed) {
      // what was sent of the old one is still being written
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(needed, CHUNK_BYTES))
      this.#from = 0
    }
    this.#at = this.#from + HEAD_BYTES
  }

  /** Lets somebody write when this turn's records are sent, after all of them. */
  defer(writer: LateWriter): void {
    this.#late.push(writer)
    this.#timer ??= setImmediate(() => this.flush())
  }

  /** Sends what is there. */
  flush(): void {
    const late = this.#late
    if (late.length > 0) this.#late = []
    for (const writer of late) writer.writeLate()
    if (this.#timer) clearImmediate(this.#timer)
    this.#timer = null
    if (this.#at === this.#from) return
    const packet = this.#chunk.subarray(this.#from, this.#at)
    packet.writeUInt32BE(packet.length)
    this.#from = this.#at
    this.#send(packet)
  }
}
