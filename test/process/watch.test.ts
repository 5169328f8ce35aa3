/** Watching: each change reloads once, nothing is lost, and what is broken changes nothing. H7, D6. */
import { appendFileSync, renameSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { get } from '../helpers/client.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Watched } from '../helpers/watched.ts'

it('H7 D6 under load: a change reloads once, a hundred during a reload once more, and nothing is lost', async () => {
  // a worker is ready when the gate is open: the reload goes on for as long as the test wants
  const gated = `import { existsSync } from 'node:fs'
while (existsSync(new URL('./closed.gate', import.meta.url))) await new Promise((wait) => setTimeout(wait, 10))
${app('2')}`
  const watched = await Watched.start({})
  const { project, running } = watched
  // code that is not ready after 5 s is given up for what has changed since
  const overtaken = (): number => running.stdout.match(/watch: a file has changed again before/g)?.length ?? 0
  const target = { port: await project.port() }
  const load = new Load({ target, clients: 10, pauseMs: [5, 20] })
  await load.more(100)

  watched.save('app.js', app('one'))
  await watched.ended(1)
  expect(watched.changes()).toEqual(['app.js'])
  expect(watched.reloads).toBe(1)
  expect(JSON.parse((await get(target)).body)).toMatchObject({ version: 'one' })

  project.write('closed.gate', '')
  watched.save('app.js', gated)
  await running.line(/(?: reload of [\s\S]*){2}/)
  for (let index = 0; index < 100; index++) {
    writeFileSync(watched.at(`part-${index % 10}.js`), `// ${'x'.repeat(index)}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
  project.write('!last.js', '')
  // it is heard of while the reload goes on, so all others are
  await running.line(/!last\.js( and \d+ more)? changed: reload/)
  // one that this change overtakes is told of when its worker has left, and the next has begun by then
  await until('no reload but of those overtaken', () => watched.reloads <= 2 + overtaken())
  rmSync(watched.at('closed.gate'))
  await watched.ended(3)
  await watched.settle()
  // app.js, app.js, all hundred, the sentinel
  expect(watched.reloads).toBeGreaterThanOrEqual(4)
  expect(watched.reloads).toBeLessThanOrEqual(4 + overtaken())
  await load.more(250)
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect(result.failed).toBe(0)
  expect(new Set(result.lastVersions)).toEqual(new Set(['2']))
})

it('H7 a broken change shows its trace once, with file and line, and keeps code and pids; the fix reloads', async () => {
  const watched = await Watched.start({})
  const { project, running } = watched
  const pids = await project.pids()
  const port = await project.port()
  const load = new Load({ target: { port }, clients: 5, pauseMs: [5, 20] })
  await load.more(50)

  watched.save('app.js', 'const a = 1\nexport function createApp( }\n')
  await running.line(/nothing was touched, the old code serves/)
  expect(running.stdout).toMatch(
    /app\.js:2\n.*createApp\( }\n +\^+\n +SyntaxError: [\s\S]*nothing was touched, the old code serves/,
  )
  expect(running.stdout.match(/SyntaxError: /g)).toHaveLength(1)
  expect(await project.pids()).toEqual(pids)

  watched.save('db.js', `export function connect() {\n  throw new Error('no such table: users')\n}\n`)
  await watched.ended(2)
  watched.save('app.js', `import { connect } from './db.js'\nconnect()\n${app('2')}`)
  await watched.ended(3)
  const trace = running.stdout.slice(running.stdout.lastIndexOf('error web/0'))
  expect(trace).toMatch(/Error: no such table: users\n +at connect \(.*db\.js:2:9\)\n +at .*app\.js:2:1/)
  expect(running.stdout.match(/Error: no such table/g)).toHaveLength(1)
  expect(trace).toMatch(/warning reload rejected after .*: nothing was touched, the old code serves\n$/)
  expect(await project.pids()).toEqual(pids)
  expect(new Set(load.result.lastVersions)).toEqual(new Set(['1']))

  watched.save('app.js', app('3'))
  await watched.ended(4)
  expect((await project.pids()).filter((pid) => pids.includes(pid))).toEqual([])
  await load.more(50)
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect(watched.reloads).toBe(4)
})

it('H7 however editors and tools write: by rename, by delete, in two steps, in new directories, 500 at once', async () => {
  const start = webStart({ count: 1, bakeMs: 0 })
  const watched = await Watched.start({ 'start.js': start, 'src/lib.js': '', 'old/gone.js': '' })
  const { project } = watched
  await watched.tells('app.js', () => watched.save('app.js', app('2')))
  // vim with a backup: the old file moves away, a new one takes its name
  await watched.tells('app.js', () => {
    renameSync(watched.at('app.js'), watched.at('app.js~'))
    project.write('app.js', app('3'))
    unlinkSync(watched.at('app.js~'))
  })
  // two changes, where the master looked in between
  await watched.settle()
  await watched.tells('src/lib.js', () => unlinkSync(watched.at('src/lib.js')))
  await watched.tells('old/gone.js', () => rmSync(watched.at('old'), { recursive: true }))
  await watched.tells('new/deep/a.js', () => project.write('new/deep/a.js', ''))
  // a directory that is watched by now like any other
  await watched.tells('new/deep/a.js', () => appendFileSync(watched.at('new/deep/a.js'), '// more'))
  await watched.tells('app.js', () => {
    truncateSync(watched.at('app.js'))
    writeFileSync(watched.at('app.js'), app('4'))
  })
  await watched.settle()
  const before = watched.reloads
  await watched.tells('many/000.js', () => {
    for (let index = 0; index < 500; index++) project.write(`many/${String(index).padStart(3, '0')}.js`, '')
  })
  const rest = await watched.settle()
  // one, and one more for each time that the writing has stood still for a while; and the last file's own
  expect(watched.reloads - before).toBeGreaterThanOrEqual(2)
  expect(watched.reloads - before).toBeLessThanOrEqual(rest.length + 1)
  expect(rest.length).toBeLessThan(50)
  expect(rest.filter((files) => !/^(many\/\d+|!\d+)\.js/.test(files))).toEqual([])
  expect(JSON.parse((await get({ port: await project.port() })).body)).toMatchObject({ version: '4' })
})

it('H7 what the runtime, git, npm, editors and the app itself write reloads nothing', async () => {
  const watched = await Watched.start({
    'node_modules/lib/index.js': '1',
    '.git/HEAD': 'ref',
    'start.js': webStart().replace('Worker.runAll()', `Worker.runAll({ logFile: './logs/app.json' })`),
    'logs/.keep': '',
  })
  const quiet = [
    'node_modules/lib/index.js',
    'node_modules/new/index.js',
    '.git/HEAD',
    '.git/hooks/pre-commit.js',
    '.shiftwork/start.js/notes.json',
    'logs/app.json',
    'logs/app.json.1',
    '4913',
    '.app.js.swp',
    'app.js~',
    'data.sqlite',
    'data.sqlite-journal',
    'uploads/photo.png',
    '.vscode/settings.json',
    'types.d.ts',
  ]
  for (const name of quiet) watched.project.write(name, 'x')
  expect(await watched.settle()).toEqual([])
  for (const name of quiet) watched.project.write(name, 'something else')
  expect(await watched.settle()).toEqual([])
  expect(watched.reloads).toBe(2)
})

it('H7 TypeScript under tsx: the line of the .ts file is shown, the fix is served', async () => {
  const start = webStart().replace('./app.js', './app.ts')
  const watched = await Watched.start(
    { 'start.ts': start, 'app.ts': app('1') },
    { startFile: 'start.ts', flavour: 'tsx-import' },
  )
  const { project, running } = watched
  watched.save('app.ts', `type A = string\n\nthrow new Error('not today')\n`)
  await running.line(/nothing was touched, the old code serves/)
  expect(running.stdout).toMatch(/error web\/0: not today\n +Error: not today\n +at .*app\.ts:3:7/)
  expect(running.stdout.match(/Error: not today/g)).toHaveLength(1)
  watched.save('app.ts', app('2'))
  await watched.ended(2)
  expect(JSON.parse((await get({ port: await project.port() })).body)).toMatchObject({ version: '2' })
})
