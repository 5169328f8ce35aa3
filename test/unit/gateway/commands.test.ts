/** Commands, given to gateways that are played: pages over several of them, who is missing, and those that die meanwhile. */
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Reach } from '../../../src/gateway/peer/asker.ts'
import { Commands } from '../../../src/gateway/peer/commands.ts'
import type { Target } from '../../../src/gateway/peer/link.ts'
import type { Data, Delivery, Missing, Request } from '../../../src/gateway/types.ts'
import { type ErrorCode, ShiftworkError } from '../../../src/index.ts'
import { Random } from '../random.ts'

type Answers = (request: Request, data: Data | null, deadlineMs: number) => unknown

class FakeTarget implements Target {
  readonly gateway: string
  readonly asked: Request[] = []
  readonly #answers: Answers

  constructor(gateway: string, answers: Answers) {
    this.gateway = gateway
    this.#answers = answers
  }

  async send(to: string, data: Data): Promise<Delivery> {
    return `${to} ${String(data)}` as Delivery
  }

  async request(request: Request, data: Data | null, deadlineMs: number): Promise<unknown> {
    this.asked.push(request)
    return this.#answers(request, data, deadlineMs)
  }
}

class FakeReach implements Reach {
  readonly targets: FakeTarget[]
  missing: Missing[] = []

  constructor(...targets: FakeTarget[]) {
    this.targets = targets
  }

  async find(gateway: string): Promise<Target | null> {
    return this.targets.find((target) => target.gateway === gateway) ?? null
  }

  async all(): Promise<{ targets: Target[]; missing: Missing[] }> {
    return {
      targets: [...this.targets].sort((one, other) => (one.gateway < other.gateway ? -1 : 1)),
      missing: this.missing,
    }
  }
}

function failing(code: ErrorCode, message = 'so it is'): Answers {
  return () => {
    throw new ShiftworkError(code, message)
  }
}

/** Holds clients and names, and answers as a gateway does. */
function holder(gateway: string, numbers: readonly number[], names: readonly string[] = []): FakeTarget {
  return new FakeTarget(gateway, (request) => {
    if (request.do === 'clients') {
      const after = numbers.filter((number) => number > request.after).slice(0, request.limit)
      return after.map((number) => [`${gateway}.${number}`, number])
    }
    if (request.do === 'uids' || request.do === 'groups') {
      const { after, limit } = request
      return names
        .filter((name) => after === null || name > after)
        .sort()
        .slice(0, limit)
    }
    return numbers.length
  })
}

async function everyPage(
  page: (after: string | undefined) => Promise<{ items: readonly string[]; next: string | null }>,
) {
  const items: string[] = []
  let pages = 0
  for (let after: string | null | undefined; after !== null; pages++) {
    const told = await page(after)
    items.push(...told.items)
    after = told.next
  }
  return { items, pages }
}

it('pages over any gateways have each entry exactly once, in a fixed order, and as few pages as can be', async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed)
    const gateways = Array.from({ length: random.int(1, 5) }, (_, index) => {
      const numbers = Array.from({ length: random.pick([0, 0, 1, 3, 20]) }, () => random.int(1, 1_000))
      const names = Array.from({ length: random.int(0, 15) }, () => random.pick([...'abcdefghijäöüZ']))
      return {
        gateway: `${random.int(0, 9)}g${index}`,
        numbers: [...new Set(numbers)].sort((a, b) => a - b),
        names: [...new Set(names)],
      }
    })
    const targets = gateways.map(({ gateway, numbers, names }) => holder(gateway, numbers, names))
    const commands = new Commands(new FakeReach(...targets), 1_000)
    const limit = random.int(1, 7)
    const clients = await everyPage((after) => commands.clients({}, { limit, ...(after !== undefined && { after }) }))
    const ids = gateways
      .sort((one, other) => (one.gateway < other.gateway ? -1 : 1))
      .flatMap(({ gateway, numbers }) => numbers.map((number) => `${gateway}.${number}`))
    const fewest = (count: number): number => Math.max(1, Math.ceil(count / limit))
    expect(clients, `seed ${seed}`).toEqual({ items: ids, pages: fewest(ids.length) })
    const names = [...new Set(gateways.flatMap(({ names: own }) => own))].sort()
    const uids = await everyPage((after) => commands.uids({ limit, ...(after !== undefined && { after }) }))
    expect(uids, `seed ${seed}`).toEqual({ items: names, pages: fewest(names.length) })
  }
})

describe('a gateway that does not answer', () => {
  const reason = 'it is frozen'

  it('is named in what became of a message, and the others count', async () => {
    const well = new FakeTarget('b', () => ({ sent: 2, buffered: 1, full: 3 }))
    const reach = new FakeReach(new FakeTarget('a', failing('ERR_NO_ANSWER', reason)), well)
    reach.missing = [{ gateway: 'c', reason: 'no link' }]
    expect(await new Commands(reach, 1_000).sendToAll('x')).toEqual({
      sent: 2,
      buffered: 1,
      full: 3,
      missing: [
        { gateway: 'c', reason: 'no link' },
        { gateway: 'a', reason },
      ],
    })
  })

  it('makes every number and every list an error that names it', async () => {
    const commands = new Commands(
      new FakeReach(new FakeTarget('a', failing('ERR_NO_ANSWER', reason)), holder('b', [1])),
      1_000,
    )
    const error = { code: 'ERR_NO_ANSWER', message: reason, facts: { missing: [{ gateway: 'a', reason }] } }
    for (const asking of [
      commands.count(),
      commands.clients(),
      commands.uids(),
      commands.groups(),
      commands.isUidOnline('anna'),
      commands.dissolve('room'),
    ])
      await expect(asking).rejects.toMatchObject(error)
  })

  it('is no excuse for a wrong question', async () => {
    const commands = new Commands(new FakeReach(new FakeTarget('a', failing('ERR_MESSAGE_TOO_LARGE'))), 1_000)
    await expect(commands.sendToAll('x')).rejects.toMatchObject({ code: 'ERR_MESSAGE_TOO_LARGE' })
    await expect(commands.count()).rejects.toMatchObject({ code: 'ERR_MESSAGE_TOO_LARGE' })
  })
})

describe('a gateway that dies when it is asked', () => {
  /** Its link breaks, and then it is not there any more. */
  function dying(gateway: string, reach: () => FakeReach): FakeTarget {
    return new FakeTarget(gateway, (...asked) => {
      reach().targets.splice(0, 1)
      return failing('ERR_CONNECTION_CLOSED')(...asked)
    })
  }

  it('has no clients: what only looks is right without it', async () => {
    const asks: ((commands: Commands) => Promise<unknown>)[] = [
      (commands) => commands.count(),
      (commands) => commands.clients(),
      (commands) => commands.uids(),
    ]
    const told: unknown[] = []
    for (const ask of asks) {
      const reach: FakeReach = new FakeReach(
        dying('a', () => reach),
        holder('b', [5], ['anna']),
      )
      told.push(await ask(new Commands(reach, 1_000)))
    }
    expect(told).toEqual([1, { items: ['b.5'], next: null }, { items: ['anna'], next: null }])
  })

  it('has not that client: what is said of it is no', async () => {
    const asks: ((commands: Commands) => Promise<unknown>)[] = [
      (commands) => commands.isOnline('a.1'),
      (commands) => commands.info('a.1'),
      (commands) => commands.session('a.1'),
      (commands) => commands.bindUid('a.1', 'anna'),
      (commands) => commands.setSession('a.1', { b: 1 }),
      (commands) => commands.close('a.1'),
    ]
    const told: unknown[] = []
    for (const ask of asks) {
      const reach: FakeReach = new FakeReach(dying('a', () => reach))
      told.push(await ask(new Commands(reach, 1_000)))
    }
    expect(told).toEqual([false, null, null, false, false, false])
  })

  it('and comes back leaves open what it has done: that is said', async () => {
    const commands = new Commands(new FakeReach(new FakeTarget('a', failing('ERR_CONNECTION_CLOSED'))), 1_000)
    await expect(commands.join('a.1', 'room')).rejects.toMatchObject({ code: 'ERR_CONNECTION_CLOSED' })
    expect(await commands.sendToAll('x')).toMatchObject({ sent: 0, missing: [{ gateway: 'a' }] })
  })
})

it('without any gateway what is for one client finds none, and everything else says so', async () => {
  const commands = new Commands(new FakeReach(), 1_000)
  expect(await commands.sendTo('a.1', 'x')).toBe('gone')
  expect(await commands.isOnline('a.1')).toBe(false)
  for (const asking of [commands.sendToAll('x'), commands.count(), commands.clients(), commands.dissolve('room')])
    await expect(asking).rejects.toMatchObject({ code: 'ERR_NOT_RUNNING' })
})

it('gateways of another user are no gateways, and that is said', async () => {
  const reach = new FakeReach()
  reach.all = async () => ({ targets: [], missing: [], forbidden: '/run/fleet' })
  await expect(new Commands(reach, 1_000).count()).rejects.toMatchObject({
    code: 'ERR_STATE_DIR',
    message: "The gateways of /run/fleet are another user's",
  })
})

it('a field that is undefined is removed, one inside a value is not there', async () => {
  const target = new FakeTarget('a', () => true)
  await new Commands(new FakeReach(target), 1_000).setSession('a.1', {
    gone: undefined,
    kept: { not: undefined, a: 1 },
  })
  expect(JSON.parse(JSON.stringify(target.asked[0]))).toEqual({
    do: 'setSession',
    client: 'a.1',
    fields: { gone: null, kept: { a: 1 } },
  })
})

describe('what is said in the form of another library', () => {
  const wrong: [
    message: string,
    ask: (commands: Record<string, (...args: unknown[]) => Promise<unknown>>) => unknown,
  ][] = [
    ['The options of a command are an object, not an array', (all) => all['sendToGroup']?.('room', 'x', ['a.1'])],
    ['The options of a command are an object, not a string', (all) => all['sendToGroup']?.('room', 'x', 'a.1')],
    ['The options of a command are an object, not null', (all) => all['sendToAll']?.('x', null, ['a.1'])],
    ['The options of a command are an object, not null', (all) => all['sendTo']?.('a.1', 'x', null)],
    ['A command has an unknown option "excludes"', (all) => all['sendToUid']?.('anna', 'x', { excludes: 'a.1' })],
    ['The options of a command are an object, not a string', (all) => all['close']?.('a.1', 'bye')],
    ['The options of a command are an object, not a number', (all) => all['close']?.('a.1', 1000)],
    ['A command has an unknown option "size"', (all) => all['groups']?.({ size: 5 })],
    ['The options of a command are an object, not a number', (all) => all['clients']?.({}, 5)],
  ]

  it.each(wrong)('is refused, and nothing is done: %s', async (message, ask) => {
    const target = new FakeTarget('a', () => true)
    const commands = new Commands(new FakeReach(target), 1_000) as unknown as Record<string, () => Promise<unknown>>
    await expect(ask(commands)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message,
      hint: expect.stringMatching(/^Say them as \{ .* \}\.$/),
    })
    expect(target.asked).toEqual([])
  })
})

describe('a command that is asked wrongly', () => {
  const wrong = { type: 'message' } as unknown as string

  async function saidOf(act: (commands: Commands) => unknown): Promise<string[]> {
    const said: string[] = []
    const spy = vi.spyOn(console, 'error').mockImplementation((line: string) => void said.push(line))
    onTestFinished(() => spy.mockRestore())
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    onTestFinished(() => void process.off('unhandledRejection', unhandled))
    await act(new Commands(new FakeReach(), 1_000))
    for (let turns = 0; turns < 5; turns++) await turn()
    expect(unhandled).not.toHaveBeenCalled()
    return said
  }

  it('and that nobody waits for is said once, with its place, and ends nothing', async () => {
    const asks: ((commands: Commands) => unknown)[] = [
      (commands) => commands.sendTo('a.1', wrong),
      (commands) => commands.join('a.1', 5 as unknown as string),
      (commands) => commands.count(5 as unknown as object),
      (commands) => commands.isOnline(5 as unknown as string),
    ]
    for (const ask of asks) {
      const [line, ...others] = await saidOf((commands) => void ask(commands))
      expect(line).toMatch(/^shiftwork: a command was not given, and nobody has waited for it: ShiftworkError: /)
      expect(line).toContain('commands.test.ts')
      expect(line).not.toContain('peer/commands.ts')
      expect(others).toEqual([])
    }
  })

  it.each<[string, (asked: Promise<unknown>) => unknown]>([
    ['await', async (asked) => expect((async () => await asked)()).rejects.toThrow()],
    ['catch', (asked) => asked.catch(() => undefined)],
    ['a list', (asked) => Promise.allSettled([asked])],
    ['what a handler returns', async (asked) => (async () => asked)().catch(() => undefined)],
  ])('and that somebody waits for (%s) is told to them alone', async (_, wait) => {
    expect(await saidOf((commands) => wait(commands.sendTo('a.1', wrong)))).toEqual([])
  })

  it('is no excuse for what is made of its promise', async () => {
    const derived = new Commands(new FakeReach(), 1_000).sendTo('a.1', wrong).then(() => 'never')
    expect(derived.constructor).toBe(Promise)
    await expect(derived).rejects.toMatchObject({ code: 'ERR_OPTION' })
  })
})

it('what names nobody by mistake is never for everybody', async () => {
  const target = new FakeTarget('a', () => ({ sent: 1, buffered: 0, full: 0 }))
  const commands = new Commands(new FakeReach(target), 1_000)
  const nobody = undefined as unknown as string
  for (const asking of [
    commands.sendToGroup(nobody, 'x'),
    commands.sendToUid(nobody, 'x'),
    commands.sendToUid([nobody], 'x'),
    commands.count({ uid: nobody }),
    commands.clients({ group: nobody }),
    commands.isUidOnline(nobody),
    commands.dissolve(nobody),
  ])
    await expect(asking).rejects.toMatchObject({ code: 'ERR_OPTION' })
  expect(target.asked).toEqual([])
})
