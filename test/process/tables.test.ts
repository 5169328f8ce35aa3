/** One master per state directory, also where processes do not see each other: containers that share it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { untilHeard } from '../helpers/cli.ts'
import { Container, whyNoContainer } from '../helpers/container.ts'
import { freeze, gone } from '../helpers/faults.ts'
import { isAlive } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const container = it.skipIf(whyNoContainer() !== null)
const TAKEN = /^error Another master answers in .*, perhaps in another container$/m

function web(): Project {
  return Project.create({ 'start.js': webStart({ bakeMs: 0 }), 'app.js': app('1') })
}

container('a start is refused while one in a container answers, and every command speaks with that one', async () => {
  const project = web()
  const other = await Container.start(project)
  for (const command of ['start', 'restart'])
    expect(await project.shiftwork(command, '-d')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(TAKEN) as string,
    })
  const named = readFileSync(join(project.stateDir, 'master.pid'), 'utf8')
  expect(named).toMatch(/^1\nstarted=\d+\ntable=\d+\n$/)
  expect(await untilHeard(() => project.shiftwork('status'))).toMatchObject({ code: 0, stderr: '' })
  expect((await project.reload()).summary).toMatchObject({ result: 'done', generation: 2 })
  expect((await project.shiftwork('logs', '--reopen')).code).toBe(0)
  expect((await project.shiftwork('stop', '--json')).stdout).toMatch(/^\{"stopped":true,"pid":null,"processes":2,/)
  expect(await other.ended).toMatchObject({ code: 0 })
  expect(project.log).not.toContain('made again')
  expect((await project.shiftwork('start', '-d')).code).toBe(0)
})

container('one in a container that does not hear is neither killed nor called gone', async () => {
  const project = web()
  const other = await Container.start(project)
  await freeze(project, other.pid)
  for (const words of [['status'], ['stop', '--force']]) {
    const [command = '', ...rest] = words
    const { code, stderr } = await project.shiftwork(command, ...rest)
    expect({ words, code, stderr }).toEqual({ words, code: 4, stderr: expect.stringContaining('container') as string })
  }
  expect((await project.shiftwork('start', '-d')).stderr).toMatch(TAKEN)
  expect(isAlive(other.pid)).toBe(true)
  await other.kill()
})

container('what a container has left is stale; from inside another one the host cannot be replaced', async () => {
  const project = web()
  const other = await Container.start(project)
  await other.kill()
  expect(await project.shiftwork('start', '-d')).toMatchObject({ code: 0, stderr: '' })
  const pid = (await project.status()).master.pid
  expect(await Container.exec(project, 'start')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(TAKEN) as string,
  })
  const seen = await untilHeard(() => Container.exec(project, 'status'))
  expect(seen.stdout).toContain(`master ${pid} `)
  expect((await project.status()).master.pid).toBe(pid)
  expect(await Container.exec(project, 'stop')).toMatchObject({ code: 0, stderr: '' })
  await gone(pid)
})

container('of several that start at once in containers of their own one does, and the others say so', async () => {
  const project = web()
  const all = [1, 2, 3].map(() => Container.launch(project))
  const ways = await Promise.all(
    all.map((running) =>
      Promise.race([running.line(/^ready in /m).then(() => 'ready'), running.ended.then(() => 'ended')]),
    ),
  )
  expect(ways.sort()).toEqual(['ended', 'ended', 'ready'])
  const [first, second] = await Promise.all(all.filter(({ stderr }) => stderr !== '').map(({ ended }) => ended))
  for (const lost of [first, second])
    expect(lost).toMatchObject({ code: 1, stderr: expect.stringMatching(TAKEN) as string })
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(project.log).not.toContain('made again')
})
