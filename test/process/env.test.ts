/** New code is started with the environment that its own start file gives it, from its first line on. U5. */
import { expect, it } from 'vitest'
import { get } from '../helpers/client.ts'
import { Load } from '../helpers/load.ts'
import { Project } from '../helpers/project.ts'

/** Answers with what LEVEL was while the file was read, and what it is now. */
function levelled(env: string, count: number): string {
  return `
import { Worker } from 'shiftwork'
const atImport = process.env.LEVEL ?? 'none'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: ${count}, bakeMs: 20, env: ${env} })
web.onRequest = (request, response) => {
  response.end(JSON.stringify({ pid: process.pid, version: atImport + ' ' + (process.env.LEVEL ?? 'none') }))
}
Worker.runAll()
`
}

for (const [count, strategy] of [
  [1, 'rolling'],
  [3, 'atomic'],
] as const)
  it(`U5 env that changes, and goes, is that of the new code while it loads (${strategy}, ${count} of it); nothing is lost`, async () => {
    const project = Project.create({ 'start.js': levelled("{ LEVEL: '1' }", count) })
    await project.start()
    const load = new Load({ target: { port: await project.port() }, clients: 15, pauseMs: [0, 10] })
    await load.more(50)
    for (const [env, seen] of [
      ["{ LEVEL: '2' }", '2 2'],
      ['{}', 'none none'],
      ["{ LEVEL: '3' }", '3 3'],
    ] as const) {
      project.write('start.js', levelled(env, count))
      const { code, summary } = await project.reload('--strategy', strategy)
      expect({ code, result: summary.result, replaced: summary.replaced.length }).toEqual({
        ...{ code: 0, result: 'done', replaced: count },
      })
      await load.more(400)
      expect(new Set(load.result.lastVersions.slice(-50))).toEqual(new Set([seen]))
    }
    const { failed, errors } = await load.stop()
    expect({ failed, errors }).toEqual({ failed: 0, errors: [] })
  })

it('U5 env that is made of the whole environment is no change of the start file, and reaches nobody else', async () => {
  const env = "{ ...process.env, LEVEL: '1' }"
  const project = Project.create({ 'start.js': levelled(env, 2) })
  await project.start()
  for (const [level, strategy] of [
    ['1', 'rolling'],
    ['2', 'atomic'],
  ] as const) {
    project.write('start.js', levelled(env.replace("'1'", `'${level}'`), 2))
    const { code, summary } = await project.reload('--strategy', strategy)
    expect({ code, result: summary.result, replaced: summary.replaced.length }).toEqual({
      ...{ code: 0, result: 'done', replaced: 2 },
    })
    expect(JSON.parse((await get({ port: await project.port() })).body)).toMatchObject({ version: `${level} ${level}` })
  }
})

/** What every worker of the group has, by its own answer. */
async function levels(project: Project): Promise<string[]> {
  const port = await project.port()
  const left = new Set(await project.pids())
  const seen = new Set<string>()
  while (left.size > 0) {
    const { pid, version } = JSON.parse((await get({ port })).body) as { pid: number; version: string }
    left.delete(pid)
    seen.add(version)
  }
  return [...seen]
}

it('U5 env that is made of itself does not grow with each reload, one that leaves it to the master is without it again', async () => {
  const grown = "{ LEVEL: (process.env.LEVEL ?? '') + 'x' }"
  const project = Project.create({ 'start.js': levelled(grown, 2) })
  await project.start()
  for (const strategy of ['rolling', 'atomic']) {
    expect((await project.reload('--strategy', strategy)).code).toBe(0)
    expect(await levels(project)).toEqual(['x x'])
  }
  project.write('start.js', levelled('{ ...process.env }', 2))
  expect((await project.reload()).code).toBe(0)
  expect(await levels(project)).toEqual(['none none'])
})

it('U5 env of one group is not that of another, whichever is read first', async () => {
  const start = `
import { Worker } from 'shiftwork'
for (const name of ['a', 'b']) {
  const worker = new Worker('http://127.0.0.1:0', { name, count: 1, bakeMs: 20, env: { ...process.env, ['ONLY_' + name]: '1' } })
  worker.onRequest = (request, response) => response.end(JSON.stringify([process.env.ONLY_a, process.env.ONLY_b]))
}
Worker.runAll()
`
  const project = Project.create({ 'start.js': start })
  await project.start()
  for (const strategy of ['rolling', 'atomic']) {
    expect((await project.reload('--strategy', strategy)).code).toBe(0)
    expect((await get({ port: await project.port('a') })).body).toBe('["1",null]')
    expect((await get({ port: await project.port('b') })).body).toBe('[null,"1"]')
  }
})

it('an env that is another one in each process is what was read first, in all of them', async () => {
  const project = Project.create({ 'start.js': levelled("{ LEVEL: '1' }", 3) })
  await project.start()
  project.write('start.js', levelled('{ LEVEL: String(process.pid) }', 3))
  const { code, summary } = await project.reload()
  expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
  expect(await levels(project)).toHaveLength(1)
})
