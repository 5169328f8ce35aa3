/** What crosses a link: every record round trip, in packets that are cut and joined at every place. */
import { describe, expect, it } from 'vitest'
import { MAX_PACKET_BYTES } from '../../../src/gateway/wire/limits.ts'
import { measurePacket, Outbox, PACKETS, PacketReader } from '../../../src/gateway/wire/packets.ts'
import { readRecords, type WireRecord, writeRecord } from '../../../src/gateway/wire/records.ts'
import type { Connection } from '../../../src/index.ts'
import { Random } from '../random.ts'

const MAX_NUMBER = 0xffff_ffff

/** Packets as they leave an outbox. */
class Wire {
  readonly packets: Buffer[] = []
  readonly outbox = new Outbox((packet) => this.packets.push(packet))

  write(...records: WireRecord[]): this {
    for (const record of records) writeRecord(this.outbox, record)
    return this
  }

  get bytes(): Buffer {
    this.outbox.flush()
    return Buffer.concat(this.packets)
  }
}

function readAll(packets: readonly Buffer[]): WireRecord[] {
  const records: WireRecord[] = []
  for (const packet of packets) readRecords(packet, (record) => records.push(record))
  return records.map(plain)
}

/** Bytes of any class are the same. */
function plain(record: WireRecord): WireRecord {
  const bytesOf = (value: unknown): unknown => (value instanceof Uint8Array ? [...value] : value)
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, bytesOf(value)])) as WireRecord
}

function randomRecord(random: Random): WireRecord {
  const number = (): number => random.pick([0, 1, 255, 65_536, MAX_NUMBER, random.int(0, MAX_NUMBER)])
  const text = (): string => random.pick(['', 'a', 'ä🙂', '\0\n"', 'x'.repeat(random.int(0, 2_000))])
  const bytes = (): Uint8Array => Uint8Array.from({ length: random.pick([0, 1, 7, 3_000]) }, () => random.int(0, 255))
  const data = (): string | Uint8Array => (random.chance(0.5) ? text() : bytes())
  const value = (): unknown => random.pick([null, 0, true, text(), { a: [text(), { b: null }] }, []])
  const chance = random.chance(0.5)
  return random.pick<() => WireRecord>([
    () => ({ type: 'hello', value: value() }),
    () => ({ type: 'welcome', value: value() }),
    () => ({ type: 'serve' }),
    () => ({ type: 'leave' }),
    () => ({ type: 'leave', isFollowed: true }),
    () => ({ type: 'ping' }),
    () => ({ type: 'pong' }),
    () => ({ type: 'ack', client: number(), event: number() }),
    () => ({ type: 'begin', client: number(), event: number() }),
    () => ({ type: 'outlived', client: number(), event: number() }),
    () => ({ type: 'send', request: number(), to: 'gateway.client', data: data() }),
    () => ({ type: 'sent', request: number(), delivery: random.pick(['sent', 'buffered', 'full', 'gone']) }),
    () => ({ type: 'request', request: number(), value: value(), data: chance ? null : data() }),
    () => ({ type: 'reply', request: number(), isError: chance, value: value() }),
    () => ({ type: 'adopt', client: number(), value: value() }),
    () => ({ type: 'state', client: number(), value: value() }),
    () => ({
      type: 'event',
      client: number(),
      event: number(),
      kind: random.pick(['connect', 'text', 'bytes', 'close']),
      isRedelivered: chance,
      losses: random.int(0, 3),
      bytes: bytes(),
    }),
  ])()
}

describe('records', () => {
  it('come out as they went in, however their packets were cut', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed)
      const records = Array.from({ length: random.int(1, 40) }, () => randomRecord(random))
      const { bytes } = new Wire().write(...records)
      const reader = new PacketReader()
      const packets: Buffer[] = []
      for (let at = 0; at < bytes.length; ) {
        const length = random.pick([1, 2, 3, 4, 5, 100, 5_000, bytes.length])
        packets.push(...reader.take(Buffer.from(bytes.subarray(at, at + length))))
        at += length
      }
      expect(readAll(packets), `seed ${seed}`).toEqual(records.map(plain))
    }
  })

  it('come out as they went in, cut in two at every place, and byte by byte', () => {
    const random = new Random(7)
    const records = Array.from({ length: 30 }, () => randomRecord(random))
    const { bytes } = new Wire().write(...records)
    // as text: compared so often, that is what costs
    const expected = JSON.stringify(records.map(plain))
    const isAsItWent = (packets: readonly Buffer[]): boolean => JSON.stringify(readAll(packets)) === expected
    for (let cut = 0; cut <= Math.min(bytes.length, 3_000); cut++) {
      const reader = new PacketReader()
      const packets = [...reader.take(bytes.subarray(0, cut)), ...reader.take(bytes.subarray(cut))]
      expect(isAsItWent(packets), `cut at ${cut}`).toBe(true)
    }
    const reader = new PacketReader()
    const packets = [...bytes].flatMap((byte) => reader.take(Buffer.of(byte)))
    expect(isAsItWent(packets), 'byte by byte').toBe(true)
  })

  it('that are no records, or not whole, are an error, and never more than that', () => {
    for (let seed = 1; seed <= 2_000; seed++) {
      const random = new Random(seed)
      const packet = Buffer.from(new Wire().write(randomRecord(random), randomRecord(random)).bytes.subarray(4))
      if (random.chance(0.5))
        for (let count = 0; count < 3; count++) packet[random.int(0, packet.length - 1)] = random.int(0, 255)
      const cut = random.chance(0.5) ? packet.subarray(0, random.int(1, packet.length - 1)) : packet
      try {
        readRecords(cut, () => undefined)
      } catch (error) {
        expect(['RangeError', 'SyntaxError'], `seed ${seed}: ${String(error)}`).toContain((error as Error).name)
      }
    }
  })

  it.each([
    ['of no known type', Buffer.alloc(18, 0xee), 'there is no record of type 238'],
    ['shorter than a head', Buffer.alloc(5), 'a record is cut off'],
    ['longer than its packet', Buffer.alloc(18).fill(0xff, 10, 14), 'a record is longer than its packet'],
    ['with more data than its packet', Buffer.alloc(18).fill(0xff, 14, 18), 'a record is longer than its packet'],
    [
      'of a delivery that is none',
      Buffer.alloc(18).fill(6, 0, 1).fill(9, 9, 10),
      'a record says 9 where nothing has that number',
    ],
  ])('one %s is refused', (_, packet, message) => {
    expect(() => readRecords(packet, () => undefined)).toThrow(message)
  })

  it('that would not fit into a packet are refused before anything is written', () => {
    const wire = new Wire()
    const tooLong = { type: 'request', request: 1, value: 'x'.repeat(MAX_PACKET_BYTES), data: null } as const
    expect(() => wire.write(tooLong)).toThrow(expect.objectContaining({ code: 'ERR_MESSAGE_TOO_LARGE' }))
    wire.write({ type: 'ping' })
    expect(readAll(new PacketReader().take(wire.bytes))).toEqual([{ type: 'ping' }])
  })

  it('of the longest kind fit into a packet', () => {
    const around = 14 + 4 + 4 + 2
    const value = 'x'.repeat(MAX_PACKET_BYTES - around)
    const { bytes } = new Wire().write({ type: 'reply', request: 1, isError: false, value })
    expect(bytes.length).toBe(MAX_PACKET_BYTES)
    const [packet] = new PacketReader().take(bytes)
    expect(packet?.length).toBe(MAX_PACKET_BYTES - 4)
  })
})

describe('an outbox', () => {
  it('sends what is said in one turn in one packet, at the end of the turn', async () => {
    const wire = new Wire().write(...Array.from({ length: 100 }, () => ({ type: 'ping' }) as const))
    expect(wire.packets).toEqual([])
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    expect(wire.packets).toHaveLength(1)
    wire.outbox.flush()
    expect(wire.packets).toHaveLength(1)
    wire.write({ type: 'pong' })
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    expect(readAll(new PacketReader().take(Buffer.concat(wire.packets))).at(-1)).toEqual({ type: 'pong' })
  })

  it('sends much at once, in packets of 64 KiB or of one record, and never writes twice to the same bytes', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new Random(seed)
      const copies: string[] = []
      const wire = new Wire()
      const records: WireRecord[] = []
      for (let count = 0; count < 300; count++) {
        const length = random.pick([1, 50, 1_000, 20_000, 70_000])
        const record: WireRecord = { type: 'send', request: count, to: 'g.c', data: `${count} `.padEnd(length, '.') }
        records.push(record)
        wire.write(record)
        while (copies.length < wire.packets.length) copies.push(wire.packets[copies.length]?.toString('latin1') ?? '')
        if (random.chance(0.05)) wire.outbox.flush()
      }
      const { bytes } = wire
      for (const [index, copy] of copies.entries()) expect(wire.packets[index]?.toString('latin1')).toBe(copy)
      expect(wire.packets.every(({ length }) => length <= 64 * 1024 + 70_100)).toBe(true)
      expect(readAll(new PacketReader().take(bytes))).toEqual(records)
    }
  })
})

describe('packets', () => {
  it.each([0, 1, 4, MAX_PACKET_BYTES + 1, MAX_NUMBER])('a length of %d makes no sense', (length) => {
    const head = Buffer.alloc(8)
    head.writeUInt32BE(length)
    expect(() => new PacketReader().take(head)).toThrow(`a packet says that it has ${length} bytes`)
    expect(() => measurePacket(head)).toThrow(RangeError)
  })

  it('are measured as soon as their head is there, and not before', () => {
    const { bytes } = new Wire().write({ type: 'ping' })
    expect([0, 3].map((length) => measurePacket(bytes.subarray(0, length)))).toEqual([0, 0])
    expect(measurePacket(bytes.subarray(0, 4))).toBe(bytes.length)
    expect(PACKETS.decode(bytes, null as unknown as Connection<Uint8Array>)).toEqual(bytes.subarray(4))
  })

  it('of 40 MiB that come in small pieces are not copied again and again', () => {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(MAX_PACKET_BYTES)
    const reader = new PacketReader()
    const piece = Buffer.alloc(16 * 1024)
    reader.take(head)
    const startedAt = performance.now()
    for (let left = MAX_PACKET_BYTES - 4; left > 0; left -= piece.length) {
      const packets = reader.take(piece.subarray(0, left))
      if (packets.length > 0) expect(packets[0]?.length).toBe(MAX_PACKET_BYTES - 4)
    }
    // 2 560 pieces: copied at each, that would be 50 GB
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })
})
