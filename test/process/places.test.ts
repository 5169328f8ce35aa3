/** A master is found again from everywhere, and a reload follows the link of a release directory. Scenarios F8, F9. */
import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import type { Status } from '../../src/ipc/status.ts'
import { app, webStart } from '../helpers/apps.ts'
import { heard, oneJson, shiftwork, untilHeard, type Where } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { Project, type ProjectOptions } from '../helpers/project.ts'

function web(options: ProjectOptions = {}): Project {
  return Project.create({ [options.startFile ?? 'start.js']: webStart(), 'app.js': app('1') }, options)
}

async function statusOf(project: Project, words: string[], where: Where): Promise<Status> {
  return oneJson<Status>(await untilHeard(() => shiftwork(project, ['status', '--json', ...words], where)))
}

/** Every command, each with the words and from the place given. */
async function expectFound(project: Project, words: string[], where: Where): Promise<void> {
  for (const command of [['start', '-d'], ['status'], ['reload'], ['restart', '--json'], ['stop']]) {
    const result = await heard(command, () => shiftwork(project, [...command, ...words], where))
    expect({ command, code: result.code, stderr: result.stderr }).toEqual({ command, code: 0, stderr: '' })
  }
  expect((await shiftwork(project, ['status', ...words], where)).code).toBe(3)
}

const PLACES: [what: string, options: ProjectOptions][] = [
  ['a plain path', {}],
  ['blanks and non-ASCII letters in the path', { directory: 'Größe – 名前 & co/my app', startFile: 'dev öl.js' }],
  ['a path of more than 107 bytes', { directory: `${'deep/'.repeat(12)}${'long'.repeat(20)}`, startFile: 'start.js' }],
  ['quotes and a percent sign in the path', { directory: `it's 100%20 "done" #1?`, startFile: 'start.js' }],
]

for (const [what, options] of PLACES)
  it(`F8 every command works from another directory with ${what}`, async () => {
    const project = web(options)
    if (what.includes('107')) expect(Buffer.byteLength(join(project.stateDir, 'control.sock'))).toBeGreaterThan(107)
    await expectFound(project, [project.startFile], { cwd: '/' })
    await expectFound(project, [options.startFile ?? 'start.js'], { cwd: project.dir, env: { PWD: project.dir } })
  })

it('F8 a master is found by the link that it was started with, and the other way round', async () => {
  const project = web()
  const outside = join(project.root, 'outside')
  mkdirSync(outside)
  symlinkSync(project.dir, join(outside, 'link'))
  symlinkSync(project.startFile, join(outside, 'app.js'))
  await expectFound(project, ['link/start.js'], { cwd: outside })
  await expectFound(project, [join(outside, 'app.js')], { cwd: '/' })
  await expectFound(project, [], { cwd: join(outside, 'link'), env: { PWD: join(outside, 'link') } })
  expect((await shiftwork(project, ['start', '-d', project.startFile])).code).toBe(0)
  for (const path of [join(outside, 'link/start.js'), join(outside, 'app.js')])
    expect({ path, code: (await untilHeard(() => shiftwork(project, ['status', path]))).code }).toEqual({
      path,
      code: 0,
    })
  expect((await shiftwork(project, ['stop', join(outside, 'app.js')])).code).toBe(0)
})

const ASKED = `
import { writeFileSync } from 'node:fs'
import { stateDirOf, Worker } from 'shiftwork'
const web = new Worker({ name: 'web', sweepChildren: false })
web.onWorkerStart = () => writeFileSync('worker.txt', JSON.stringify([Worker.stateDir, stateDirOf('start.js')]))
Worker.onMasterStop = () => writeFileSync('master.txt', JSON.stringify([Worker.stateDir, stateDirOf('start.js')]))
writeFileSync('top.txt', JSON.stringify([Worker.stateDir]))
Worker.runAll()
`

it('F8 Worker.stateDir is the same in the workers and the master, as it was chosen, and null elsewhere; stateDirOf is its default', async () => {
  const project = Project.create({ 'start.js': ASKED })
  for (const mode of [[], ['-d']])
    for (const stateDir of [project.stateDir, join(project.root, 'elsewhere')]) {
      const words = stateDir === project.stateDir ? [] : ['--state-dir', 'elsewhere']
      const expected = [stateDir, project.stateDir]
      if (mode.length === 0) await project.start('js', words)
      else expect((await shiftwork(project, ['start', '-d', ...words, project.startFile])).code).toBe(0)
      expect(JSON.parse(project.read('worker.txt'))).toEqual(expected)
      // the command line evaluates the start file, too
      expect((await untilHeard(() => project.through('js', 'status', ...words))).code).toBe(0)
      expect(JSON.parse(project.read('top.txt'))).toEqual([null])
      expect((await shiftwork(project, ['stop', ...words, project.startFile])).code).toBe(0)
      expect(JSON.parse(project.read('master.txt'))).toEqual(expected)
    }
})

// ---- releases ------------------------------------------------------------------------------------------------------

class Releases {
  readonly project: Project
  readonly current: string

  constructor() {
    this.project = Project.create({}, { directory: 'releases/1' })
    this.current = join(this.project.root, 'current')
    for (const version of ['1', '2', '3']) this.#write(version)
    // of all releases: each of them may be removed
    renameSync(join(this.project.dir, 'node_modules'), join(this.project.root, 'node_modules'))
    this.switchTo('1')
  }

  directory(version: string): string {
    return join(dirname(this.project.dir), version)
  }

  #write(version: string): void {
    const { project } = this
    for (const [name, text] of [
      ['start.js', webStart()],
      ['app.js', app(version)],
      ['package.json', project.read('package.json')],
    ] as const)
      project.write(`../${version}/${name}`, text)
  }

  /** As deployment tools do it: a new link, moved over the old one. */
  switchTo(version: string): void {
    symlinkSync(join('releases', version), `${this.current}.new`)
    renameSync(`${this.current}.new`, this.current)
  }
}

async function versionAt(port: number): Promise<string> {
  return (JSON.parse((await get({ port })).body) as { version: string }).version
}

for (const from of ['by the absolute path of the link', 'from inside the link'] as const)
  it(`F9 started ${from}, a reload runs the release that the link leads to by then`, async () => {
    const releases = new Releases()
    const { project, current } = releases
    const inside = from === 'from inside the link'
    const words = inside ? [] : [join(current, 'start.js')]
    // a shell stays in the directory that it went to, whatever becomes of the link
    const where = inside ? { cwd: releases.directory('1'), env: { PWD: current } } : { cwd: '/' }
    expect((await shiftwork(project, ['start', '-d', ...words], where)).code).toBe(0)
    const status = await statusOf(project, words, where)
    const port = Number(/:(\d+)$/.exec(status.groups[0]?.listen[0] ?? '')?.[1])
    expect(await versionAt(port)).toBe('1')
    for (const version of ['2', '3']) {
      releases.switchTo(version)
      const reload = await shiftwork(project, ['reload', ...words], where)
      expect({ code: reload.code, stderr: reload.stderr }).toEqual({ code: 0, stderr: '' })
      expect(await versionAt(port)).toBe(version)
      expect((await statusOf(project, words, where)).master.pid).toBe(status.master.pid)
      // a new shell, in the new release
      const newShell = { cwd: releases.directory(version), env: { PWD: current } }
      expect((await statusOf(project, [], newShell)).master.pid).toBe(status.master.pid)
    }
    // no worker is in the release in which it all began; a deployment removes that one
    for (const { pid } of (await statusOf(project, words, where)).groups[0]?.processes ?? [])
      expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(inside ? releases.directory('3') : '/')
    for (const version of ['1', '2']) rmSync(releases.directory(version), { recursive: true })
    const later = inside ? { cwd: releases.directory('3'), env: { PWD: current } } : where
    expect((await shiftwork(project, ['reload', ...words], later)).code).toBe(0)
    expect((await statusOf(project, words, later)).master.warnings).toEqual([])
    expect((await shiftwork(project, ['restart', join(current, 'start.js')], { cwd: '/' })).code).toBe(0)
    expect((await shiftwork(project, ['stop', ...words], later)).code).toBe(0)
    expect(project.processes).toEqual([])
  })

it('F9 a working directory that was removed keeps no worker from being started, and status says so', async () => {
  const project = web()
  const gone = join(project.root, 'gone')
  mkdirSync(gone)
  expect((await shiftwork(project, ['start', '-d', project.startFile], { cwd: gone })).code).toBe(0)
  rmSync(gone, { recursive: true })
  expect((await shiftwork(project, ['reload', project.startFile])).code).toBe(0)
  const { groups, master } = await statusOf(project, [project.startFile], { cwd: '/' })
  for (const { pid } of groups[0]?.processes ?? []) expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(project.dir)
  expect(master.warnings).toEqual([`the working directory ${gone} is gone: workers are started in ${project.dir}`])
  expect((await shiftwork(project, ['stop', project.startFile])).code).toBe(0)
})

it('F9 a $PWD left over from a project beside this one leads nobody astray', async () => {
  const releases = new Releases()
  const { project, current } = releases
  project.write('../2/package.json', '{ "name": "another", "type": "module" }')
  releases.switchTo('2')
  expect((await shiftwork(project, ['start', '-d', join(current, 'start.js')])).code).toBe(0)
  const where = { cwd: releases.directory('1'), env: { PWD: current } }
  expect((await shiftwork(project, ['stop'], where)).code).toBe(3)
  expect((await shiftwork(project, ['stop', join(current, 'start.js')], where)).code).toBe(0)
})
