/** The example `chat` in a real browser: people talk while the web workers are replaced, and come back when the chat is. */
import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'
import { useBrowser } from '../helpers/browser.ts'
import { ANY_PORT, copyOf } from '../helpers/examples.ts'
import type { Project } from '../helpers/project.ts'

const openWindow = useBrowser()

async function start(): Promise<{ project: Project; address: string }> {
  const project = copyOf('chat')
  await project.start('tsx-import', [], ANY_PORT)
  return { project, address: `http://127.0.0.1:${await project.port()}/?chat=${await project.port('chat')}` }
}

async function enter(address: string): Promise<Page> {
  const page = await openWindow()
  await page.goto(address)
  await page.locator('#here', { hasText: 'here' }).waitFor()
  return page
}

async function say(page: Page, text: string): Promise<void> {
  await page.fill('input', text)
  await page.press('input', 'Enter')
}

function heard(page: Page, text: string): Promise<void> {
  return page.locator('#said li', { hasText: text }).first().waitFor()
}

const lines = (page: Page): Promise<string[]> => page.locator('#said li').allTextContents()

it('shows to all what one says, in one order, while the web workers reload to another page', async () => {
  const { project, address } = await start()
  const [anna, bert] = [await enter(address), await enter(address)]
  const closes = await Promise.all([anna, bert].map(countCloses))
  const old = await project.pids('web')
  const said: string[] = []
  for (let reload = 0; reload < 3; reload++) {
    project.write('page.ts', project.read('page.ts').replace(/(hello|welcome \d): a chat/, `welcome ${reload}: a chat`))
    const reloading = project.reload()
    for (let message = 0; message < 5; message++) {
      const speaker = message % 2 === 0 ? anna : bert
      const text = `message ${reload}.${message}`
      await say(speaker, text)
      said.push(text)
      await Promise.all([heard(anna, text), heard(bert, text)])
    }
    expect(await reloading).toMatchObject({ code: 0, summary: { result: 'done' } })
  }
  for (const page of [anna, bert])
    expect((await lines(page)).map((line) => line.replace(/^guest \d: /, ''))).toEqual(said)
  expect(await Promise.all(closes.map((count) => count()))).toEqual([0, 0])
  expect((await project.pids('web')).filter((pid) => old.includes(pid))).toEqual([])

  const carl = await enter(address)
  expect(await carl.title()).toContain('welcome 2: a chat')
  await carl.locator('#here', { hasText: '3 here' }).waitFor()
})

it('comes back by itself when the chat itself is replaced: told 1012, and nobody has to do anything', async () => {
  const { project, address } = await start()
  const [anna, bert] = [await enter(address), await enter(address)]
  const closes = await Promise.all([anna, bert].map(countCloses))
  const [old] = await project.pids('chat')
  expect(await project.reload('chat', '--force')).toMatchObject({ code: 0, summary: { result: 'done' } })
  const [now] = await project.pids('chat')
  expect(now).not.toBe(old)
  for (const page of [anna, bert]) await page.locator('#here', { hasText: `2 here, held by process ${now}` }).waitFor()
  expect(await Promise.all(closes.map((count) => count()))).toEqual([1, 1])
  await say(anna, 'still there?')
  await heard(bert, 'still there?')
})

/** @returns how often a WebSocket of the page was closed since, each time with 1012 */
async function countCloses(page: Page): Promise<() => Promise<number>> {
  await page.evaluate(`
    window.codes = []
    socket.addEventListener('close', ({ code }) => window.codes.push(code))
  `)
  return async () => {
    const codes = (await page.evaluate('window.codes')) as number[]
    expect(codes.filter((code) => code !== 1012)).toEqual([])
    return codes.length
  }
}
