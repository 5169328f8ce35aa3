/** The runtime's log as `logs` shows it: formats, the last entries, and what comes, across rotation. */
import { appendFileSync, closeSync, mkdirSync, openSync, renameSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { asNobody, canBeNobody, type JsonError, oneJson, shiftwork } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { freeze, kill, signal } from '../helpers/faults.ts'
import { logFile, loggingProject, rotated, upTo } from '../helpers/logs.ts'
import { until } from '../helpers/processes.ts'
import { BIN, type Project, type Running } from '../helpers/project.ts'

interface Entry {
  at: string | null
  level: string | null
  text: string
  event?: string
  worker?: string
  pid?: number
}

/** A project that never ran, with a log. */
function withLog(text: string): Project {
  const project = loggingProject()
  project.write('.shiftwork/start.js/shiftwork.log', text)
  return project
}

function line(text: string, level = 'info '): string {
  return `2026-03-04T12:00:00.000Z ${level} ${text}\n`
}

function entries(text: string): Entry[] {
  return text
    .split('\n')
    .filter((one) => one !== '')
    .map((one) => JSON.parse(one) as Entry)
}

it.runIf(process.platform === 'linux')('logs -f ends with its reader, though it has nothing more to say', async () => {
  const project = withLog(line('one') + line('two'))
  const command = `{ '${process.execPath}' '${BIN}' logs -f -n 1 '${project.startFile}'; echo "exit $?" >&2; }`
  const head = await project.exec('sh', ['-c', `${command} | head -n 1`])
  expect(head).toMatchObject({ stdout: line('two'), stderr: 'exit 0\n' })
})

it('logs -f goes on in a pipe whose reader has nothing to read', async () => {
  const project = withLog(line('one'))
  const running = project.launch('sh', ['-c', `'${process.execPath}' '${BIN}' logs -f '${project.startFile}' | cat`])
  await running.line(/one/)
  for (const text of ['two', 'three']) {
    appendFileSync(logFile(project), line(text))
    await running.line(new RegExp(text))
  }
  const [reading] = project.processes.filter(({ title }) => title.startsWith(process.execPath))
  signal(project, reading?.pid ?? 0, 'SIGINT')
  expect((await running.ended).stdout).toBe(line('one') + line('two') + line('three'))
})

it('logs --reopen: not running is 3, a frozen master 4, beside -f 2', async () => {
  const project = loggingProject()
  expect((await project.shiftwork('logs', '--reopen')).code).toBe(3)
  expect((await project.shiftwork('logs', '--reopen', '-f')).code).toBe(2)
  const running = await project.start()
  await freeze(project, running.pid)
  const frozen = await project.shiftwork('logs', '--reopen')
  expect(frozen.code).toBe(4)
  expect(frozen.stderr).toMatch(/^error The master \(pid \d+\) does not answer: a signal has stopped it\n/)
})

// ---- formats -------------------------------------------------------------------------------------------------------

it('logFormat json: one object a line, a stack within it, and logs shows it as text', async () => {
  const project = loggingProject({ logFormat: 'json' })
  project.write(
    'app.js',
    app('1').replace(
      'return reply()',
      '{ reply(); if (request.url !== "/") setTimeout(() => { throw new Error("two\\nlines") }); return }',
    ),
  )
  const running = await project.start()
  const [pid = 0] = (await get({ port: await project.port() })).body.match(/\d+/) ?? []
  expect(Number(pid)).toBeGreaterThan(0)
  await get({ port: await project.port() }, '/throw')
  await running.line(/left with code 1/)
  expect((await project.shiftwork('stop')).code).toBe(0)
  const all = entries(project.log)
  expect(all.map(({ at }) => new Date(at ?? '').toISOString())).toEqual(all.map(({ at }) => at))
  const failed = all.find(({ event }) => event === 'failed')
  expect(failed).toMatchObject({ level: 'error', worker: expect.stringMatching(/^web\/[01]$/) as string })
  expect(failed?.text).toMatch(/^web\/[01] \(pid \d+\) failed: two\nlines\nError: two\nlines\n {4}at .*app\.js/)
  expect(failed?.text).toContain(`pid ${failed?.pid}`)
  const json = await project.shiftwork('logs', '--json', '-n', '1000')
  expect(entries(json.stdout)).toEqual(all)
  const text = await project.shiftwork('logs', '-n', '1000')
  expect(text.stdout).toMatch(/ error web\/[01] .* failed: two\n {4}lines\n {4}Error: two\n {4}lines\n {8}at /)
  expect(text.stdout.match(/^\d{4}-\S+Z (info |warn |error) \S/gm)).toHaveLength(all.length)
})

it('what user code throws cannot begin a line of the log, nor of the terminal', async () => {
  const project = loggingProject()
  const forged = '2026-03-04T12:00:00.000Z info  forged\\r2026 info  forged\\u001b[2K'
  project.write(
    'app.js',
    app('1').replace('return reply()', `{ reply(); return setTimeout(() => { throw new Error('x\\n${forged}') }) }`),
  )
  const running = await project.start()
  await get({ port: await project.port() })
  await running.line(/failed: x/)
  await running.line(/left with code 1/)
  expect(project.log).toMatch(/^ {4}2026-03-04T12:00:00\.000Z info {2}forged\\x0d2026 info {2}forged$/m)
  expect(project.log).not.toMatch(/^2026-03-04/m)
  expect([project.log.includes('\r'), project.log.includes('\u001b')]).toEqual([false, false])
  const shown = running.stdout.split('\n').filter((one) => /forged/.test(one))
  expect(shown.length).toBeGreaterThan(0)
  for (const one of shown) expect(one).toMatch(/^ {4}2026-03-04/)
})

// ---- logs ----------------------------------------------------------------------------------------------------------

const STACK = line('web/0 failed: x\n    Error: x\n        at y', 'error')

it('logs shows the last 50 entries, -n so many, an entry with its stack being one', async () => {
  const project = withLog(
    upTo(60)
      .map((n) => line(`line ${n}`))
      .join('') +
      STACK +
      line('last'),
  )
  const all = await project.shiftwork('logs')
  expect(all).toMatchObject({ code: 0, stderr: '' })
  expect(all.stdout).toBe(
    upTo(60)
      .slice(12)
      .map((n) => line(`line ${n}`))
      .join('') +
      STACK +
      line('last'),
  )
  expect((await project.shiftwork('logs', '-n', '2')).stdout).toBe(STACK + line('last'))
  expect((await project.shiftwork('logs', '-n', '0')).stdout).toBe('')
  expect((await project.through('js', 'logs', '-n', '1')).stdout).toBe(line('last'))
})

it('logs --json of either format and of foreign lines: one value a line, fields kept', async () => {
  const at = '2026-03-04T12:00:00.000Z'
  const json = { at, level: 'warn', text: 'a\nb', event: 'kill', pid: 7 }
  const project = withLog(`${line('first')}${STACK}${JSON.stringify(json)}\nno line of ours\n{"at":1}\nno end`)
  const result = await project.shiftwork('logs', '--json')
  expect(result).toMatchObject({ code: 0, stderr: '' })
  expect(entries(result.stdout)).toEqual([
    { at, level: 'info', text: 'first' },
    { at, level: 'error', text: 'web/0 failed: x\nError: x\n    at y' },
    json,
    ...['no line of ours', '{"at":1}', 'no end'].map((text) => ({ at: null, level: null, text })),
  ])
  expect((await project.shiftwork('logs', '-n', '4')).stdout).toBe(
    `${at} warn  a\n    b\nno line of ours\n{"at":1}\nno end\n`,
  )
})

it('logs has colours on a terminal only', async () => {
  const project = withLog(line('careful', 'warn '))
  expect((await project.shiftwork('logs')).stdout).not.toContain('\u001b')
  const words = `${process.execPath} ${BIN} logs ${project.startFile}`
  const terminal = await project.exec('script', ['-qefc', `env -u NO_COLOR TERM=xterm ${words}`, '/dev/null'])
  expect(terminal.stdout).toContain('\u001b[33mwarn\u001b[39m  careful')
})

it('logs where nothing has run is 3, where the log is gone 1, with a hint; --json too', async () => {
  const project = loggingProject()
  const never = await project.shiftwork('logs')
  expect(never.code).toBe(3)
  expect(never.stderr).toMatch(/^error Not running\n +Nothing has run yet: there is no .*\.shiftwork\/start\.js\.$/m)
  const nowhere = await shiftwork(project, ['logs'], { cwd: project.stateDir.replace(/\.shiftwork.*/, 'node_modules') })
  expect(nowhere.stderr).toMatch(/There is no start file in .*node_modules/)
  mkdirSync(project.stateDir, { recursive: true })
  for (const words of [[], ['-f']]) {
    const gone = await project.shiftwork('logs', ...words)
    expect(gone.code).toBe(1)
    expect(gone.stderr).toMatch(/^error There is no log at .*shiftwork\.log\n +The next start begins one\.$/m)
  }
  const json = await project.shiftwork('logs', '--json')
  expect(oneJson<JsonError>(json)).toMatchObject({ error: { code: 'ERR_STATE_DIR' }, exitCode: 1 })
})

it.skipIf(!canBeNobody)("logs of another user's master is refused", async () => {
  const project = withLog(line('secret'))
  const result = await asNobody(project, ['logs', project.startFile])
  expect(result.code).toBe(1)
  expect(result.stderr).toContain('belongs to')
  expect(result.stdout).toBe('')
})

it('logs finds a log elsewhere: with a master that is frozen, dead, and back in the state directory', async () => {
  const project = loggingProject({ logFile: 'var/app.log' })
  mkdirSync(join(project.dir, 'var'))
  const running = await project.start()
  await freeze(project, running.pid)
  expect((await project.shiftwork('logs', '-n', '1')).stdout).toMatch(/ every worker serves\n$/)
  await kill(project, running.pid)
  await until('its workers have left', () => project.processes.length === 0)
  expect((await project.shiftwork('logs', '-n', '1')).stdout).toMatch(/ every worker serves\n$/)
  project.write('start.js', webStart())
  await project.start()
  expect((await project.shiftwork('logs')).stdout.match(/ master \d+ starts /g)).toHaveLength(1)
})

// ---- logs -f -------------------------------------------------------------------------------------------------------

function follow(project: Project, ...words: string[]): Running {
  return project.launch(process.execPath, [BIN, 'logs', '-f', ...words, project.startFile])
}

it('logs -f follows across rename, copytruncate and removal, each line once, until Ctrl-C', async () => {
  const project = withLog(line('before') + line('line 1'))
  const running = follow(project, '-n', '1')
  await running.line(/line 1$/m)
  let count = 1
  const seen = (): Promise<unknown> => running.line(new RegExp(`line ${count}$`, 'm'))
  let writer = openSync(logFile(project), 'a')
  const write = (): void => {
    for (let n = 0; n < 20; n++) writeSync(writer, line(`line ${++count}`))
  }
  for (let round = 0; round < 3; round++) {
    write()
    renameSync(logFile(project), `${logFile(project)}.${round}`)
    // the writer does not know yet
    write()
    if (round > 0) appendFileSync(logFile(project), '')
    write()
    closeSync(writer)
    writer = openSync(logFile(project), 'a')
    write()
    await seen()
    truncateSync(logFile(project))
    writeSync(writer, line(`line ${++count}`))
    await seen()
  }
  closeSync(writer)
  running.kill('SIGINT')
  expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
  expect(running.stdout).toBe(
    upTo(count)
      .map((n) => line(`line ${n}`))
      .join(''),
  )
})

it('logs -f --json joins a stack, shows what comes at once, and ends with its reader', async () => {
  const project = withLog(line('before'))
  const running = follow(project, '-n', '0', '--json')
  const words = `set -o pipefail; ${process.execPath} ${BIN} logs -f -n 1 ${project.startFile} | head -n 1`
  const piped = project.launch('bash', ['-c', words])
  await piped.line(/before/)
  // which of the next lines the follower sees first depends on when it began
  let sent = 0
  await until('it follows', () => {
    appendFileSync(logFile(project), line(`probe ${++sent}`))
    return new Promise((resolve) => setTimeout(() => resolve(/probe/.test(running.stdout)), 50))
  })
  appendFileSync(logFile(project), STACK)
  await running.line(/"level":"error","text":"web\/0 failed: x\\nError: x\\n {4}at y"\}$/m)
  expect(entries(running.stdout).every(({ text }) => /^(probe|web)/.test(text))).toBe(true)
  await until(
    'the pipe has broken',
    () => {
      appendFileSync(logFile(project), line('more'))
      return Promise.race([
        piped.ended.then(() => true),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 50)),
      ])
    },
    30_000,
  )
  expect(await piped.ended).toMatchObject({ code: 0, stderr: '' })
  running.kill('SIGINT')
  expect((await running.ended).code).toBe(0)
})

it('logs -f sees a rotation of a running master, and its restart', async () => {
  const project = loggingProject()
  await project.shiftwork('start', '-d')
  const running = follow(project)
  await running.line(/every worker serves/)
  renameSync(logFile(project), `${logFile(project)}.1`)
  expect((await project.shiftwork('logs', '--reopen')).code).toBe(0)
  await running.line(/log files opened again/)
  expect((await project.shiftwork('restart')).code).toBe(0)
  await running.line(/opened again[\s\S]* stopped\n[\s\S]*every worker serves/)
  expect((await project.shiftwork('stop')).code).toBe(0)
  await running.line(/ stopped\n[\s\S]* stopped\n/)
  running.kill('SIGINT')
  expect((await running.ended).code).toBe(0)
  expect(running.stdout).toBe(rotated(project.stateDir, 'shiftwork.log').join(''))
})
