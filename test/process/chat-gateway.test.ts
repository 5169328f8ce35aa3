/**
 * The example `chat-gateway` in a real browser: people talk while all that handles what they say is replaced, or
 * killed, and nobody notices. The page leaves out what it has shown already, so here the bare frames are counted, too.
 */
import type { Page, WebSocket } from 'playwright-core'
import { expect, it } from 'vitest'
import { useBrowser } from '../helpers/browser.ts'
import { ANY_PORT, change, copyOf, FLAVOURS } from '../helpers/examples.ts'
import { kill } from '../helpers/faults.ts'
import { until } from '../helpers/processes.ts'
import type { Flavour, Project } from '../helpers/project.ts'

const openWindow = useBrowser()

/** A window of somebody who talks. */
class Person {
  readonly name: string
  readonly page: Page
  readonly sockets: WebSocket[] = []
  /** The keys of all messages that came, each as often as it came. */
  readonly keys: string[] = []
  said = 0

  private constructor(name: string, page: Page) {
    this.name = name
    this.page = page
    page.on('websocket', (socket) => {
      this.sockets.push(socket)
      socket.on('framereceived', ({ payload }) => {
        const { key } = JSON.parse(String(payload)) as { key?: string }
        if (key !== undefined) this.keys.push(key)
      })
    })
  }

  static async open(address: string, name: string): Promise<Person> {
    const page = await openWindow()
    const person = new Person(name, page)
    await page.goto(address)
    await page.fill('#enter input', name)
    await page.press('#enter input', 'Enter')
    return person
  }

  static async enter(address: string, name: string): Promise<Person> {
    const person = await Person.open(address, name)
    await person.isIn('lobby')
    return person
  }

  async isIn(room: string): Promise<void> {
    await this.page.locator('#where', { hasText: `${this.name} in ${room}` }).waitFor()
  }

  async say(text: string): Promise<void> {
    await this.page.fill('#say [name=text]', text)
    await this.page.press('#say [name=text]', 'Enter')
  }

  /** The next of its numbered messages. */
  async sayNext(): Promise<void> {
    await this.say(`${this.name} ${++this.said}.`)
  }

  async goTo(room: string): Promise<void> {
    const button = this.page.locator('#rooms button', { hasText: room })
    if ((await button.count()) > 0) await button.click()
    else {
      await this.page.fill('#open input', room)
      await this.page.press('#open input', 'Enter')
    }
    await this.isIn(room)
  }

  /** These, and nobody else, are shown as being here. */
  async sees(...names: string[]): Promise<void> {
    const shown = async (): Promise<string[]> => (await this.page.locator('#here button').allTextContents()).sort()
    await expect.poll(shown, { timeout: 30_000 }).toEqual(names)
  }

  notes(text: string): Promise<void> {
    return this.page.locator('#said li.note', { hasText: text }).first().waitFor()
  }

  hears(text: string): Promise<void> {
    return this.page.locator('#said li', { hasText: text }).first().waitFor()
  }

  /** Messages that the page shows, in order. */
  async shown(): Promise<string[]> {
    return this.page.locator('#said li:not(.note) > span').allTextContents()
  }

  /** The only connection that it ever had is open. */
  get isUndisturbed(): boolean {
    return this.sockets.length === 1 && !this.sockets[0]?.isClosed()
  }
}

async function start(flavour: Flavour = 'tsx-import'): Promise<{ project: Project; address: string }> {
  const project = copyOf('chat-gateway')
  await project.start(flavour, [], ANY_PORT)
  return { project, address: `http://127.0.0.1:${await project.port()}/?gateway=${await project.port('gateway')}` }
}

/** All of what each has said, once and in order, and in the same order for everybody. */
async function expectWhole(people: readonly Person[]): Promise<void> {
  for (const speaker of people) for (const person of people) await person.hears(`${speaker.name} ${speaker.said}.`)
  const shown = await Promise.all(people.map((person) => person.shown()))
  for (const lines of shown) expect(lines).toEqual(shown[0])
  for (const { name, said } of people) {
    const all = Array.from({ length: said }, (_, index) => `${name} ${index + 1}.`)
    expect(shown[0]?.filter((line) => line.startsWith(name))).toEqual(all)
  }
}

/** Each says one message after another until the work is done. */
async function talkDuring(people: readonly Person[], work: () => Promise<void>): Promise<void> {
  let isDone = false
  const talk = async (person: Person): Promise<void> => {
    while (!isDone) await person.sayNext()
  }
  const talks = people.map(talk)
  try {
    await work()
  } finally {
    isDone = true
    await Promise.all(talks)
  }
}

/** No message came twice, shown or not. */
function expectNoRepeats({ keys }: Person): void {
  expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([])
}

it('shows every message once and in order while the business code is replaced ten times, on the same connections', async () => {
  const { project, address } = await start()
  const people = [await Person.enter(address, 'Anna'), await Person.enter(address, 'Bert')]
  const gateways = await project.pids('gateway')
  await talkDuring(people, async () => {
    for (let version = 1; version <= 10; version++) {
      change(project, 'app.ts', `'version ${version}'`, `'version ${version + 1}'`)
      expect(await project.reload('business')).toMatchObject({ code: 0, summary: { result: 'done' } })
      for (const person of people) await person.notes(`new code: version ${version + 1} answers`)
    }
  })
  await expectWhole(people)
  for (const person of people) {
    expectNoRepeats(person)
    expect(person.said).toBeGreaterThan(10)
    expect(person.isUndisturbed).toBe(true)
  }
  expect(await project.pids('gateway')).toEqual(gateways)
  await (await Person.enter(address, 'Carl')).page.locator('#by', { hasText: 'version 11' }).waitFor()
}, 400_000)

it('shows every message once and in order when business workers are killed over them', async () => {
  const { project, address } = await start()
  const people = [await Person.enter(address, 'Anna'), await Person.enter(address, 'Bert')]
  await talkDuring(people, async () => {
    for (let round = 0; round < 4; round++) {
      const [victim = 0] = await project.pids('business')
      expect(await kill(project, victim)).toBe(1)
      await until('another has its place', async () => {
        const pids = await project.pids('business')
        return pids.length === 2 && !pids.includes(victim)
      })
    }
  })
  await expectWhole(people)
  for (const person of people) expect(person.isUndisturbed).toBe(true)
})

it('goes on with the old code when the new one is broken', async () => {
  const { project, address } = await start()
  const anna = await Person.enter(address, 'Anna')
  await talkDuring([anna], async () => {
    change(project, 'app.ts', "const VERSION = 'version 1'", 'const VERSION = nothing')
    const { code, summary } = await project.reload('business')
    expect({ code, message: summary.error?.message }).toEqual({ code: 5, message: 'nothing is not defined' })
    await anna.hears(`Anna ${anna.said}.`)
  })
  await expectWhole([anna])
})

it('comes back by itself, with name and room, when the gateway is killed or replaced', async () => {
  const { project, address } = await start()
  const people = [await Person.enter(address, 'Anna'), await Person.enter(address, 'Bert')]
  for (const person of people) await person.goTo('kitchen')
  const [victim = 0] = await project.pids('gateway')
  expect(await kill(project, victim)).toBe(1)
  await expectBack(people, 2)
  expect((await project.reload('gateway', '--force')).code).toBe(0)
  await expectBack(people, 3)
})

async function expectBack(people: readonly Person[], times: number): Promise<void> {
  for (const { page } of people) await page.locator('#by', { hasText: `connected ${times} times` }).waitFor()
  for (const person of people) await person.isIn('kitchen')
  for (const person of people) await person.sayNext()
  for (const speaker of people) for (const person of people) await person.hears(`${speaker.name} ${speaker.said}.`)
}

it('has rooms that hear nothing of each other, and says who is in them', async () => {
  const { address } = await start()
  const [anna, bert] = [await Person.enter(address, 'Anna'), await Person.enter(address, 'Bert')]
  await anna.sees('Anna', 'Bert')
  await bert.goTo('kitchen')
  await anna.notes('Bert has left')
  await anna.sees('Anna')
  await bert.sees('Bert')
  await anna.say('only in the lobby')
  await anna.hears('only in the lobby')
  await bert.say('only in the kitchen')
  await bert.hears('only in the kitchen')
  await anna.goTo('a room of its own')
  await bert.goTo('a room of its own')
  await anna.sees('Anna', 'Bert')
  await bert.say('here now')
  await anna.hears('here now')
  expect(await anna.shown()).toEqual(['here now'])
  await anna.page.close()
  await bert.notes('Anna has left')
  await bert.sees('Bert')
})

it('hands a private message to one, and a name to one', async () => {
  const { address } = await start()
  const [anna, bert, carl] = [
    await Person.enter(address, 'Anna'),
    await Person.enter(address, 'Bert'),
    await Person.enter(address, 'Carl'),
  ]
  await anna.page.locator('#here button', { hasText: 'Bert' }).click()
  await anna.say('between us')
  await Promise.all([anna.hears('between us'), bert.hears('between us')])
  await anna.page.click('#to')
  await anna.say('for all')
  await Promise.all([anna, bert, carl].map((person) => person.hears('for all')))
  expect(await bert.shown()).toEqual(['between us', 'for all'])
  expect(await carl.shown()).toEqual(['for all'])

  const twin = await Person.open(address, 'anna')
  await twin.page.locator('#refused', { hasText: 'anna is somebody else here' }).waitFor()
  await anna.page.locator('#here button', { hasText: 'Bert' }).click()
  await bert.page.close()
  await anna.notes('Bert has left')
  await anna.say('are you there?')
  await anna.notes('Bert is not here')
})

it('shows what people write as text, fits a telephone, and goes on when somebody speaks nonsense', async () => {
  const { address } = await start()
  const markup = '<img src=x onerror="document.title=1">&amp;</script>'
  const anna = await Person.enter(address, markup.slice(0, 15))
  await anna.page.setViewportSize({ width: 360, height: 640 })
  await anna.say(markup)
  await anna.say('x'.repeat(2_000))
  await anna.hears('xxx')
  expect((await anna.shown())[0]).toBe(markup)
  expect(await anna.page.locator('main img').count()).toBe(0)
  expect(await anna.page.evaluate('document.documentElement.scrollWidth')).toBe(360)
  for (const nonsense of ['', '[]', 'null', '{"act":"toString"}', '{"act":{"name":1},"text":["a"]}'])
    await anna.page.evaluate(`socket.send(${JSON.stringify(nonsense)})`)
  await anna.page.evaluate('socket.send(new Uint8Array([1, 2, 3]))')
  await expect.poll(() => anna.page.locator('#said .wrong').count(), { timeout: 30_000 }).toBe(6)
  await anna.say('still here')
  await anna.hears('still here')
  expect(anna.isUndisturbed).toBe(true)
})

for (const flavour of FLAVOURS)
  it(`run with ${flavour}, serves, reloads its page too, and stops`, async () => {
    const { project, address } = await start(flavour)
    const anna = await Person.enter(address, 'Anna')
    change(project, 'page.ts', 'hello: rooms', 'welcome: rooms')
    expect(await project.reload()).toMatchObject({ code: 0, summary: { result: 'done', kept: ['gateway'] } })
    await anna.say('still there')
    await anna.hears('still there')
    expect(await (await Person.enter(address, 'Bert')).page.title()).toContain('welcome: rooms')
    const stopped = await project.through(flavour, 'stop', '--timeout', '90', '--json')
    expect(stopped).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(stopped.stdout)).toMatchObject({ connectionsCut: 0, killed: 0 })
    // nobody has waited for that deadline
    expect(stopped.ms).toBeLessThan(60_000)
    expect(project.written('.shiftwork/start.ts/shiftwork.log')).not.toContain(' error ')
  })
