/** The command before a reload: it must succeed, its output is shown, and nothing of it stays behind. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Container, whyNoContainer } from '../helpers/container.ts'
import { gone, kill } from '../helpers/faults.ts'
import { Load } from '../helpers/load.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project, REPOSITORY, type Result } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'

function start(preReload: unknown, options: Record<string, unknown> = {}): string {
  const run = `Worker.runAll(${JSON.stringify({ preReload })})`
  return webStart({ bakeMs: 0, ...options }).replace('Worker.runAll()', () => run)
}

async function started(preReload: unknown, args: readonly string[] = []): Promise<Project> {
  const project = Project.create({ 'start.js': start(preReload), 'app.js': app('1') })
  await project.start('js', args)
  return project
}

/** The pid that the command has written. */
async function pidIn(project: Project, name: string): Promise<number> {
  const path = join(project.dir, name)
  await until(`${name} is written`, () => existsSync(path) && readFileSync(path, 'utf8').endsWith('\n'))
  const pid = Number(readFileSync(path, 'utf8'))
  expect(pid).toBeGreaterThan(1)
  return pid
}

it('runs before each commanded reload, in the project, and shows its output to who asked and in the log', async () => {
  const project = await started('echo "building in $PWD"; echo oops >&2; echo built >> builds; printf "no newline"')
  const load = new Load({ target: { port: await project.port() }, clients: 10, pauseMs: [5, 30] })
  const text = await project.shiftwork('reload')
  expect(text).toMatchObject({ code: 0, stderr: '' })
  for (const line of [`building in ${project.dir}`, 'oops', 'no newline']) {
    expect(text.stdout).toContain(`preReload │ ${line}\n`)
    expect(project.log).toContain(`preReload │ ${line}\n`)
  }
  expect(text.stdout.indexOf('preReload │')).toBeLessThan(text.stdout.indexOf('serves generation 2'))
  const { code, summary } = await project.reload()
  expect([code, summary.result]).toEqual([0, 'done'])
  expect(project.read('builds')).toBe('built\nbuilt\n')
  await load.more(50)
  expect((await load.stop()).failed).toBe(0)
})

it('does not run for a reload that a change of a file brought about', async () => {
  const project = await started('echo built >> builds', ['--watch'])
  project.write('app.js', app('2'))
  await until('it is reloaded', () => / reload done after /.test(project.log))
  expect(existsSync(join(project.dir, 'builds'))).toBe(false)
})

for (const [what, command, why] of [
  ['fails', 'echo compiling; echo "error TS2322" >&2; exit 3', /exited with code 3/],
  ['does not exist', './no-such-build', /exited with code 127/],
  ['is killed', 'echo compiling; kill -KILL $$', /was ended by SIGKILL/],
  [
    'fails after a megabyte without a newline',
    'head -c 1000000 /dev/zero | tr "\\\\0" x; echo; echo "last words"; exit 1',
    /exited with code 1/,
  ],
] as const)
  it(`one that ${what} rejects the reload: exit 5, nothing touched, its last lines are shown`, async () => {
    const project = await started(command)
    const before = await project.pids()
    const load = new Load({ target: { port: await project.port() }, clients: 10, pauseMs: [5, 30] })
    const { code, summary } = await project.reload()
    expect([code, summary.result, summary.replaced]).toEqual([5, 'rejected', []])
    expect(summary.error?.worker).toBe('preReload')
    expect(summary.error?.message).toMatch(why)
    if (what === 'fails') expect(summary.error?.output).toBe('compiling\nerror TS2322\n')
    if (what === 'does not exist') expect(summary.error?.output).toContain('no-such-build')
    if (what.includes('megabyte')) expect(summary.error?.output).toMatch(/^x+\nlast words\n$/)
    expect(await project.pids()).toEqual(before)
    expect(project.log).not.toContain('drains')
    await load.more(50)
    const result = await load.stop()
    expect([result.failed, new Set(result.lastVersions)]).toEqual([0, new Set(['1'])])
  })

it('a deadline ends all of its processes, also those that will not hear of it', async () => {
  const command = `trap '' TERM; sleep 600 & echo $! > child.pid; echo $$ > own.pid; echo waiting; wait; sleep 600`
  const project = await started({ command, timeoutMs: 3_000 })
  const before = await project.pids()
  // on a busy machine the command may not come in its time as far as it is to hang
  const { code, summary } = await inTime(
    () => project.reload(),
    ({ summary }) => summary.error?.output !== 'waiting\n',
  )
  expect([code, summary.result]).toEqual([5, 'rejected'])
  expect(summary.error).toMatchObject({
    worker: 'preReload',
    message: expect.stringContaining('did not end within 3000 ms') as string,
    output: 'waiting\n',
  })
  for (const name of ['child.pid', 'own.pid']) expect(isAlive(await pidIn(project, name))).toBe(false)
  expect(await project.pids()).toEqual(before)
})

it('what it leaves in the background neither holds up the reload nor is ended with it', async () => {
  const project = await started({ command: 'sleep 600 & echo $! > child.pid; echo built', timeoutMs: 60_000 })
  const { code, summary } = await project.reload()
  expect([code, summary.result]).toEqual([0, 'done'])
  const pid = await pidIn(project, 'child.pid')
  expect(isAlive(pid)).toBe(true)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(isAlive(pid)).toBe(true)
  await kill(project, pid)
})

for (const [what, trap] of [
  ['', ''],
  [' that ignores SIGTERM', `trap '' TERM; `],
] as const)
  it(`D2 a stop during a command${what} ends it and cancels the reload, and nothing is left`, async () => {
    const project = await started(`${trap}echo $$ > own.pid; sleep 600; sleep 600`)
    const reload = project.shiftwork('reload')
    const pid = await pidIn(project, 'own.pid')
    expect(isAlive(pid)).toBe(true)
    const stopped = await project.shiftwork('stop')
    expect(stopped).toMatchObject({ code: 0, stderr: '' })
    expect(isAlive(pid)).toBe(false)
    expect(await reload).toMatchObject({ code: 1, stdout: expect.stringContaining('reload cancelled') as string })
    expect(project.processes).toEqual([])
  })

it.skipIf(whyNoContainer() !== null)(
  'a master that is the first process of a container ends a command in time, and buries what it leaves',
  async () => {
    const command = 'if [ -e slow ]; then sleep 600 & sleep 600; fi; echo built'
    const project = Project.create({ 'start.js': start({ command, timeoutMs: 3_000 }), 'app.js': app('1') })
    const container = await Container.start(project)
    // three seconds are short for a machine that is busy
    const reload = (): Promise<Result> =>
      inTime(
        () => container.shiftwork('reload'),
        ({ code }) => code === 5,
      )
    expect(await reload()).toMatchObject({ code: 0, stderr: '' })
    expect(container.zombies).toEqual([])
    project.write('slow', '')
    const late = await container.shiftwork('reload')
    expect({ code: late.code, stdout: late.stdout }).toEqual({
      code: 5,
      stdout: expect.stringContaining('did not end within 3000 ms') as string,
    })
    rmSync(join(project.dir, 'slow'))
    expect((await reload()).code).toBe(0)
    project.write('slow', '')
    void container.shiftwork('reload')
    await until('it runs', () => project.processes.some(({ title }) => title.includes('sleep 600')))
    // it goes with the first process, as everything in there
    void container.shiftwork('stop')
    expect(await container.ended).toMatchObject({ code: 0, stderr: '' })
  },
)

it.skipIf(process.getuid?.() !== 0)(
  'one that its master may not end is given up, and what goes on is named',
  async () => {
    const command = 'sleep 600 & echo $! > child.pid; wait'
    // as when the command has become another user's
    const script = `
import { existsSync } from 'node:fs'
import { runGate } from '${REPOSITORY}/dist/master/gate.js'
const onEnd = (failure) => { console.log(failure.message); process.exit() }
const abort = runGate({ command: '${command}', cwd: process.cwd(), timeoutMs: 60_000, onLine: () => undefined, onEnd })
const looks = setInterval(() => {
  if (!existsSync('child.pid')) return
  clearInterval(looks)
  process.setuid(65_534)
  abort()
}, 20)`
    const project = Project.create({ 'gate.mjs': script })
    const { stdout, stderr } = await project.exec(process.execPath, ['gate.mjs'])
    expect(stderr).toBe('')
    const [, left = ''] = /^was ended \(what it has started goes on: pid ([\d, ]+)\)\n$/.exec(stdout) ?? []
    expect(left.split(', ')).toContain(String(await pidIn(project, 'child.pid')))
    // the guard still can
    await until('all is gone', () => project.processes.length === 0)
  },
)

it('F4 a master that is killed takes the command with it', async () => {
  const project = await started(`trap '' TERM; echo $$ > own.pid; sleep 600; sleep 600`)
  const reload = project.shiftwork('reload')
  const pid = await pidIn(project, 'own.pid')
  expect(isAlive(pid)).toBe(true)
  await kill(project, (await project.status()).master.pid)
  await gone(pid)
  expect((await reload).code).toBe(4)
  await until('all is gone', () => project.processes.length === 0)
})

it('D1 while a command takes its time crashes are made good, and the reloads that come wait for it', async () => {
  const project = await started('echo run >> runs; until [ -e go ]; do sleep 0.05; done')
  const first = project.reload()
  await until('it runs', () => existsSync(join(project.dir, 'runs')))
  const before = await project.pids()
  const rest = [project.reload(), project.reload('--strategy', 'atomic')]
  // crashes are made good meanwhile, by what is there
  await kill(project, before[1] ?? 0)
  await until('it is back', async () => {
    const pids = await project.pids()
    return pids.length === 2 && pids[0] === before[0] && pids[1] !== before[1]
  })
  project.write('go', '')
  const answers = await Promise.all([first, ...rest])
  expect(answers.map(({ code, summary }) => [code, summary.result])).toEqual(answers.map(() => [0, 'done']))
  expect(project.read('runs').trim().split('\n').length).toBeLessThanOrEqual(3)
})
