/** The package is exchanged for one that speaks otherwise, under a master that runs. */
import { cpSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { kill, signal } from '../helpers/faults.ts'
import { until } from '../helpers/processes.ts'
import { Project, REPOSITORY } from '../helpers/project.ts'

/** A project with a copy of the package, as an installation is one. */
function installed(): Project {
  const project = Project.create({ 'start.js': webStart({ bakeMs: 0 }), 'app.js': app('1') })
  const place = join(project.dir, 'node_modules/shiftwork')
  rmSync(place)
  for (const part of ['package.json', 'dist']) cpSync(join(REPOSITORY, part), join(place, part), { recursive: true })
  symlinkSync(join(REPOSITORY, 'node_modules'), join(place, 'node_modules'))
  return project
}

function exchange(project: Project): void {
  const path = join(project.dir, 'node_modules/shiftwork/dist/ipc/requests.js')
  const text = readFileSync(path, 'utf8')
  const next = text.replace(/WIRE_VERSION = \d+/, 'WIRE_VERSION = 99')
  expect(next).not.toBe(text)
  writeFileSync(path, next)
}

const SAYS = /another version of Shiftwork \(\S+\) was installed under the running master: restart it/

it('the log says so, when a worker is replaced and when a signal asks for a reload', async () => {
  const project = installed()
  await project.start()
  exchange(project)
  const [first = 0] = await project.pids()
  const { pid } = (await project.status()).master
  signal(project, pid, 'SIGHUP')
  await until('the reload is rejected', () => /reload .*rejected/.test(project.log))
  expect(project.log).toMatch(SAYS)
  const before = project.log.length
  await kill(project, first)
  await until('what should replace it says so', () => SAYS.test(project.log.slice(before)))
  expect(await project.pids()).toHaveLength(1)
})
