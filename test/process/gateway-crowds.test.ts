/** Limits of gateways: clients that do not read, ten thousand of them, messages of every length, floods of commands. */
import { connect, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { freeze, thaw } from '../helpers/faults.ts'
import { ask, GatewayFleet, type Outcome } from '../helpers/gatewayfleet.ts'
import { HELD, heldBytesOf } from '../helpers/held.ts'

const MIB = 1024 * 1024
/** How long much of something takes is the machine's business. */
const PATIENT = { business: { deadlineMs: 60_000 }, client: { deadlineMs: 60_000 } }
const ONE_GATEWAY = `${HELD}new Gateway('text://127.0.0.1:0', { name: 'gateway' })`

it('a client that does not read costs what its buffer may hold, and nobody else anything', async () => {
  const fleet = await GatewayFleet.start({ ...PATIENT, gateways: ONE_GATEWAY })
  const [deaf, other] = [await fleet.come(), await fleet.come()]
  const pids = [...(await fleet.project.pids('gateway')), ...(await fleet.project.pids('business'))]
  const held = (): Promise<number[]> => Promise.all(pids.map((pid) => heldBytesOf(fleet.project, pid)))
  const before = await held()
  deaf.lines.socket.pause()
  const told: unknown[] = []
  for (let count = 0; told.at(-1) !== 'full'; count++) {
    told.push(await ask(fleet.web, 'sendTo', deaf.id, `${count} ${'x'.repeat(64 * 1024)}`))
    expect(told.length).toBeLessThan(1_000)
  }
  // first the kernel's buffers, then the gateway's, then nothing more
  expect(told).toEqual([...told].sort((one, next) => ORDER.indexOf(one) - ORDER.indexOf(next)))
  expect(told.filter((what) => what === 'buffered').length).toBeGreaterThan(10)
  for (let round = 0; round < 4; round++) {
    const flood = await ask(fleet.web, 'many', 500, 'sendTo', deaf.id, { repeat: 64 * 1024 })
    expect(flood).toEqual({ '"full"': 500 })
  }
  expect(await ask(fleet.web, 'sendToAll', 'to all')).toEqual({ sent: 1, buffered: 0, full: 1, missing: [] })
  expect(await other.heard()).toEqual(['to all'])
  for (const [index, bytes] of (await held()).entries())
    expect(bytes - (before[index] as number)).toBeLessThan(20 * MIB)

  const promised = told.slice(0, -1).map((_, count) => `${count}`)
  deaf.lines.socket.resume()
  await deaf.lines.line((line) => line.startsWith(`${promised.length - 1} `))
  expect(deaf.messages.map((line) => line.split(' ')[0])).toEqual(promised)
  await expect
    .poll(() => fleet.web.try('sendTo', deaf.id, 'hears again'), { timeout: 20_000 })
    .toEqual({ value: 'sent' })
})

const ORDER: unknown[] = ['sent', 'buffered', 'full']

// ---- a crowd -------------------------------------------------------------------------------------------------------

/** Many clients as cheap as they can be: what each has heard, as text. */
class Crowd {
  readonly heard: string[] = []
  readonly #sockets: Socket[] = []

  async grow(port: number, count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.#add(port)))
  }

  #add(port: number): Promise<void> {
    const index = this.heard.push('') - 1
    const socket = connect({ port, host: '127.0.0.1' })
    this.#sockets.push(socket)
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.heard[index] += text
    })
    return new Promise((resolve, reject) => socket.once('error', reject).once('connect', () => resolve()))
  }

  /** Waits until everybody has heard so many lines. */
  async lines(count: number): Promise<void> {
    const isBehind = (text: string): boolean => text.split('\n').length <= count
    await expect.poll(() => this.heard.filter(isBehind).length, { timeout: 60_000, interval: 50 }).toBe(0)
  }

  end(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

const CROWD_APP = `
import { attempt } from './commands.js'
export const hooks = {
  onConnect: async (client) => { await client.join('crowd') },
  onMessage: async (client, text) => {
    const { ask, command, args } = JSON.parse(text)
    await client.send('answer ' + ask + ' ' + JSON.stringify(await attempt(client.gateways, command, args)))
  },
}
`

it('a group of ten thousand hears each message exactly once, from whoever it comes', async () => {
  const fleet = await GatewayFleet.start({ ...PATIENT, app: CROWD_APP })
  const crowd = new Crowd()
  onTestFinished(() => crowd.end())
  for (let count = 0; count < 10_000; count += 250) await crowd.grow(fleet.port, 250)
  await expect.poll(() => fleet.web.try('count', { group: 'crowd' }), { timeout: 60_000 }).toEqual({ value: 10_000 })
  const told = await Promise.all([
    ask(fleet.web, 'sendToGroup', 'crowd', 'one'),
    ask(fleet.web, 'sendToGroup', ['crowd', 'crowd', 'nobody'], 'two'),
    ask(fleet.web, 'sendToAll', 'three'),
  ])
  for (const deliveries of told) expect(deliveries).toMatchObject({ full: 0, missing: [] })
  for (const { sent, buffered } of told as { sent: number; buffered: number }[]) expect(sent + buffered).toBe(10_000)
  await crowd.lines(3)
  for (const text of crowd.heard) expect(text.split('\n').sort()).toEqual(['', 'one', 'three', 'two'])

  const ids = await pageThrough(fleet)
  expect([ids.length, new Set(ids).size]).toEqual([10_000, 10_000])
  expect(await ask(fleet.web, 'dissolve', 'crowd')).toBe(10_000)
  expect(await ask(fleet.web, 'sendToGroup', 'crowd', 'four')).toEqual({ sent: 0, buffered: 0, full: 0, missing: [] })
  crowd.end()
  await expect.poll(() => fleet.web.try('count'), { timeout: 60_000 }).toEqual({ value: 0 })
})

async function pageThrough(fleet: GatewayFleet): Promise<string[]> {
  const ids: string[] = []
  for (let after: string | null = ''; after !== null; ) {
    const options = { limit: 999, ...(after !== '' && { after }) }
    const page = (await ask(fleet.web, 'clients', {}, options)) as { items: string[]; next: string | null }
    ids.push(...page.items)
    after = page.next
  }
  return ids
}

// ---- long messages -------------------------------------------------------------------------------------------------

it('a command carries 32 MiB, and not a byte more; what is refused has not begun', async () => {
  const most = 32 * MIB
  const gateways = `new Gateway('text://127.0.0.1:0', { name: 'gateway', maxSendBufferBytes: ${4 * most} })`
  const fleet = await GatewayFleet.start({ ...PATIENT, gateways })
  const guest = await fleet.come()
  for (const caller of [fleet.web, fleet.business(guest)]) {
    const before = guest.messages.length
    expect(await ask(caller, 'sendTo', guest.id, { repeat: most })).toMatch(/sent|buffered/)
    await expect.poll(() => guest.messages.length, { timeout: 30_000 }).toBe(before + 1)
    expect(guest.messages.at(-1)?.length).toBe(most)
    const refused = {
      error: 'ERR_MESSAGE_TOO_LARGE',
      message: `A message has ${most + 1} bytes, at most ${most} are sent`,
      hint: 'Send it in parts.',
    }
    const longer = { repeat: most + 1 }
    expect(await caller.try('sendTo', guest.id, longer)).toEqual(refused)
    expect(await caller.try('sendToAll', longer)).toEqual(refused)
    expect(await caller.try('close', guest.id, { data: longer })).toEqual(refused)
    const tooMuch = { error: 'ERR_MESSAGE_TOO_LARGE' }
    // whatever stands around it must fit, too
    expect(await caller.try('setSession', guest.id, { much: { repeat: 41 * MIB } })).toMatchObject(tooMuch)
    const exclude = [{ repeat: 41 * MIB }]
    expect(await caller.try('sendToAll', 'x', { exclude })).toMatchObject(tooMuch)
    expect(await caller.try('sendTo', `${guest.id}${'x'.repeat(1000)}`, 'x')).toEqual({ value: 'gone' })
    expect(await ask(caller, 'sendTo', guest.id, `after all by ${caller.name}`)).toBe('sent')
    await guest.lines.line((line) => line === `after all by ${caller.name}`)
  }
  expect(await guest.heard()).toHaveLength(4)
})

it('a client says maxMessageBytes at once, and with a byte more it is sent away alone', async () => {
  const most = 32 * MIB
  const gateways = `new Gateway('text://127.0.0.1:0', { name: 'gateway', maxMessageBytes: ${most}, queue: { maxBytes: ${2 * most} } })`
  const fleet = await GatewayFleet.start({ gateways })
  const [speaker, other] = [await fleet.come(), await fleet.come()]
  speaker.lines.send('y'.repeat(most - 1))
  const heard = await speaker.lines.line((line) => line.startsWith('heard '))
  expect(heard).toBe(`heard ${most - 1} characters`)
  speaker.lines.send('y'.repeat(most))
  await speaker.lines.closed()
  await fleet.until(speaker.id, false)
  expect(await ask(fleet.web, 'sendTo', other.id, 'hello')).toBe('sent')
})

it('bytes that are no text, and longer as text than a link can take, cost their client its connection, and nobody else anything', async () => {
  const gateways = `new Gateway('text://127.0.0.1:0', { name: 'gateway', maxMessageBytes: ${20 * MIB}, queue: { maxBytes: ${100 * MIB} } })`
  const fleet = await GatewayFleet.start({ gateways })
  const others = [await fleet.come(), await fleet.come(), await fleet.come(), await fleet.come()]
  for (let round = 0; round < 3; round++) {
    const speaker = await fleet.come()
    // each of them becomes three
    speaker.lines.socket.write(Buffer.alloc(15 * MIB, 0xff))
    speaker.lines.socket.write('\n')
    await speaker.lines.closed()
    await fleet.until(speaker.id, false)
  }
  for (const other of others) {
    other.lines.send('still there?')
    expect(await other.lines.line((line) => line.startsWith('heard '))).toBe('heard still there?')
  }
  expect(fleet.output).toContain('at most 33554432 pass a gateway')
})

// ---- floods --------------------------------------------------------------------------------------------------------

it('tens of thousands of commands at once are all answered, in their order', async () => {
  const fleet = await GatewayFleet.start(PATIENT)
  const guest = await fleet.come()
  const answers = await Promise.all([
    ask(fleet.web, 'many', 20_000, 'sendTo', guest.id, 'x'),
    ask(fleet.web, 'many', 5_000, 'setSession', guest.id, { a: 1 }),
    ask(fleet.business(guest), 'many', 5_000, 'count'),
  ])
  const [sent, ...others] = answers as Record<string, number>[]
  expect((sent?.['"sent"'] ?? 0) + (sent?.['"buffered"'] ?? 0)).toBe(20_000)
  expect(others).toEqual([{ true: 5_000 }, { 1: 5_000 }])
  expect((await guest.heard()).length).toBe(20_000)
})

it('what is said to a frozen gateway is bounded: beyond 64 MiB it is refused at once, and nothing is lost of the rest', async () => {
  const fleet = await GatewayFleet.start({ gateways: ONE_GATEWAY, business: { deadlineMs: 1_500 } })
  const guest = await fleet.come()
  const { project } = fleet
  const [pid = 0] = await project.pids('gateway')
  const [web = 0] = await project.pids('web')
  expect(await ask(fleet.web, 'count')).toBe(1)
  await freeze(project, pid)
  const before = await heldBytesOf(project, web)
  const asking = ask(fleet.web, 'many', 200, 'sendTo', guest.id, { repeat: MIB }, { deadlineMs: 1_500 })
  const told = (await asking) as Record<string, number>
  expect(Object.keys(told).sort()).toEqual(['ERR_NO_ANSWER', 'ERR_SEND_BUFFER_FULL'])
  expect(told['ERR_NO_ANSWER']).toBeLessThan(70)
  expect((told['ERR_NO_ANSWER'] ?? 0) + (told['ERR_SEND_BUFFER_FULL'] ?? 0)).toBe(200)
  expect((await heldBytesOf(project, web)) - before).toBeLessThan(80 * MIB)
  await thaw(project, pid)
  await expect.poll((): Promise<Outcome> => fleet.web.try('count'), { timeout: 20_000 }).toEqual({ value: 1 })
  // what the gateway could keep for its client may fill its buffer for a while
  const say = (): Promise<Outcome> => fleet.web.try('sendTo', guest.id, 'goes on')
  await expect.poll(say, { timeout: 20_000 }).toEqual({ value: expect.stringMatching(/sent|buffered/) as string })
  await guest.lines.line((line) => line === 'goes on')
  // each arrives whole that the gateway could keep for its client
  expect(guest.messages.every((line) => line === 'goes on' || line.length === MIB)).toBe(true)
})
