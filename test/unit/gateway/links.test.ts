/** Which gateways a process takes for dead: one that nobody has heard yet may be about to listen. */
import { once } from 'node:events'
import { renameSync, utimesSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, onTestFinished, vi } from 'vitest'
import { createGatewayId } from '../../../src/gateway/ids.ts'
import { Links } from '../../../src/gateway/peer/links.ts'
import { Places } from '../../../src/gateway/peer/places.ts'
import { LocalReach } from '../../../src/gateway/peer/reach.ts'
import { temporaryDirectory } from '../tempdir.ts'
import { FakeGateway } from './fake-gateway.ts'

/** The socket of a gateway at which nobody listens. */
async function silentSocket(linkDir: string): Promise<{ gateway: string; path: string }> {
  const gateway = createGatewayId()
  const path = join(linkDir, `${gateway}.sock`)
  const server = createServer().listen(join(linkDir, 'bound'))
  await once(server, 'listening')
  // its own name is removed when it closes
  renameSync(join(linkDir, 'bound'), path)
  server.close()
  return { gateway, path }
}

function watch(places: Places): { links: Links; dead: string[] } {
  const dead: string[] = []
  const links = new Links({
    places,
    introduction: { role: 'client', name: '' },
    onOpened: () => undefined,
    onRecord: () => undefined,
    onClosed: () => undefined,
    onLost: () => undefined,
    onDead: (gateway) => dead.push(gateway),
  })
  onTestFinished(() => links.close())
  return { links, dead }
}

it('a socket at which nobody listens is a dead gateway only when it is old enough', async () => {
  const linkDir = temporaryDirectory()
  const { gateway, path } = await silentSocket(linkDir)
  const hour = 3_600_000
  utimesSync(path, new Date(Date.now() + hour), new Date(Date.now() + hour))
  const places = new Places({ linkDir })
  const tries = vi.spyOn(places, 'doubt')
  const { links, dead } = watch(places)
  const settled = links.settle()
  await expect.poll(() => tries.mock.calls.length).toBeGreaterThan(3)
  expect(dead).toEqual([])
  utimesSync(path, new Date(Date.now() - hour), new Date(Date.now() - hour))
  await settled
  expect(new Set(dead)).toEqual(new Set([gateway]))
})

it('whoever asks, and whenever: a gateway that does not listen yet is not settled', async () => {
  const linkDir = temporaryDirectory()
  const { path } = await silentSocket(linkDir)
  const later = new Date(Date.now() + 3_600_000)
  utimesSync(path, later, later)
  const hourAgo = new Date(Date.now() - 3_600_000)
  // so old that its time alone tells that nothing has changed
  utimesSync(linkDir, hourAgo, hourAgo)
  const { links } = watch(new Places({ linkDir }))
  let settled = 0
  for (let asked = 0; asked < 50; asked++) {
    void Promise.resolve(links.settle()).then(() => settled++)
    await delay(3)
  }
  expect(settled).toBe(0)
  utimesSync(path, hourAgo, hourAgo)
  await expect.poll(() => settled).toBe(50)
})

it('when nothing can be seen nobody is dead, and who asks is told that it is not known', async () => {
  const linkDir = temporaryDirectory()
  await FakeGateway.open(linkDir)
  const places = new Places({ linkDir })
  const { links, dead } = watch(places)
  await links.settle()
  const list = vi.spyOn(places, 'list').mockImplementation(() => {
    throw new Error('EMFILE: too many open files')
  })
  places.doubt()
  const reach = new LocalReach(links)
  await expect(reach.find('other', 100)).rejects.toMatchObject({
    code: 'ERR_NO_ANSWER',
    message: expect.stringContaining('too many open files') as string,
  })
  expect(await reach.all(100)).toMatchObject({ targets: [{ gateway: 'fake' }], missing: [{ gateway: 'unknown' }] })
  list.mockRestore()
  places.doubt()
  expect(await reach.find('other', 100)).toBeNull()
  expect((await reach.all(100)).missing).toEqual([])
  expect(dead).toEqual([])
})

it('who closes the links while one is being opened is told that nothing was sent', async () => {
  const linkDir = temporaryDirectory()
  await FakeGateway.open(linkDir)
  const { links } = watch(new Places({ linkDir }))
  const reach = new LocalReach(links)
  const [found, all] = [reach.find('fake', 1_000), reach.all(1_000)]
  links.close()
  await expect(found).rejects.toMatchObject({ code: 'ERR_CONNECTION_CLOSED' })
  await expect(all).rejects.toMatchObject({ code: 'ERR_CONNECTION_CLOSED' })
})

it('one that has listened before is dead at once, however young it is', async () => {
  const linkDir = temporaryDirectory()
  const gateway = await FakeGateway.open(linkDir)
  const path = join(linkDir, 'killed.sock')
  // as of one that was killed: it stays when nobody listens any more
  renameSync(join(linkDir, 'fake.sock'), path)
  const { links, dead } = watch(new Places({ linkDir }))
  await links.settle()
  expect(links.all()).toHaveLength(1)
  utimesSync(path, new Date(Date.now() + 3_600_000), new Date(Date.now() + 3_600_000))
  gateway.die()
  await expect.poll(() => dead).toEqual(['killed'])
})
