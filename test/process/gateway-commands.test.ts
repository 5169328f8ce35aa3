/** Every command of gateways, from wherever it may be given, with clients on two gateway processes. */
import { expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { Figures } from '../../src/ipc/status.ts'
import { ask, type Caller, GatewayFleet, type Guest } from '../helpers/gatewayfleet.ts'

/** Each kind of caller: a business worker, a worker of the fleet, a program that is none. */
function callersOf(fleet: GatewayFleet, guest: Guest): Caller[] {
  return [fleet.business(guest), fleet.web, fleet.program]
}

/** Who has heard this, by the names of the guests. */
async function hearers(guests: Record<string, Guest>, message: string): Promise<string[]> {
  const names: string[] = []
  for (const [name, guest] of Object.entries(guests))
    for (const heard of await guest.heard()) if (heard === message) names.push(name)
  return names
}

async function settled(fleet: GatewayFleet): Promise<Record<'a1' | 'a2' | 'a3' | 'b1' | 'b2' | 'b3', Guest>> {
  const [[a1, a2, a3], [b1, b2, b3]] = (await fleet.comeToBoth(3)) as [Guest[], Guest[]]
  return { a1, a2, a3, b1, b2, b3 } as Record<'a1' | 'a2' | 'a3' | 'b1' | 'b2' | 'b3', Guest>
}

it('messages reach whom they are for, each once, on both gateways, from every caller', async () => {
  const fleet = await GatewayFleet.start()
  const guests = await settled(fleet)
  const { a1, a2, a3, b1, b2, b3 } = guests
  const deliveries = (sent: number): unknown => ({ sent, buffered: 0, full: 0, missing: [] })
  for (const caller of callersOf(fleet, b3)) {
    const said = async (command: string, to: unknown, options?: unknown): Promise<[unknown, string[]]> => {
      const message = `${command} ${JSON.stringify([to, options])} by ${caller.name}`
      const args = [...(to === undefined ? [message] : [to, message]), ...(options === undefined ? [] : [options])]
      const told = await ask(caller, command, ...args)
      return [told, await hearers(guests, message)]
    }
    for (const { id } of [a1, b1]) expect(await ask(caller, 'bindUid', id, 'anna')).toBe(true)
    expect(await ask(caller, 'bindUid', a2.id, 'bert')).toBe(true)
    for (const { id } of [a1, a2, b1]) expect(await ask(caller, 'join', id, 'red')).toBe(true)
    for (const { id } of [a1, b2]) expect(await ask(caller, 'join', id, 'blue')).toBe(true)

    expect(await said('sendTo', b2.id)).toEqual(['sent', ['b2']])
    expect(await said('sendToUid', 'anna')).toEqual([deliveries(2), ['a1', 'b1']])
    expect(await said('sendToUid', ['anna', 'bert', 'nobody'])).toEqual([deliveries(3), ['a1', 'a2', 'b1']])
    expect(await said('sendToUid', 'nobody')).toEqual([deliveries(0), []])
    expect(await said('sendToGroup', 'red')).toEqual([deliveries(3), ['a1', 'a2', 'b1']])
    expect(await said('sendToGroup', ['red', 'blue', 'red'])).toEqual([deliveries(4), ['a1', 'a2', 'b1', 'b2']])
    expect(await said('sendToGroup', 'red', { exclude: a1.id })).toEqual([deliveries(2), ['a2', 'b1']])
    const exclude = [a1.id, b2.id, 'of.nobody', '']
    expect(await said('sendToGroup', ['red', 'blue'], { exclude })).toEqual([deliveries(2), ['a2', 'b1']])
    expect(await said('sendToGroup', [])).toEqual([deliveries(0), []])
    const all = Object.keys(guests)
    expect(await said('sendToAll', undefined)).toEqual([deliveries(6), all])
    const others = all.filter((name) => name !== 'b3')
    expect(await said('sendToAll', undefined, { exclude: b3.id })).toEqual([deliveries(5), others])
    // bytes are as good as text
    const told = await ask(caller, 'sendTo', a3.id, { bytes: Buffer.from(`ŷ by ${caller.name}`).toString('base64') })
    expect([told, await hearers(guests, `ŷ by ${caller.name}`)]).toEqual(['sent', ['a3']])

    expect(await ask(caller, 'dissolve', 'red')).toBe(3)
    expect(await ask(caller, 'dissolve', 'red')).toBe(0)
    expect(await ask(caller, 'leave', a1.id, 'blue')).toBe(true)
    expect(await ask(caller, 'leave', b2.id, 'blue')).toBe(true)
    expect(await said('sendToGroup', ['red', 'blue'])).toEqual([deliveries(0), []])
    for (const { id } of [a1, a2, b1]) expect(await ask(caller, 'unbindUid', id)).toBe(true)
    expect(await said('sendToUid', ['anna', 'bert'])).toEqual([deliveries(0), []])
  }
})

it('who is there is told whole, from every caller, and page by page each exactly once', async () => {
  const fleet = await GatewayFleet.start()
  const [one, other] = await fleet.comeToBoth(4)
  const guests = [...one, ...other]
  for (const [index, { id }] of guests.entries()) {
    await ask(fleet.web, 'bindUid', id, `u${index % 5}`)
    await ask(fleet.web, 'join', id, 'all')
    await ask(fleet.web, 'join', id, `g${index % 3}`)
    if (index % 2 === 0) await ask(fleet.web, 'join', id, 'even')
  }
  const ids = guests.map(({ id }) => id).sort()
  for (const caller of callersOf(fleet, guests[0] as Guest)) {
    expect(await ask(caller, 'count')).toBe(8)
    expect(await ask(caller, 'count', { group: 'even' })).toBe(4)
    expect(await ask(caller, 'count', { group: ['even', 'g0'] })).toBe(5)
    expect(await ask(caller, 'count', { uid: ['u0', 'u4'] })).toBe(3)
    expect(await ask(caller, 'isUidOnline', 'u4')).toBe(true)
    expect(await ask(caller, 'isUidOnline', 'u5')).toBe(false)
    expect(await ask(caller, 'isOnline', ids[0])).toBe(true)
    expect(await ask(caller, 'isOnline', `${ids[0]}x`)).toBe(false)
    expect(await ask(caller, 'isOnline', 'nonsense')).toBe(false)
    expect(await ask(caller, 'uids')).toEqual({ items: ['u0', 'u1', 'u2', 'u3', 'u4'], next: null })
    expect(await ask(caller, 'groups')).toEqual({ items: ['all', 'even', 'g0', 'g1', 'g2'], next: null })
  }
  for (const limit of [1, 2, 3, 4, 5, 7, 8, 9]) {
    expect((await pages(fleet.web, 'clients', limit, {})).sort()).toEqual(ids)
    const even = guests.filter((_, index) => index % 2 === 0).map(({ id }) => id)
    expect((await pages(fleet.web, 'clients', limit, { group: 'even' })).sort()).toEqual(even.sort())
    expect(await pages(fleet.web, 'uids', limit)).toEqual(['u0', 'u1', 'u2', 'u3', 'u4'])
    expect(await pages(fleet.web, 'groups', limit)).toEqual(['all', 'even', 'g0', 'g1', 'g2'])
  }
})

/** All items, page by page; none may have more than asked for, and none is empty. */
async function pages(caller: Caller, command: string, limit: number, ...where: unknown[]): Promise<string[]> {
  const items: string[] = []
  let after: string | null = null
  do {
    const options = { limit, ...(after !== null && { after }) }
    const page = (await ask(caller, command, ...where, options)) as { items: string[]; next: string | null }
    expect(page.items.length).toBeLessThanOrEqual(limit)
    expect(page.items).not.toEqual([])
    items.push(...page.items)
    after = page.next
  } while (after !== null)
  return items
}

it('a client looks the same to everybody: to its business worker at once, and to the successor after a reload', async () => {
  const fleet = await GatewayFleet.start()
  const guests = await settled(fleet)
  const { a1, b1 } = guests
  const fresh = await a1.look()
  const port = a1.lines.socket.localPort
  const basis = { id: a1.id, remoteAddress: '127.0.0.1', remotePort: port, protocol: 'text' }
  expect(fresh).toMatchObject({ ...basis, uid: null, groups: [], session: {} })
  expect(Math.abs(Date.now() - fresh.connectedAt)).toBeLessThan(60_000)

  // its own changes, as soon as they are answered
  expect((await a1.ask('client', 'bindUid', 'anna')).after.uid).toBe('anna')
  expect((await a1.ask('client', 'bindUid', 'berta')).after.uid).toBe('berta')
  expect((await a1.ask('client', 'join', 'red')).after.groups).toEqual(['red'])
  expect((await a1.ask('client', 'join', 'blue')).after.groups).toEqual(['red', 'blue'])
  expect((await a1.ask('client', 'join', 'blue')).after.groups).toEqual(['red', 'blue'])
  expect((await a1.ask('client', 'leave', 'red')).after.groups).toEqual(['blue'])
  expect((await a1.ask('client', 'leave', 'red')).after.groups).toEqual(['blue'])
  const set = { name: 'ä', list: [1, { deep: null }], zero: 0, none: null }
  expect((await a1.ask('client', 'setSession', set)).after.session).toEqual({
    name: 'ä',
    list: [1, { deep: null }],
    zero: 0,
  })
  expect((await a1.ask('client', 'setSession', { name: null, zero: 1 })).after.session).toEqual({
    list: [1, { deep: null }],
    zero: 1,
  })

  // and others' changes: a worker's, a program's, that of another client's worker
  for (const caller of [fleet.web, fleet.program, fleet.business(b1)]) {
    expect(await ask(caller, 'setSession', a1.id, { by: caller.name })).toBe(true)
    expect(await ask(caller, 'bindUid', a1.id, caller.name)).toBe(true)
    expect(await ask(caller, 'join', a1.id, caller.name)).toBe(true)
    const seen = await a1.look()
    expect([seen.session['by'], seen.uid, seen.groups.includes(caller.name)]).toEqual([caller.name, caller.name, true])
  }
  expect(await ask(fleet.web, 'dissolve', 'program')).toBe(1)
  expect(await ask(fleet.program, 'unbindUid', a1.id)).toBe(true)
  const { pid, connectedAt, ...state } = await a1.look()
  expect(state).toEqual({
    ...basis,
    uid: null,
    groups: ['blue', 'web', 'business'],
    session: { list: [1, { deep: null }], zero: 1, by: 'business' },
  })
  for (const caller of callersOf(fleet, b1)) {
    expect(await ask(caller, 'info', a1.id)).toEqual({ ...state, connectedAt })
    expect(await ask(caller, 'session', a1.id)).toEqual(state.session)
    expect(await ask(caller, 'info', 'nobody.x')).toBe(null)
    expect(await ask(caller, 'session', 'nobody.x')).toBe(null)
  }

  expect((await fleet.project.reload('business')).code).toBe(0)
  const after = await a1.look()
  expect(after).toEqual({ ...state, connectedAt, pid: after.pid })
  expect(after.pid).not.toBe(pid)
  expect((await a1.ask('client', 'setSession', { more: true })).after.session).toEqual({ ...state.session, more: true })
})

it('of two who write the same fields at once, one comes last, and everybody sees the same', async () => {
  const fleet = await GatewayFleet.start()
  const { a1, b1 } = await settled(fleet)
  const write = async (caller: Caller, from: number): Promise<void> => {
    for (let count = from; count < 100; count += 2)
      await ask(caller, 'setSession', a1.id, { [`f${count % 7}`]: count % 5 === 0 ? null : count, last: count })
  }
  await Promise.all([write(fleet.web, 0), write(fleet.business(b1), 1), write(fleet.business(a1), 0)])
  const session = await ask(fleet.web, 'session', a1.id)
  expect((await a1.look()).session).toEqual(session)
  expect(await ask(fleet.program, 'session', a1.id)).toEqual(session)
})

it('a session has at most maxSessionBytes: one more is a clear error, and changes nothing', async () => {
  const gateways = "new Gateway('text://127.0.0.1:0', { name: 'gateway', count: 2, maxSessionBytes: 100 })"
  const fleet = await GatewayFleet.start({ gateways })
  const guest = await fleet.come()
  const around = Buffer.byteLength(JSON.stringify({ keep: 1, text: '' }))
  await ask(fleet.web, 'setSession', guest.id, { keep: 1 })
  for (const caller of callersOf(fleet, guest)) {
    const fits = 'ä'.repeat((100 - around) >> 1) + 'x'.repeat((100 - around) % 2)
    expect(await ask(caller, 'setSession', guest.id, { text: fits })).toBe(true)
    expect(await caller.try('setSession', guest.id, { keep: 2, text: `${fits}x` })).toEqual({
      error: 'ERR_MESSAGE_TOO_LARGE',
      message: 'The session would have 101 bytes, at most 100 are kept',
      hint: 'Keep less in it, or raise maxSessionBytes of the gateway.',
    })
    expect((await guest.look()).session).toEqual({ keep: 1, text: fits })
    expect(await ask(caller, 'session', guest.id)).toEqual({ keep: 1, text: fits })
    // removing is always possible
    expect(await ask(caller, 'setSession', guest.id, { text: null })).toBe(true)
  }
})

it('a client that is closed has heard its last words, and is nobody from the answer on', async () => {
  const fleet = await GatewayFleet.start()
  const { a1, a2, a3, b1 } = await settled(fleet)
  for (const [caller, victim] of [
    [fleet.web, a1],
    [fleet.program, a2],
    [fleet.business(b1), a3],
  ] as const) {
    await ask(fleet.web, 'bindUid', victim.id, 'victim')
    await ask(fleet.web, 'join', victim.id, 'victims')
    expect(await ask(caller, 'close', victim.id, { data: 'farewell' })).toBe(true)
    expect(await ask(caller, 'isOnline', victim.id)).toBe(false)
    expect(await ask(caller, 'isUidOnline', 'victim')).toBe(false)
    expect(await ask(caller, 'sendTo', victim.id, 'too late')).toBe('gone')
    expect(await ask(caller, 'close', victim.id)).toBe(false)
    expect(await ask(caller, 'join', victim.id, 'other')).toBe(false)
    expect(await ask(caller, 'setSession', victim.id, { a: 1 })).toBe(false)
    expect(await ask(caller, 'uids')).toEqual({ items: [], next: null })
    expect(await ask(caller, 'groups')).toEqual({ items: [], next: null })
    await victim.lines.closed()
    expect(victim.messages).toEqual(['farewell'])
  }
  expect(await ask(fleet.web, 'count')).toBe(3)
})

it('a client that leaves by itself is nobody from the moment on when it knows', async () => {
  const fleet = await GatewayFleet.start()
  for (let round = 0; round < 50; round++) {
    const guest = await fleet.come()
    await ask(fleet.web, 'bindUid', guest.id, 'anna')
    guest.lines.socket.end()
    await guest.lines.closed()
    expect(await ask(fleet.web, 'isOnline', guest.id)).toBe(false)
    expect(await ask(fleet.web, 'count', { uid: 'anna' })).toBe(0)
    expect(await ask(fleet.web, 'uids')).toEqual({ items: [], next: null })
  }
})

it('what is asked wrongly is told as one sentence, and nothing is done', async () => {
  const fleet = await GatewayFleet.start()
  const guest = await fleet.come()
  await ask(fleet.web, 'join', guest.id, 'room')
  const long = 'ä'.repeat(257)
  const wrong: [sentence: string, command: string, ...args: unknown[]][] = [
    ['The id of a client is text, not a number', 'sendTo', 7, 'x'],
    ['The id of a client is text, not null', 'sendTo', null, 'x'],
    ['The id of a client is text, not an object', 'info', { id: guest.id }],
    ['Only text and bytes can be sent, not a number', 'sendTo', guest.id, 7],
    ['Only text and bytes can be sent, not an object', 'sendToAll', { type: 'message' }],
    ['Only text and bytes can be sent, not null', 'sendToGroup', 'room', null],
    // what is undefined by mistake is not everybody
    ['A group is text, not null', 'sendToGroup', null, 'x'],
    ['A uid is text, not a number', 'sendToUid', 7, 'x'],
    ['A uid is text, not null', 'sendToUid', ['anna', null], 'x'],
    ['A group is text, and not empty', 'sendToGroup', '', 'x'],
    ['A group is text, and not empty', 'join', guest.id, ''],
    ['A group is text, and not empty', 'leave', guest.id, ''],
    ['A group is text, and not empty', 'dissolve', ''],
    ['A group has at most 512 bytes', 'join', guest.id, long],
    ['A uid has at most 512 bytes', 'bindUid', guest.id, long],
    ['A uid is text, and not empty', 'bindUid', guest.id, ''],
    ['A uid is text, not null', 'isUidOnline', null],
    ['A group is text, not null', 'count', { group: null }],
    ['Clients are not found by groups, but by uid or group', 'count', { groups: ['room'] }],
    ['Clients are not found by name, but by uid or group', 'clients', { name: 'x' }],
    ['The id of a client is text, not a number', 'sendToAll', 'x', { exclude: [guest.id, 7] }],
    ['deadlineMs is 0', 'sendTo', guest.id, 'x', { deadlineMs: 0 }],
    ['deadlineMs is soon', 'sendToAll', 'x', { deadlineMs: 'soon' }],
    ['A page has from 1 to 10000 entries', 'clients', {}, { limit: 0 }],
    ['A page has from 1 to 10000 entries', 'uids', { limit: 10_001 }],
    ['A page has from 1 to 10000 entries', 'groups', { limit: '5' }],
    ['A page comes after `next` of the one before', 'groups', { after: 5 }],
    ['A session is changed by an object of fields, not a string', 'setSession', guest.id, 'x'],
    ['A session is changed by an object of fields, not an array', 'setSession', guest.id, [1]],
    ['A session is changed by an object of fields, not null', 'setSession', guest.id, null],
    ['A close code is 1000, or from 4000 to 4999', 'close', guest.id, { code: 1006 }],
    ['A close code is 1000, or from 4000 to 4999', 'close', guest.id, { code: 5000 }],
    ['A close reason is text of at most 123 bytes', 'close', guest.id, { reason: 'ä'.repeat(62) }],
    ['Only text and bytes can be sent, not a number', 'close', guest.id, { data: 7 }],
  ]
  for (const caller of [fleet.web, fleet.business(guest)])
    for (const [message, command, ...args] of wrong)
      expect({ command, ...(await caller.try(command, ...args)) }).toMatchObject({
        command,
        error: 'ERR_OPTION',
        message,
      })
  expect(await guest.heard()).toEqual([])
  expect(await guest.look()).toMatchObject({ uid: null, groups: ['room'], session: {} })
  // a place that is none is the beginning, or the end
  for (const after of ['', 'x', 'x:y', ':', '~:1', `${guest.gateway}:x`])
    expect((await fleet.web.try('clients', {}, { after })) as unknown).toHaveProperty('value')
})

it('status shows how gateways and business workers are linked, and connections the links', async () => {
  const fleet = await GatewayFleet.start()
  const [one, other] = await fleet.comeToBoth(2)
  await ask(fleet.web, 'count')
  const figures = async (name: string): Promise<(Figures | null)[]> => {
    const { groups } = await fleet.project.status()
    return groups.filter((group) => group.name === name).flatMap(({ processes }) => processes.map((row) => row.figures))
  }
  const nothing = { queued: 0, handedOver: 0, redelivered: 0, dropped: 0, paused: 0 }
  // two business workers, and the web worker's client
  const gateway = { ...nothing, clients: 2, links: 3, workers: 2 }
  await expect.poll(() => figures('gateway'), { timeout: 20_000 }).toMatchObject([gateway, gateway])
  const business = { gateways: 2, redelivered: 0 }
  await expect.poll(() => figures('business'), { timeout: 20_000 }).toMatchObject([business, business])
  const held = async (): Promise<number> =>
    (await figures('business')).reduce((sum, row) => sum + Number(row?.['clients']), 0)
  await expect.poll(held, { timeout: 20_000 }).toBe(4)
  const listed = async (): Promise<number[]> => {
    const rows = await fleet.connections()
    return ['text', 'tcp'].map((protocol) => rows.filter((row) => row.protocol === protocol).length)
  }
  await expect.poll(listed, { timeout: 20_000 }).toEqual([4, 6])
  for (const name of ['gateway', 'business']) expect((await fleet.project.shiftwork('status')).stdout).toContain(name)
  for (const guest of [...one, ...other]) guest.close()
})

it('a WebSocket is told the code and the reason, and one that does not answer its goodbye is nobody all the same', async () => {
  const gateways = "new Gateway('websocket://127.0.0.1:0', { name: 'gateway', count: 2 })"
  const fleet = await GatewayFleet.start({ gateways })
  for (const caller of [fleet.web, fleet.program]) {
    for (const [options, told] of [
      [{}, [1000, '', []]],
      [{ code: 4321, reason: 'ünwanted', data: 'last words' }, [4321, 'ünwanted', ['last words']]],
    ] as const) {
      const { socket, id, messages } = await openWebSocket(fleet.port)
      const closed = new Promise((resolve) => socket.once('close', (code, reason) => resolve([code, `${reason}`])))
      expect(await ask(caller, 'close', id, options)).toBe(true)
      expect([...((await closed) as unknown[]), messages]).toEqual(told)
      expect(await ask(caller, 'isOnline', id)).toBe(false)
    }
  }
  const { socket, id } = await openWebSocket(fleet.port)
  await ask(fleet.web, 'bindUid', id, 'anna')
  socket.pause()
  expect(await ask(fleet.web, 'close', id)).toBe(true)
  expect(await ask(fleet.web, 'isOnline', id)).toBe(false)
  expect(await ask(fleet.web, 'count')).toBe(0)
  expect(await ask(fleet.web, 'uids')).toEqual({ items: [], next: null })
  expect(await ask(fleet.web, 'sendToUid', 'anna', 'x')).toEqual({ sent: 0, buffered: 0, full: 0, missing: [] })
  expect(await ask(fleet.web, 'sendTo', id, 'x')).toBe('gone')
  socket.terminate()
})

/** Greeted; what it hears from then on. */
async function openWebSocket(port: number): Promise<{ socket: WebSocket; id: string; messages: string[] }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
  const messages: string[] = []
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.on('message', (data: Buffer) => {
      messages.push(data.toString())
      resolve()
    })
  })
  return { socket, id: messages.shift()?.split(' ')[1] ?? '', messages }
}
