/** What befalls gateways and the links to them: killed, frozen, spoken to by who knows not how. */
import { existsSync, readdirSync, utimesSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { Outbox } from '../../src/gateway/wire/packets.ts'
import { type WireRecord, writeRecord } from '../../src/gateway/wire/records.ts'
import { freeze, signal, thaw } from '../helpers/faults.ts'
import { ask, type Caller, GatewayFleet, type Guest, type Outcome } from '../helpers/gatewayfleet.ts'
import { HELD, heldBytesOf } from '../helpers/held.ts'
import { until } from '../helpers/processes.ts'

it('the clients of a killed gateway are gone at once on every side, and its successor is found, with ids of its own', async () => {
  const fleet = await GatewayFleet.start()
  const [lost, kept] = await fleet.comeToBoth(4)
  const [first, watcher] = [lost[0] as Guest, kept[0] as Guest]
  for (const [index, { id }] of [...lost, ...kept].entries()) {
    await ask(fleet.web, 'bindUid', id, index < 4 ? `lost${index}` : `kept${index}`)
    await ask(fleet.web, 'join', id, index < 4 ? 'lost' : 'kept')
    await ask(fleet.web, 'join', id, 'all')
  }
  const keptIds = kept.map(({ id }) => id)
  const callers: Caller[] = [fleet.web, fleet.business(watcher), fleet.business(kept[1] as Guest), fleet.program]
  const lookAround = async (caller: Caller): Promise<void> => {
    expect(await ask(caller, 'clients')).toEqual({ items: keptIds, next: null })
    expect(await ask(caller, 'count')).toBe(4)
    expect(await ask(caller, 'count', { group: 'lost' })).toBe(0)
    expect(await ask(caller, 'uids')).toEqual({ items: ['kept4', 'kept5', 'kept6', 'kept7'], next: null })
    expect(await ask(caller, 'groups')).toEqual({ items: ['all', 'kept'], next: null })
    for (const { id } of lost) {
      expect(await ask(caller, 'isOnline', id)).toBe(false)
      expect(await ask(caller, 'sendTo', id, 'for nobody')).toBe('gone')
      expect(await ask(caller, 'bindUid', id, 'nobody')).toBe(false)
      expect(await ask(caller, 'info', id)).toBe(null)
    }
    expect(await ask(caller, 'sendToGroup', 'all', `by ${caller.name}`)).toMatchObject({ sent: 4, missing: [] })
  }
  const pid = await fleet.pidOf(first)
  signal(fleet.project, pid, 'SIGKILL')
  // at the very moment when a client of it knows
  await first.lines.closed()
  await Promise.all(callers.map(lookAround))

  await expect.poll(() => closings(fleet, lost), { timeout: 20_000 }).toEqual(lost.map(({ id }) => id).sort())
  for (const guest of kept) expect(await guest.heard()).not.toContain('for nobody')

  const [one, other] = await fleet.comeToBoth(1)
  const gateways = new Set([...one, ...other].map(({ gateway }) => gateway))
  expect(gateways.has(watcher.gateway)).toBe(true)
  expect(gateways.has(first.gateway)).toBe(false)
  for (const { id } of [...one, ...other]) expect(await ask(fleet.web, 'sendTo', id, 'hello')).toBe('sent')
  expect(closings(fleet, lost)).toEqual(lost.map(({ id }) => id).sort())
  expect(closings(fleet, kept)).toEqual([])
})

/** Of whom of these business workers were told that they are gone, as often as they were told. */
function closings(fleet: GatewayFleet, guests: readonly Guest[]): string[] {
  return fleet.events
    .filter(({ what, id }) => what === 'close' && guests.some((guest) => guest.id === id))
    .map(({ id }) => id)
    .sort()
}

it('a command that is given while a gateway is killed never lists what is gone, and never fails for it', async () => {
  const fleet = await GatewayFleet.start()
  for (let round = 0; round < 10; round++) {
    const [[lost], [kept]] = (await fleet.comeToBoth(1)) as [Guest[], Guest[]]
    if (!lost || !kept) throw new Error('nobody came')
    await ask(fleet.web, 'bindUid', lost.id, 'lost')
    const asked: Promise<Outcome>[] = []
    const pid = await fleet.pidOf(lost)
    const callers = [fleet.web, fleet.business(kept)]
    const fire = (): void => {
      for (const caller of callers)
        asked.push(caller.try('count'), caller.try('clients'), caller.try('uids'), caller.try('isOnline', lost.id))
    }
    fire()
    signal(fleet.project, pid, 'SIGKILL')
    fire()
    await lost.lines.closed()
    const before = asked.length
    fire()
    for (const outcome of await Promise.all(asked)) expect(outcome).toHaveProperty('value')
    for (const caller of callers) expect(await ask(caller, 'isUidOnline', 'lost')).toBe(false)
    const after = (await Promise.all(asked.slice(before))).map((outcome) => (outcome as { value: unknown }).value)
    expect(after).toEqual(
      callers.flatMap(() => [1, { items: [kept.id], next: null }, { items: [], next: null }, false]),
    )
    kept.close()
    await fleet.until(kept.id, false)
  }
}, 400_000)

it('a frozen gateway costs each command its deadline, is named, and goes on where it was', async () => {
  const fleet = await GatewayFleet.start({ business: { deadlineMs: 3_000 } })
  const [[frozen], others] = await fleet.comeToBoth(6)
  const [served] = others
  if (!frozen || !served) throw new Error('nobody came')
  const { project } = fleet
  const pid = await fleet.pidOf(frozen)
  await freeze(project, pid)
  const business = fleet.business(served)
  const reason = `Gateway ${frozen.gateway} has not answered in time`
  const missing = [{ gateway: frozen.gateway, reason }]
  const late = { error: 'ERR_NO_ANSWER', message: reason }
  const startedAt = performance.now()
  const commands: [told: object, command: string, ...args: unknown[]][] = [
    [late, 'sendTo', frozen.id, 'late'],
    [late, 'isOnline', frozen.id],
    [late, 'setSession', frozen.id, { late: true }],
    [{ ...late, missing }, 'count'],
    [{ ...late, missing }, 'clients'],
    [{ ...late, missing }, 'uids'],
  ]
  // each by a client of its own: what one asks for is done one after another
  const asking = commands.map(async ([told, command, ...args], index) =>
    expect(await fleet.business(others[index] as Guest).try(command, ...args)).toMatchObject(told),
  )
  await Promise.all(asking)
  expect(await ask(business, 'sendToAll', 'to all')).toEqual({ sent: 6, buffered: 0, full: 0, missing })
  expect(performance.now() - startedAt).toBeLessThan(20_000)
  // a program that has never seen it knows no more
  const [told] = await fleet.runProgram([['sendToAll', 'by a program']], {
    startFile: project.startFile,
    deadlineMs: 8_000,
  })
  expect(told).toMatchObject({ value: { sent: 6, missing: [{ gateway: frozen.gateway }] } })
  expect(await served.heard()).toEqual(['to all', 'by a program'])
  expect(await ask(business, 'sendTo', served.id, 'served')).toBe('sent')

  await thaw(project, pid)
  // what comes over another link may be read before
  await frozen.lines.line((line) => line === 'to all')
  expect(await ask(fleet.web, 'sendTo', frozen.id, 'awake')).toBe('sent')
  expect((await frozen.heard()).filter((line) => line !== 'by a program')).toEqual(['late', 'to all', 'awake'])
  expect((await frozen.look()).session).toEqual({ late: true })
  expect(await ask(business, 'count')).toBe(12)
  expect(closings(fleet, [frozen, ...others])).toEqual([])
})

// ---- strangers at the door -----------------------------------------------------------------------------------------

function socketsIn(fleet: GatewayFleet): string[] {
  const links = join(fleet.project.stateDir, 'links')
  return readdirSync(links).map((name) => join(links, name))
}

/** Opens a link by hand; it is closed at the end. */
async function openLink(path: string): Promise<{ socket: Socket; closed: Promise<void> }> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
  socket.resume()
  onTestFinished(() => void socket.destroy())
  return { socket, closed }
}

/** Records in packets, as bytes. */
function packed(...records: WireRecord[]): Buffer {
  const packets: Buffer[] = []
  const outbox = new Outbox((packet) => packets.push(packet))
  for (const record of records) writeRecord(outbox, record)
  outbox.flush()
  return Buffer.concat(packets)
}

const HELLO: WireRecord = { type: 'hello', value: { version: 1, role: 'business', pid: 1, name: 'stranger' } }
const head = (byteLength: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(byteLength)
  return bytes
}

const GARBAGE: Record<string, Buffer> = {
  text: Buffer.from('GET / HTTP/1.1\r\nHost: gateway\r\n\r\n'),
  'a packet of 4 GiB': Buffer.concat([head(0xffff_ffff), Buffer.alloc(1000)]),
  'a packet of no length': head(0),
  'a packet of its head alone': head(4),
  'a first packet of 30 MiB': Buffer.concat([head(30 * 1024 * 1024), Buffer.alloc(64 * 1024)]),
  'a record of no type': Buffer.concat([head(30), Buffer.alloc(26, 0xff)]),
  'no hello': packed({ type: 'serve' }),
  'a hello of nobody': packed({ type: 'hello', value: null }),
  'a hello of another version': packed({ type: 'hello', value: { version: 99, role: 'client', pid: 1, name: '' } }),
  'a hello that is no JSON': packed({ type: 'hello', value: {} }).fill('x', 18),
  'a welcome': packed(HELLO, { type: 'welcome', value: {} }),
  'a request of nothing': packed(HELLO, { type: 'request', request: 1, value: null, data: null }),
  'a request for nobody': packed(HELLO, { type: 'request', request: 1, value: { do: 'send', to: null }, data: 'x' }),
  'a record that is cut off': Buffer.concat([packed(HELLO), head(10), Buffer.alloc(6)]),
  'a record longer than its packet': Buffer.concat([packed(HELLO), head(30), Buffer.alloc(26, 1).fill(255, 10, 14)]),
}

it('who talks nonsense at the socket of a gateway is sent away, logged once, and nobody else notices', async () => {
  const fleet = await GatewayFleet.start({ gateways: "new Gateway('text://127.0.0.1:0', { name: 'gateway' })" })
  const guest = await fleet.come()
  const [path = ''] = socketsIn(fleet)
  for (const [what, bytes] of Object.entries(GARBAGE)) {
    const { socket, closed } = await openLink(path)
    socket.write(bytes)
    await Promise.race([closed, new Promise((_, reject) => setTimeout(reject, 20_000, new Error(`${what} is kept`)))])
    expect(await ask(fleet.web, 'sendTo', guest.id, what)).toBe('sent')
  }
  expect(await guest.heard()).toEqual(Object.keys(GARBAGE))
  // each is told, alone or with how many were not shown; that it speaks another version it was told, and could say itself
  const told = (): number =>
    [...fleet.output.matchAll(/failed(?: \(and (\d+) more\))?: /g)].reduce(
      (sum, [, more = '0']) => sum + 1 + Number(more),
      0,
    )
  await until('all are told', () => told() === Object.keys(GARBAGE).length - 1)
})

it('a hundred links that say nothing, or half of something, cost little and are in nobody’s way', async () => {
  const fleet = await GatewayFleet.start({ gateways: `${HELD}new Gateway('text://127.0.0.1:0', { name: 'gateway' })` })
  const guest = await fleet.come()
  const [path = ''] = socketsIn(fleet)
  const [pid = 0] = await fleet.project.pids('gateway')
  await ask(fleet.web, 'sendToAll', 'warm')
  const before = await heldBytesOf(fleet.project, pid)
  const half = Buffer.concat([head(60 * 1024), Buffer.alloc(59 * 1024)])
  const links = await Promise.all(Array.from({ length: 100 }, () => openLink(path)))
  for (const [index, { socket }] of links.entries()) {
    if (index % 4 === 1) socket.write(half)
    if (index % 4 === 2) socket.write(packed(HELLO))
    if (index % 4 === 3) socket.write(packed(HELLO, { type: 'leave' }, { type: 'ack', client: 7, event: 7 }))
  }
  for (let count = 0; count < 100; count++) expect(await ask(fleet.web, 'sendTo', guest.id, `${count}`)).toBe('sent')
  expect((await guest.heard()).slice(1)).toEqual(Array.from({ length: 100 }, (_, count) => `${count}`))
  expect((await heldBytesOf(fleet.project, pid)) - before).toBeLessThan(16 * 1024 * 1024)
  // none of them says that it serves: none is given a client
  const another = await fleet.come()
  expect(await ask(fleet.web, 'sendTo', another.id, 'hello')).toBe('sent')
})

it('what is no gateway, where gateways are looked for, is named as missing; what is dead is nobody', async () => {
  const fleet = await GatewayFleet.start({ gateways: "new Gateway('text://127.0.0.1:0', { name: 'gateway' })" })
  const guest = await fleet.come()
  const { project } = fleet
  const links = join(project.stateDir, 'links')
  project.write('.shiftwork/start.js/links/file.sock', 'no socket')
  // a socket that is young may be about to listen
  utimesSync(join(links, 'file.sock'), 0, 0)
  const serve = async (name: string, answer: Buffer): Promise<void> => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).resume()
      socket.write(answer)
    })
    await new Promise<void>((resolve) => server.listen(join(links, `${name}.sock`), () => resolve()))
    onTestFinished(() => new Promise((resolve) => void server.close(() => resolve(undefined))))
  }
  await serve('other', packed({ type: 'welcome', value: { version: 2 } }))
  await serve('mad', Buffer.from('220 ready\r\n'))
  for (const caller of [fleet.web, fleet.business(guest)]) {
    const told = (await ask(caller, 'sendToAll', caller.name)) as { sent: number; missing: { gateway: string }[] }
    expect(told.sent).toBe(1)
    expect(told.missing.map(({ gateway }) => gateway).sort()).toEqual(['mad', 'other'])
    expect(await caller.try('count')).toMatchObject({ error: 'ERR_NO_ANSWER' })
    expect(await ask(caller, 'sendTo', guest.id, 'hello')).toBe('sent')
    expect(await caller.try('sendTo', 'other.client', 'hello')).toMatchObject({ error: 'ERR_NO_ANSWER' })
    expect(await ask(caller, 'sendTo', 'file.client', 'hello')).toBe('gone')
  }
  const { missing } = (await ask(fleet.web, 'sendToAll', 'x')) as { missing: { gateway: string; reason: string }[] }
  expect(missing.find(({ gateway }) => gateway === 'other')?.reason).toBe(
    'The gateway other speaks version 2 of links, this is 1. Restart its group: reload --force NAME.',
  )
  expect(existsSync(join(links, 'file.sock'))).toBe(true)
})

it('who asks and never listens is cut off, and the gateway serves on', async () => {
  const fleet = await GatewayFleet.start({ gateways: `${HELD}new Gateway('text://127.0.0.1:0', { name: 'gateway' })` })
  const guest = await fleet.come()
  const [pid = 0] = await fleet.project.pids('gateway')
  await ask(fleet.web, 'setSession', guest.id, { much: 'x'.repeat(15_000) })
  const before = await heldBytesOf(fleet.project, pid)
  const { socket, closed } = await openLink(socketsIn(fleet)[0] ?? '')
  socket.pause()
  const info: WireRecord = { type: 'request', request: 1, value: { do: 'info', client: guest.id }, data: null }
  const questions = packed(...Array.from({ length: 500 }, () => info))
  socket.write(packed(HELLO))
  const flood = setInterval(() => socket.writableLength < 1024 * 1024 && socket.write(questions), 5)
  // what it was told and has not read is not read to the end before it hears of that
  socket.once('error', () => undefined)
  await expect.poll(() => socket.errored !== null || socket.destroyed, { timeout: 60_000 }).toBe(true)
  clearInterval(flood)
  socket.destroy()
  await closed
  expect((await heldBytesOf(fleet.project, pid)) - before).toBeLessThan(16 * 1024 * 1024)
  expect(await ask(fleet.web, 'sendTo', guest.id, 'hello')).toBe('sent')
  expect(await guest.heard()).toEqual(['hello'])
})
