/** New code is started with the environment that its own start file gives it, from its first line on. U5. */
import { expect, it } from 'vitest'
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
