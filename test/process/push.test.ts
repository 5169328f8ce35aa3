/** The example `push`: web code reaches a user through reloads of everything that reloads, and is told what became of it. */
import { expect, it, onTestFinished } from 'vitest'
import { useBrowser } from '../helpers/browser.ts'
import { get } from '../helpers/client.ts'
import { ANY_PORT, change, copyOf, FLAVOURS } from '../helpers/examples.ts'
import { freeze, kill, thaw } from '../helpers/faults.ts'
import { FrameClient } from '../helpers/frames.ts'
import { until } from '../helpers/processes.ts'
import type { Flavour, Project, Running } from '../helpers/project.ts'

const openWindow = useBrowser()

interface Pushing {
  project: Project
  running: Running
  web: number
  gateway: number
  /** @returns the status, and what was answered. */
  push: (uid: string, text: string) => Promise<Record<string, unknown>>
  /** A client of this user, which has been greeted. */
  listen: (uid: string) => Promise<FrameClient>
}

async function start(flavour: Flavour = 'tsx-import', { deadlineMs = 10_000 } = {}): Promise<Pushing> {
  const project = copyOf('push')
  change(project, 'web.ts', 'deadlineMs: 2_000', `deadlineMs: ${deadlineMs}`)
  const running = await project.start(flavour, [], ANY_PORT)
  const [web, gateway] = [await project.port('web'), await project.port('gateway')]
  const push = async (uid: string, text: string): Promise<Record<string, unknown>> => {
    const { status, body } = await get({ port: web }, `/push?uid=${uid}`, { method: 'POST', body: text })
    return { status, ...(JSON.parse(body) as object) }
  }
  const listen = async (uid: string): Promise<FrameClient> => {
    const client = await FrameClient.open({ port: gateway }, { path: `/?uid=${uid}` })
    onTestFinished(() => client.close())
    expect(await client.text()).toContain(uid)
    return client
  }
  return { project, running, web, gateway, push, listen }
}

const whole = { buffered: 0, full: 0, missing: [] }

for (const flavour of FLAVOURS)
  it(`run with ${flavour}, pushes to all clients of a user, before and after a reload, and stops`, async () => {
    const { project, running, push, listen } = await start(flavour)
    const [first, second, other] = [await listen('anna'), await listen('anna'), await listen('bert')]
    expect(await push('anna', 'one')).toEqual({ status: 200, uid: 'anna', result: 'sent', sent: 2, ...whole })
    expect([await first.text(), await second.text()]).toEqual(['one', 'one'])

    change(project, 'users.ts', 'hello ', 'welcome ')
    expect(await project.reload()).toMatchObject({ code: 0, summary: { result: 'done', kept: ['gateway'] } })
    expect(await push('anna', 'two')).toMatchObject({ result: 'sent', sent: 2 })
    expect([await first.text(), await second.text()]).toEqual(['two', 'two'])
    expect(other.frames).toHaveLength(1)
    expect((await listen('carl')).frames[0]?.payload.toString()).toBe('welcome carl')

    expect(await project.through(flavour, 'stop')).toMatchObject({ code: 0, stderr: '' })
    expect(await running.ended).toMatchObject({ code: 0, signal: null, stderr: '' })
    expect(await first.farewell()).toMatchObject({ code: 1012, end: 'closed' })
  })

it('pushes every message once and in order while web and business workers are replaced', async () => {
  const { project, push, listen } = await start()
  const anna = await listen('anna')
  let isDone = false
  let pushed = 0
  const pushing = (async () => {
    while (!isDone) expect(await push('anna', `message ${++pushed}`)).toMatchObject({ status: 200, sent: 1 })
  })()
  try {
    for (let reload = 0; reload < 3; reload++) expect((await project.reload()).code).toBe(0)
  } finally {
    isDone = true
    await pushing
  }
  await anna.more(pushed)
  const [, ...heard] = anna.frames.map(({ payload }) => payload.toString())
  expect(heard).toEqual(Array.from({ length: pushed }, (_, index) => `message ${index + 1}`))
  expect(pushed).toBeGreaterThan(50)
})

it('says when nobody is online, when a client reads slowly, and when it takes nothing more', async () => {
  const { push, listen, gateway, web } = await start()
  expect(await push('anna', 'hello?')).toEqual({ status: 404, uid: 'anna', result: 'nobody online', sent: 0, ...whole })
  const anna = await listen('anna')
  anna.client.socket.pause()
  const results: unknown[] = []
  while (results.at(-1) !== 'full') {
    results.push((await push('anna', 'x'.repeat(200_000))).result)
    expect(results.length).toBeLessThan(1_000)
  }
  expect([...new Set(results)]).toEqual(['sent', 'buffered', 'full'])
  anna.client.socket.resume()
  await until('it is read', async () => (await push('anna', 'again')).result === 'sent')
  await until('it is here', () => anna.frames.some(({ payload }) => payload.toString() === 'again'))
  const long = anna.frames.filter(({ payload }) => payload.length === 200_000)
  expect(long).toHaveLength(results.filter((result) => result !== 'full').length)
  anna.close()
  await until('it has left', async () => (await push('anna', 'hello?')).result === 'nobody online')

  await expect(FrameClient.open({ port: gateway })).rejects.toThrow('not upgraded: 403')
  expect(await get({ port: web }, '/push?uid=anna')).toMatchObject({ status: 405 })
  expect(await get({ port: web }, '/push', { method: 'POST', body: 'x' })).toMatchObject({ status: 400 })
})

it('says that it does not know when a gateway does not answer, or none is there', async () => {
  const { project, push, listen } = await start('tsx-import', { deadlineMs: 2_000 })
  await listen('anna')
  const [pid = 0] = await project.pids('gateway')
  await freeze(project, pid)
  expect(await push('anna', 'hello?')).toMatchObject({
    status: 503,
    result: 'unknown',
    sent: 0,
    missing: [{ reason: expect.any(String) }],
  })
  await thaw(project, pid)
  await until('it answers', async () => (await push('anna', 'hello?')).result === 'sent')
  change(project, 'users.ts', 'export function admit', "throw new Error('no')\nexport function admit")
  await kill(project, pid)
  await until('it is known to be dead', async () => (await push('anna', 'hello?')).error === 'There is no gateway')
})

it('has a page that listens and pushes', async () => {
  const { web, gateway } = await start()
  const page = await openWindow()
  await page.setViewportSize({ width: 360, height: 640 })
  await page.goto(`http://127.0.0.1:${web}/?uid=anna&gateway=${gateway}`)
  await page.locator('#heard li', { hasText: 'hello anna' }).waitFor()
  await page.fill('[name=text]', '<b>you</b>')
  await page.press('[name=text]', 'Enter')
  await page.locator('#heard li', { hasText: '<b>you</b>' }).waitFor()
  await page.locator('#told li', { hasText: 'anna: sent to 1 client' }).waitFor()
  await page.fill('[name=uid]', 'nobody')
  await page.press('[name=uid]', 'Enter')
  await page.locator('#told li', { hasText: 'nobody: nobody online' }).waitFor()
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
})
