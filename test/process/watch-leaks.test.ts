/** A master that has reloaded often is what it was: the short form of test/bench/watch-soak. H7. */
import { readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Watched } from '../helpers/watched.ts'

it('H7 twenty reloads by file changes under load lose nothing and leave no descriptor behind', async () => {
  const watched = await Watched.start({ 'start.js': webStart({ bakeMs: 0, count: 1 }) })
  const { project, running } = watched
  const descriptors = async (): Promise<number> => {
    let count = 0
    let same = 0
    await until('the count stands still', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      const now = readdirSync(`/proc/${running.pid}/fd`).length
      same = now === count ? same + 1 : 0
      count = now
      return same >= 25
    })
    return count
  }
  const target = { port: await project.port() }
  const load = new Load({ target, clients: 5, pauseMs: [10, 30] })
  watched.save('app.js', app('0'))
  await watched.ended(1)
  const before = await descriptors()
  for (let reload = 1; reload <= 20; reload++) {
    watched.save('app.js', app(String(reload)))
    await watched.ended(reload + 1)
  }
  await load.more(210)
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect(new Set(result.lastVersions)).toEqual(new Set(['20']))
  expect(watched.reloads).toBe(21)
  expect(await descriptors()).toBe(before)
})
