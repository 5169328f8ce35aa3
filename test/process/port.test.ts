/** The port is there from the start's "ready" to the stop, whatever becomes of the workers. Scenario F6. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { freePort } from '../helpers/cli.ts'
import { kill } from '../helpers/faults.ts'
import { Lookout } from '../helpers/listening.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

async function serving(project: Project, count: number, gone: readonly number[]): Promise<void> {
  await until('all serve again', async () => {
    const pids = await project.pids()
    return pids.length === count && pids.every((pid) => !gone.includes(pid))
  })
}

for (const count of [2, 1])
  it(`F6 with ${count} worker(s) the port never leaves the listening table: kills, reloads, both at once`, async () => {
    const port = await freePort()
    const project = Project.create({
      'start.js': webStart({ count }, `http://127.0.0.1:${port}`),
      'app.js': app('1'),
    })
    const running = await project.start()
    const lookout = new Lookout(port)
    const load = new Load({ target: { port }, clients: 10, pauseMs: [0, 10], isShort: true, maxMs: 50_000 })

    lookout.doing = 'killing one worker after the other'
    for (const pid of await project.pids()) {
      await kill(project, pid)
      await serving(project, count, [pid])
    }
    lookout.doing = 'killing all workers at once'
    for (let round = 0; round < 2; round++) {
      const pids = await project.pids()
      await kill(project, ...pids)
      await serving(project, count, pids)
    }
    lookout.doing = 'reloading'
    for (let round = 0; round < 2; round++) expect((await project.reload()).code).toBe(0)
    lookout.doing = 'killing all workers in a reload'
    const reload = project.reload()
    const workers = project.processes.filter(({ title }) => title.startsWith('shiftwork:'))
    await kill(project, ...workers.map(({ pid }) => pid))
    await reload
    await serving(project, count, [])
    lookout.doing = 'a reload of broken code'
    project.write('app.js', 'export const nothing = )')
    expect((await project.reload()).code).toBe(5)

    await lookout.end()
    const { counts } = await load.stop()
    expect(lookout.missed).toEqual([])
    expect(lookout.looks).toBeGreaterThan(500)
    expect({ refused: counts.refused, timeout: counts.timeout, wrong: counts.wrong }).toEqual({
      refused: 0,
      timeout: 0,
      wrong: 0,
    })
    expect((await project.shiftwork('stop')).code).toBe(0)
    expect((await running.ended).code).toBe(0)
    expect(lookout.isListed).toBe(false)
  })
