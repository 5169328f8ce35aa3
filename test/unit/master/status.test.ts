/** What `status` says of a fleet at each stage of its life, from the fleet's own data. */
import { expect, it } from 'vitest'
import type { GroupStatus } from '../../../src/ipc/status.ts'
import type { Listener } from '../../../src/master/listeners.ts'
import { StatusReporter } from '../../../src/master/status.ts'
import { spec } from '../specs.ts'
import { Stage } from '../stage.ts'

const FACTS = {
  ...{ entry: '/srv/start.js', startedAt: new Date(0), daemon: false, watching: false, metrics: null },
  logsOpenedAt: () => new Date(0),
  warnings: () => [],
  lastReload: () => null,
}
const PORT = 8080

/** `web` listens on port 0, which became 8080. */
async function groupsOf({ fleet }: Stage): Promise<GroupStatus[]> {
  const listener: Listener = { handle: { close: () => undefined }, text: '', port: PORT, close: () => undefined }
  const held = [...fleet.listeners].map((key): [string, Listener] => [key, listener])
  const known = [...fleet.groups.values()].flatMap((group) => (group.listener === null ? [] : [group.listener]))
  const closed = known.filter((key) => !fleet.listeners.has(key)).map((key): [string, number] => [key, PORT])
  const supervisor = {
    fleet,
    listeners: new Map(held),
    preparations: { closed: new Map(closed) },
    askStats: () => Promise.resolve(new Map()),
    startedAtOf: () => null,
  }
  return (await new StatusReporter(supervisor, FACTS).report()).groups
}

function states({ processes }: GroupStatus): string[] {
  return processes.map((row) => `${row.id} ${row.state}`)
}

it('a stop leaves the place of one that drains to it alone, and tells where its group listened', async () => {
  const stage = Stage.started(spec('web', { count: 2 }, 'http://127.0.0.1:0'), spec('jobs'))
  const listens = { listen: [`http://127.0.0.1:${PORT}`], closed: [], state: 'ok' }
  expect((await groupsOf(stage))[0]).toMatchObject(listens)
  stage.stop()
  const [web, jobs] = await groupsOf(stage)
  expect(web).toMatchObject({ listen: [], closed: [`http://127.0.0.1:${PORT}`], state: 'stopping' })
  expect(web && states(web)).toEqual(['0 draining', '1 draining'])
  expect(jobs).toMatchObject({ listen: [], closed: [], state: 'stopping' })
  stage.leave(stage.child('web', 0))
  const [later] = await groupsOf(stage)
  expect(later && states(later)).toEqual(['1 draining'])
})

it('a slot whose process has crashed waits for its next one, beside the one that still leaves', async () => {
  const stage = Stage.started(spec('web', { count: 2 }, 'http://127.0.0.1:0'))
  stage.crash(stage.child('web', 0))
  const [web] = await groupsOf(stage)
  expect(web && states(web)).toEqual(['0 draining', '0 backoff', '1 serving'])
  expect(web?.state).toBe('backoff')
})

it('while it still serves for load balancers, a fleet that stops is as it was', async () => {
  const stage = Stage.started(spec('web', { stopDelayMs: 5_000 }, 'http://127.0.0.1:0'))
  stage.stop()
  const [web] = await groupsOf(stage)
  expect(web).toMatchObject({ listen: [`http://127.0.0.1:${PORT}`], closed: [], state: 'ok' })
})
