/** What is put off in a turn is written once, behind everything else of that turn. */
import { expect, it } from 'vitest'
import { Outbox } from '../../../src/gateway/wire/packets.ts'
import { readRecords, type WireRecord, writeRecord } from '../../../src/gateway/wire/records.ts'

function opened(): { outbox: Outbox; packets: WireRecord[][] } {
  const packets: WireRecord[][] = []
  const outbox = new Outbox((packet) => {
    const records: WireRecord[] = []
    readRecords(packet.subarray(4), (record) => records.push(record))
    packets.push(records)
  })
  return { outbox, packets }
}

it('is written last, and sent also when there is nothing else', async () => {
  const { outbox, packets } = opened()
  const late = { writeLate: () => writeRecord(outbox, { type: 'ack', client: 1, event: 7 }) }
  outbox.defer(late)
  writeRecord(outbox, { type: 'ping' })
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  outbox.defer(late)
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  const ack = { type: 'ack', client: 1, event: 7 }
  expect(packets).toEqual([[{ type: 'ping' }, ack], [ack]])
})

it('goes with what is sent at once, and is written no second time', async () => {
  const { outbox, packets } = opened()
  writeRecord(outbox, { type: 'ping' })
  outbox.defer({ writeLate: () => writeRecord(outbox, { type: 'ack', client: 1, event: 7 }) })
  outbox.flush()
  await new Promise((resolve) => setImmediate(resolve))
  expect(packets).toEqual([[{ type: 'ping' }, { type: 'ack', client: 1, event: 7 }]])
})

it('may itself be more than a packet', () => {
  const { outbox, packets } = opened()
  const texts = Array.from({ length: 40 }, (_, index) => String(index).repeat(4_000))
  for (const value of texts) outbox.defer({ writeLate: () => writeRecord(outbox, { type: 'state', client: 1, value }) })
  outbox.flush()
  expect(packets.length).toBeGreaterThan(1)
  expect(packets.flat().map((record) => 'value' in record && record.value)).toEqual(texts)
})
