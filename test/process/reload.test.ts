/** Nothing is lost in a reload: strict clients on two workers. A1, A2, A3, A12. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Project } from '../helpers/project.ts'
import { expectNothingLost, KEEP_ALIVE, loadOf, TEN_RELOADS_MS, tenReloads } from '../helpers/reloads.ts'

it('A1 keep-alive clients lose nothing in ten reloads, and the last answers come from new code', {
  timeout: TEN_RELOADS_MS,
}, async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  expectNothingLost(await tenReloads(project, await loadOf(project, KEEP_ALIVE)))
})

it('A1 clients that pause for 0 to 50 ms lose nothing either', { timeout: TEN_RELOADS_MS }, async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  expectNothingLost(await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, pauseMs: [0, 50] })))
})

it('A2 POSTs of 16 KB are received whole and answered through ten reloads', { timeout: TEN_RELOADS_MS }, async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const request = { method: 'POST', body: 'x'.repeat(16 * 1024) }
  expectNothingLost(await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, request })))
})

it('A3 a new connection for each request loses nothing in ten reloads', { timeout: TEN_RELOADS_MS }, async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  expectNothingLost(await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, isShort: true })))
})

it('A12 reloads right after the start and without a pause lose nothing', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  await project.start()
  const load = await loadOf(project, KEEP_ALIVE)
  project.write('app.js', app('11'))
  const fired = Array.from({ length: 8 }, () => project.reload())
  const answers = await Promise.all(fired)
  expect(answers.map((answer) => [answer.code, answer.summary.result])).toEqual(answers.map(() => [0, 'done']))
  await load.more(1_000)
  expectNothingLost(await load.stop())
})

it('A12 nothing is lost while every core is busy', { timeout: TEN_RELOADS_MS }, async () => {
  const project = Project.create({
    'start.js': webStart(),
    'app.js': app('1'),
    'busy.js': 'for (const end = Date.now() + 60_000; Date.now() < end; );',
  })
  await project.start()
  const busy = [1, 2].map(() => project.launch(process.execPath, [`${project.dir}/busy.js`]))
  const result = await tenReloads(project, await loadOf(project, { ...KEEP_ALIVE, clients: 50, pauseMs: [0, 20] }))
  for (const spinner of busy) spinner.kill('SIGKILL')
  await Promise.all(busy.map((spinner) => spinner.ended))
  expectNothingLost(result)
})
