/** Where a watch looks: paths that the user names, releases behind a symlink, a system that gives no watches. H7. */
import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { get } from '../helpers/client.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { Watched } from '../helpers/watched.ts'

it('H7 paths in runAll turn it on, for a daemon too: all files in them, also when they come later or come again', async () => {
  const project = Project.create({
    'start.js': webStart().replace('runAll()', `runAll({ watch: ['templates', 'dist', './app.conf'] })`),
    'app.js': app('1'),
    'templates/page.html': 'one',
    'app.conf': 'one',
  })
  expect((await project.through('js', 'start', '-d')).code).toBe(0)
  const { master } = await project.status()
  expect(master).toMatchObject({ watching: true, daemon: true })
  expect(master.warnings).toEqual([`${join(project.dir, 'dist')} is to be watched and does not exist yet`])
  const told = async (file: string): Promise<void> => {
    await until(`${file} is told`, () => new RegExp(` ${file}( and \\d+ more)? changed: reload`).test(project.log))
  }
  // in one step: a file that is emptied before it is written may be two changes
  appendFileSync(join(project.dir, 'templates/page.html'), ' and more')
  await told('templates/page.html')
  appendFileSync(join(project.dir, 'app.conf'), ' and more')
  await told('app.conf')
  project.write('dist/main.js', '')
  await told('dist/main.js')
  // a build that begins with rm -rf
  rmSync(join(project.dir, 'dist'), { recursive: true })
  mkdirSync(join(project.dir, 'dist/assets'), { recursive: true })
  writeFileSync(join(project.dir, 'dist/assets/style.css'), '')
  await told('dist/assets/style.css')
  writeFileSync(join(project.dir, 'dist/assets/late.css'), '')
  await told('dist/assets/late.css')
  // not named, not watched
  expect(project.log).not.toContain('app.js')
  expect((await project.shiftwork('stop')).code).toBe(0)
})

it('H7 a directory that a build deletes and makes again in one breath is watched, whatever it writes later', async () => {
  const start = webStart().replace('./app.js', './dist/app.js')
  const project = Project.create({ 'start.js': start, 'dist/app.js': app('1') })
  await project.start('js', ['--watch'])
  const port = await project.port()
  const dist = join(project.dir, 'dist')
  const aside = join(project.root, `../${project.mark}`)
  for (const [version, discard] of [
    // the next one may be given its number
    ['2', () => rmSync(dist, { recursive: true })],
    ['3', () => renameSync(dist, aside)],
  ] as const) {
    const rejected = project.log.split('reload rejected').length
    discard()
    mkdirSync(dist)
    // it was looked at, and is empty
    await until('nothing is there', () => project.log.split('reload rejected').length > rejected)
    project.write('dist/app.js', app(version))
    const serves = async (): Promise<boolean> => (await get({ port })).body.includes(`"version":"${version}"`)
    await until(`version ${version} serves`, serves)
  }
  rmSync(aside, { recursive: true })
})

it('H7 a release that is switched by its symlink is a change, and is watched from then on', async () => {
  const start = webStart()
  const manifest = JSON.stringify({ name: 'project', type: 'module' })
  const files = (version: string): Record<string, string> => ({
    [`releases/${version}/start.js`]: start,
    [`releases/${version}/app.js`]: app(version),
    [`releases/${version}/package.json`]: manifest,
  })
  const project = Project.create({ ...files('1'), ...files('2') }, { startFile: 'current/start.js' })
  symlinkSync('releases/1', join(project.dir, 'current'))
  const running = await project.start('js', ['--watch'])
  const port = Number((await running.line(/127\.0\.0\.1:(\d+)/))[1])
  const serves = (version: string): Promise<void> =>
    until(`version ${version} serves`, async () => (await get({ port })).body.includes(`"version":"${version}"`))
  await serves('1')
  symlinkSync('releases/2', join(project.dir, 'next'))
  renameSync(join(project.dir, 'next'), join(project.dir, 'current'))
  await serves('2')
  project.write('releases/2/app.js', app('3'))
  await serves('3')
})

it('H7 a master that gets no watches says so, looks at its files instead, and serves on', async () => {
  const spoilt = `import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
const watch = () => { throw Object.assign(new Error('ENOSPC: no space left on device, watch'), { code: 'ENOSPC' }) }
fs.watch = watch
syncBuiltinESMExports()
`
  const watched = await Watched.start({ 'start.js': spoilt + webStart() })
  const { project, running } = watched
  await running.line(/warning watch: ENOSPC, .*fs\.inotify\.max_user_watches/)
  watched.save('app.js', app('2'))
  await watched.ended(1)
  expect(watched.changes()).toEqual(['app.js'])
  expect(running.stdout.match(/ENOSPC/g)).toHaveLength(1)
  expect((await project.status()).master.warnings[0]).toContain('max_user_watches')
})
