/** The words of the command line: what is typed wrong, what a program reads, what a person reads. Group G. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { heard, type JsonError, oneJson, shiftwork, untilHeard } from '../helpers/cli.ts'
import { BIN, Project, type Result } from '../helpers/project.ts'

function web(options: Record<string, unknown> = {}): Project {
  return Project.create({ 'start.js': webStart(options), 'app.js': app('1') })
}

interface Mistake {
  words: string[]
  says: RegExp
  hint: RegExp
  code?: number
}

/** Every one is one sentence, one hint, and exit code 2. */
const MISTAKES: Mistake[] = [
  { words: [], says: /^error No command was given$/m, hint: /Commands: start, stop.* See: shiftwork help/ },
  { words: ['statu'], says: /Unknown command "statu"/, hint: /Did you mean "status"\?/ },
  { words: ['rlaod'], says: /Unknown command "rlaod"/, hint: /Did you mean "reload"\?/ },
  { words: ['frobnicate'], says: /Unknown command "frobnicate"/, hint: /Commands: start, stop/ },
  { words: ['status', '--jsno'], says: /Unknown option --jsno/, hint: /Did you mean --json\?/ },
  { words: ['--deamon', 'start'], says: /Unknown option --deamon/, hint: /Did you mean --daemon\?/ },
  { words: ['start', '-x'], says: /Unknown option -x/, hint: /See: shiftwork help/ },
  { words: ['start', '--no-daemon'], says: /Unknown option --no-daemon/, hint: /See: shiftwork help/ },
  { words: ['stop', '-d'], says: /"stop" takes no --daemon/, hint: /It belongs to start, restart\./ },
  { words: ['start', '--force'], says: /"start" takes no --force/, hint: /It belongs to stop, restart, reload\./ },
  { words: ['status', '--timeout', '3'], says: /"status" takes no --timeout/, hint: /stop, restart, reload/ },
  { words: ['stop', '--timeout'], says: /--timeout needs a value/, hint: /For example: --timeout 10/ },
  { words: ['stop', '--timeout', 'soon'], says: /--timeout is "soon"/, hint: /seconds, from 0 to 86400/ },
  { words: ['stop', '--timeout', '-1'], says: /--timeout/, hint: /seconds/ },
  { words: ['stop', '--timeout', '1', '--timeout', '2'], says: /--timeout is given 2 times/, hint: /Once/ },
  { words: ['reload', '--dry-run=yes'], says: /--dry-run takes no value/, hint: /Write it alone: --dry-run$/m },
  { words: ['stop', '--graceful=1'], says: /--graceful takes no value/, hint: /Write it alone: --graceful$/m },
  { words: ['status', '--state-dir'], says: /--state-dir needs a value/, hint: /--state-dir / },
  { words: ['status', '--state-dir='], says: /--state-dir is empty/, hint: /--state-dir \// },
  {
    words: ['stop', 'extra'],
    says: /"stop" takes a start file and nothing else, not "extra"/,
    hint: /shiftwork stop /,
  },
  { words: ['stop', 'start.js', 'extra'], says: /not "extra"/, hint: /shiftwork stop / },
  { words: ['status', 'web'], says: /not "web"/, hint: /shiftwork status / },
  { words: ['start', 'nofile.ts'], says: /There is no .*nofile\.ts/, hint: /shiftwork start path\/to\/start\.ts/ },
  { words: ['start.js'], says: /The command comes before the start file/, hint: /Type: shiftwork start start\.js/ },
  { words: ['start.js', 'status'], says: /The command comes before/, hint: /Type: shiftwork status start\.js/ },
]

for (const { words, says, hint } of MISTAKES)
  it(`G3 "shiftwork ${words.join(' ')}" is one clear sentence with a hint, exit 2`, async () => {
    const project = web()
    mkdirSync(join(project.dir, 'web'))
    const result = await shiftwork(project, words)
    expect({ code: result.code, stdout: result.stdout }).toEqual({ code: 2, stdout: '' })
    expect(result.stderr).toMatch(says)
    expect(result.stderr).toMatch(hint)
    expect(result.stderr).not.toMatch(/^\s+at /m)
    expect(result.stderr.split('\n').length).toBeLessThanOrEqual(4)
    expect(project.processes).toEqual([])
  })

it('G3 the same mistakes made through the start file say how it was called', async () => {
  const project = web()
  for (const [words, says] of [
    [[], /No command was given\n.* See: node start\.js help/],
    [['statu'], /Unknown command "statu"\n.*Did you mean "status"/],
    [['status', '--jsno'], /Unknown option --jsno\n.*Did you mean --json/],
    [['stop', 'extra'], /"stop" takes no "extra"/],
  ] as const) {
    const result = await project.exec(process.execPath, ['start.js', ...words])
    expect({ words, code: result.code, stdout: result.stdout }).toEqual({ words, code: 2, stdout: '' })
    expect(result.stderr).toMatch(says)
  }
})

it('G3 an unknown worker, or one that is kept, is refused by its name, and nothing is replaced', async () => {
  const project = Project.create({
    'start.js': webStart().replace(
      'Worker.runAll()',
      `new Worker({ name: 'jobs', reloadable: false })\nWorker.runAll()`,
    ),
    'app.js': app('1'),
  })
  await project.start()
  const before = await project.pids()
  mkdirSync(join(project.dir, 'web'))
  const unknown = await shiftwork(project, ['reload', 'wbe'])
  expect({ code: unknown.code, stdout: unknown.stdout }).toEqual({ code: 2, stdout: '' })
  expect(unknown.stderr).toMatch(/There is no worker "wbe"\n\s+Did you mean "web"\?/)
  const kept = await shiftwork(project, ['reload', 'start.js', 'jobs'])
  expect({ code: kept.code, stdout: kept.stdout }).toEqual({ code: 2, stdout: '' })
  expect(kept.stderr).toMatch(/Worker "jobs" is not reloadable/)
  expect(await project.pids()).toEqual(before)
  // a directory of that name stands beside the start file: it is a worker's name all the same
  const right = await shiftwork(project, ['reload', 'web'])
  expect(right.code).toBe(0)
  expect((await project.pids()).filter((pid) => before.includes(pid))).toEqual([])
})

it('G3 options may stand before the command, and joined', async () => {
  const project = web()
  const result = await shiftwork(project, ['--json', 'start', '-d', '--state-dir=run/state'])
  expect(result.code).toBe(0)
  const asked = await untilHeard(() => shiftwork(project, ['--state-dir', 'run/state', 'status', '--json']))
  expect(oneJson<{ master: unknown }>(asked).master).toMatchObject({ state: 'running', daemon: true })
  expect((await shiftwork(project, ['status'])).code).toBe(3)
  expect((await shiftwork(project, ['--timeout=1', 'stop', '--state-dir', 'run/state'])).code).toBe(0)
})

it('G3 a command is a command, whatever lies in the directory', async () => {
  const project = web()
  for (const name of ['start', 'stop', 'status']) project.write(name, 'a note\n')
  expect((await shiftwork(project, ['status'])).code).toBe(3)
  expect((await shiftwork(project, ['start', '-d'])).code).toBe(0)
  expect((await shiftwork(project, ['stop'])).code).toBe(0)
})

it('G3 a directory that was removed is one sentence, and no matter to who names a start file or a state directory', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const inRemoved = (words: string[]): Promise<Result> => {
    const gone = join(project.dir, 'gone')
    mkdirSync(gone)
    const args = ['-c', 'rmdir "$(pwd -P)"; exec "$@"', 'sh', process.execPath, ...words]
    return project.exec('sh', args, { cwd: gone })
  }
  for (const words of [
    [BIN, 'status'],
    [BIN, 'status', 'start.js'],
    [project.startFile, 'status'],
  ])
    expect(await inRemoved(words)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error The directory that you are in does not exist any more\n.*\n$/) as string,
    })
  for (const words of [
    [BIN, 'status', project.startFile],
    [BIN, 'status', '--state-dir', project.stateDir],
    [BIN, 'reload', project.startFile],
    [BIN, 'stop', project.startFile],
  ]) {
    const { code, stderr } = await heard(words, () => inRemoved(words))
    expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: '' })
  }
})

it('G3 without a start file, or in a directory that was named, the one master that lives there is meant', async () => {
  const project = Project.create({ 'server.js': webStart(), 'app.js': app('1') }, { startFile: 'server.js' })
  mkdirSync(join(project.dir, 'empty'))
  const none = await shiftwork(project, ['stop', '.'])
  expect(none).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(`${project.dir} is a directory, and`) as string,
  })
  await project.shiftwork('start', '-d')
  for (const [words, cwd] of [
    [['status'], project.dir],
    [['status', '../'], join(project.dir, 'empty')],
    [['reload', project.dir], project.dir],
    [['reload', './', 'web'], project.dir],
  ] as const) {
    const { code, stderr } = await heard(words, () => shiftwork(project, words, { cwd }))
    expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: '' })
  }
  // also of a start file that is gone, and never where there are two
  project.write('other.js', webStart())
  expect((await shiftwork(project, ['start', '-d', 'other.js'])).code).toBe(0)
  const two = await shiftwork(project, ['stop'])
  expect({ code: two.code, stdout: two.stdout }).toEqual({ code: 2, stdout: '' })
  expect(two.stderr).toMatch(
    /^error Several masters run in .*\n.*\n( +--state-dir \S+(server|other)\.js \(pid \d+\)\n){2}$/,
  )
  expect((await shiftwork(project, ['stop', 'other.js'])).code).toBe(0)
  expect((await shiftwork(project, ['stop', '..'], { cwd: join(project.dir, 'empty') })).code).toBe(0)
  expect(project.processes).toEqual([])
  for (const command of ['start', 'status', 'stop']) {
    const result = await shiftwork(project, [command, './empty'])
    expect({ command, code: result.code, stdout: result.stdout }).toEqual({ command, code: 2, stdout: '' })
    expect(result.stderr).toMatch(
      /^error .*empty is a directory, and there is no start file in it\n +Name the file: shiftwork /,
    )
  }
  // where one of the usual names is there, it is meant
  project.write('start.js', webStart())
  expect((await shiftwork(project, ['start', '-d', '../'], { cwd: join(project.dir, 'empty') })).code).toBe(0)
  expect((await shiftwork(project, ['stop', `${project.dir}/start.js`])).code).toBe(0)
})

it('G3 a master that was started with another state directory is named where none runs', async () => {
  const project = web()
  expect((await shiftwork(project, ['start', '-d', '--state-dir', 'run/state'])).code).toBe(0)
  const words = ['--state-dir', join(project.dir, 'run/state')]
  const { master } = oneJson<{ master: { pid: number } }>(
    await untilHeard(() => shiftwork(project, ['status', '--json', ...words])),
  )
  for (const command of ['status', 'reload', 'stop'])
    expect(await shiftwork(project, [command])).toMatchObject({
      code: 3,
      stderr: `error Not running\n      Running with another state directory:\n      ${words.join(' ')} (pid ${master.pid})\n`,
    })
  expect((await shiftwork(project, ['stop', ...words])).code).toBe(0)
})

it('G4 with --json stdout is one JSON value in every command and for every error', async () => {
  const project = web()
  const errors: [words: string[], code: string, exitCode: number][] = [
    [['status'], 'ERR_NOT_RUNNING', 3],
    [['stop'], 'ERR_NOT_RUNNING', 3],
    [['reload'], 'ERR_NOT_RUNNING', 3],
    [[], 'ERR_USAGE', 2],
    [['statu'], 'ERR_USAGE', 2],
    [['status', '--timeuot', '3'], 'ERR_USAGE', 2],
    [['start', 'nofile.js'], 'ERR_USAGE', 2],
    [['start', 'broken.js'], 'ERR_START_FILE', 1],
    [['start', 'empty.js'], 'ERR_START_FILE', 1],
    [['start', 'wrong.js'], 'ERR_OPTION', 1],
    [['start', '-d', 'failing.js'], 'ERR_WORKER_FAILED', 1],
    [['start', 'failing.js'], 'ERR_WORKER_FAILED', 1],
  ]
  project.write('broken.js', 'import { Worker } from "shiftwork"\nconst a = )\n')
  project.write('empty.js', 'console.log("nothing here")')
  project.write('wrong.js', webStart({ cuont: 2 }))
  project.write('failing.js', `console.log('noise')\n${webStart()}`.replace(`'./app.js'`, `'./missing.js'`))
  for (const [words, code, exitCode] of errors) {
    const result = await shiftwork(project, [...words, '--json'])
    expect({ words, code: result.code }).toEqual({ words, code: exitCode })
    expect(oneJson<JsonError>(result)).toMatchObject({ error: { code }, exitCode })
  }
  for (const words of [['version'], ['help'], ['start', '-d'], ['status'], ['reload'], ['restart'], ['stop']]) {
    const result = await heard(words, () => shiftwork(project, [...words, '--json']))
    expect({ words, code: result.code }).toEqual({ words, code: 0 })
    expect(oneJson(result)).toBeTypeOf('object')
    expect(result.stderr).toBe('')
  }
})

it('G4 start --json in the foreground prints one value though the start file and its workers print', async () => {
  const noisy = `console.log('loading')\n${webStart()}`.replace(
    'const { createApp',
    `console.log('hello')\n  const { createApp`,
  )
  const project = Project.create({ 'start.js': noisy, 'app.js': app('1') })
  const running = project.launch(process.execPath, [BIN, 'start', '--json'])
  await running.line(/^\{"version":1.*\}$/m)
  expect((await project.shiftwork('stop')).code).toBe(0)
  const result = await running.ended
  expect(oneJson<{ master: { state: string } }>(result).master.state).toBe('running')
  expect(result.stderr).toMatch(/^loading$/m)
  expect(result.stderr.match(/^hello$/gm)).toHaveLength(2)
})

/** Runs the words on a terminal of their own (script(1)) and gives what it showed. */
async function onTerminal(project: Project, words: string, env: Record<string, string> = {}): Promise<string> {
  const command = `stty cols 80; ${process.execPath} ${BIN} ${words}`
  const all = { NO_COLOR: '', TERM: 'xterm', ...env }
  const type = (): Promise<Result> => project.exec('script', ['-qefc', command, '/dev/null'], { env: all })
  return (await heard(words.split(' '), type)).stdout
}

const ESCAPE = '\u001b['

it('G5 colours are shown on a terminal, and nowhere else, and not with NO_COLOR', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  for (const words of [['status'], ['reload'], ['help'], ['statu'], ['version']]) {
    const piped = await shiftwork(project, words, { env: { NO_COLOR: '', FORCE_COLOR: '' } })
    expect(piped.stdout + piped.stderr).not.toContain(ESCAPE)
    expect(piped.stdout + piped.stderr).not.toMatch(/[┌│└─╭╰]/)
  }
  expect(await onTerminal(project, 'status')).toContain(`${ESCAPE}32mrunning`)
  const plain = await onTerminal(project, 'status', { NO_COLOR: '1' })
  expect(plain).toContain('Shiftwork running')
  expect(plain).not.toContain(ESCAPE)
})

it('G5 reload draws its lines in place on a terminal, and writes one after the other elsewhere', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const shown = await onTerminal(project, 'reload')
  expect(shown).toContain(`${ESCAPE}2A`)
  expect(stripVTControlCharacters(shown)).toMatch(/^web\/0 pid \d+ serves generation 2 after .*, pid \d+ left after/m)
  const piped = await shiftwork(project, ['reload'])
  expect(piped.stdout.split('\n').filter((line) => /^web\/[01] pid \d+ serves generation 3/.test(line))).toHaveLength(2)
  expect(piped.stdout.split('\n').filter((line) => /^web\/[01] pid \d+ left after/.test(line))).toHaveLength(2)
  expect(piped.stdout).toMatch(/^reload done in .*: 2 workers replaced, generation 3$/m)
})

it('G9 the help fits 80 columns and names every command and option', async () => {
  const project = web()
  for (const flavour of ['shiftwork', 'start file'] as const) {
    const result = flavour === 'shiftwork' ? await shiftwork(project, ['help']) : await project.through('tsx', '--help')
    expect(result.code).toBe(0)
    const lines = result.stdout.split('\n')
    expect(lines.slice(1).filter((line) => line.length > 80)).toEqual([])
    for (const word of ['start', 'stop', 'restart', 'reload', 'status', 'version', 'help'])
      expect(result.stdout).toMatch(new RegExp(`^  ${word} `, 'm'))
    for (const option of ['daemon', 'graceful', 'timeout', 'force', 'state-dir', 'json'])
      expect(result.stdout).toMatch(new RegExp(`--${option} `))
    expect(result.stdout).not.toMatch(/\n\n\n|\[(boolean|string)\]/)
  }
  expect((await shiftwork(project, ['reload', '-h'])).code).toBe(0)
})
