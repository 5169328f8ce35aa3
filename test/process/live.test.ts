/** `status --watch`, looked at in a real terminal. Group G. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Client } from '../helpers/client.ts'
import { freeze, kill, thaw } from '../helpers/faults.ts'
import { readRow, until } from '../helpers/processes.ts'
import { BIN, Project } from '../helpers/project.ts'
import { hasTmux, Tmux } from '../helpers/tmux.ts'

function web(options: Record<string, unknown> = {}): Project {
  return Project.create({ 'start.js': webStart(options), 'app.js': app('1') })
}

/** The view in a terminal of 80 x 24, and below it how it ended. */
function watch(project: Project, size = { columns: 80, rows: 24 }): Promise<Tmux> {
  const command = `'${process.execPath}' '${BIN}' status '${project.startFile}' --watch 0.2`
  return Tmux.open(project, `echo before\n${command}\necho "exit $?"`, size)
}

const PICTURE = /^Shiftwork running .*\n[\s\S]*^q quits/m
const RESTORED = 'alternate 0, cursor 1, wrap 1'

/** The view has ended with this code, and the terminal is as it was. */
async function expectEnded(terminal: Tmux, code: number): Promise<void> {
  const lines = await terminal.shows(`exit ${code}`, (screen) => /^exit \d+$/m.test(screen))
  expect(lines.filter((line) => line !== '')).toEqual(['before', `exit ${code}`])
  expect(await terminal.modes()).toBe(RESTORED)
}

const inTerminal = it.skipIf(!hasTmux)

inTerminal(
  'G11 status --watch draws groups and processes, follows the size, and q gives the terminal back',
  async () => {
    const project = web({ count: 3 })
    await project.start()
    const [pid = 0] = await project.pids()
    const port = await project.port()
    const terminal = await watch(project)
    const head = /^ +ID +PID +STATE +GEN +UP +MEM +CPU +CONN +REQ\/S +LAG$/m
    const row = new RegExp(`^ +0 +${pid} +serving.* 1  .* MB .*% `, 'm')
    // a worker that is late has no figures in it
    const lines = await terminal.shows('a picture with all figures', (screen) =>
      [PICTURE, head, row].every((part) => part.test(screen)),
    )
    const picture = lines.join('\n')
    expect(picture).not.toContain('before')
    expect(picture).toMatch(new RegExp(`^web  ok  3 workers  http://127\\.0\\.0\\.1:${port}`, 'm'))
    expect(lines).toHaveLength(24)
    expect(await terminal.modes()).toBe('alternate 1, cursor 0, wrap 0')
    await terminal.resize({ columns: 40, rows: 6 })
    await terminal.shows('a small picture', (screen) => / … 2 more processes: all serving$/m.test(screen))
    expect(await terminal.screen()).toHaveLength(6)
    await terminal.resize({ columns: 120, rows: 40 })
    await terminal.shows('a big picture', (screen) => /LAG +LOOP +HEAP$/m.test(screen) && PICTURE.test(screen))
    await terminal.type('q')
    await expectEnded(terminal, 0)
  },
)

inTerminal('G11 status --watch shows a reload as it happens: the old process drains beside the new one', async () => {
  const project = web({ stopTimeoutMs: 60_000 })
  await project.start()
  const old = await project.pids()
  const port = await project.port()
  const terminal = await watch(project)
  await terminal.shows('a picture', (screen) => PICTURE.test(screen))
  // a request whose end is not sent until all was seen
  const client = await Client.open({ port })
  client.send({ method: 'POST', headers: { 'Content-Length': '2' } })
  await terminal.shows('an open connection', (screen) => /^web .* 1 conn /m.test(screen))
  const reload = project.launch(process.execPath, [BIN, 'reload', project.startFile])
  await terminal.shows('old and new side by side', (screen) => {
    const draining = /^ +(\d) +(\d+) +draining +1 /m.exec(screen)
    const fresh = new RegExp(`^ +${draining?.[1]} +(\\d+) +serving(?: lead)? +2 `, 'm').exec(screen)
    return draining !== null && fresh !== null && old.includes(Number(draining[2])) && !old.includes(Number(fresh[1]))
  })
  const lines = await terminal.shows('what goes on', (screen) =>
    /^reloading for \d+ s: .*1 draining with 1 connection$/m.test(screen),
  )
  expect(lines[0]).toMatch(/^Shiftwork reloading /)
  client.socket.write('ok')
  expect(JSON.parse((await client.answer('POST')).body)).toMatchObject({ bytes: 2, generation: 1 })
  expect((await reload.ended).code).toBe(0)
  await terminal.shows(
    'the end of it',
    (screen) =>
      screen.startsWith('Shiftwork running ') && /^last reload done in .* s ago: 2 workers replaced/m.test(screen),
  )
  await terminal.type('C-c')
  await expectEnded(terminal, 0)
})

inTerminal('G11 status --watch stays with a frozen master, one that ends, and the next one', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const { pid } = (await project.status()).master
  const workers = await project.pids()
  const terminal = await watch(project)
  await terminal.shows('a picture', (screen) => PICTURE.test(screen))
  await freeze(project, pid)
  try {
    const why = `The master (pid ${pid}) does not answer: a signal has stopped it`
    const frozen = await terminal.shows('that it is frozen', (screen) => screen.includes(why))
    expect(frozen[0]).toMatch(/^Shiftwork frozen {2}master /)
    expect(frozen.join('\n')).toContain(`kill -CONT ${pid} lets it go on`)
    for (const worker of workers) expect(frozen.join('\n')).toMatch(new RegExp(`^ +\\d +${worker} +\\?`, 'm'))
  } finally {
    await thaw(project, pid)
  }
  await terminal.shows('that it goes on', (screen) => PICTURE.test(screen))
  await project.shiftwork('stop')
  const gone = await terminal.shows('that nothing runs', (screen) => screen.startsWith('Shiftwork not running'))
  expect(gone.join('\n')).toMatch(/^waits for a start$/m)
  expect(gone.join('\n')).toMatch(new RegExp(`^master ${pid} has ended, noticed at \\d\\d:\\d\\d:\\d\\d$`, 'm'))
  await project.shiftwork('start', '-d')
  const next = (await project.status()).master.pid
  await terminal.shows('the next master', (screen) => screen.startsWith(`Shiftwork running  master ${next} `))
  await terminal.type('q')
  await expectEnded(terminal, 0)
})

inTerminal(
  'G11 status --watch gives the terminal back at SIGTERM, and ends with a terminal that goes away',
  async () => {
    const project = web({ count: 1 })
    await project.start()
    const views = (): number[] =>
      project.processes.filter((row) => row.title.includes('--watch') && row.title.includes(BIN)).map((row) => row.pid)
    const isView = (pid: number): boolean => readRow(pid)?.title.startsWith(process.execPath) === true
    const terminal = await watch(project)
    await terminal.shows('a picture', (screen) => PICTURE.test(screen))
    for (const pid of views().filter(isView)) process.kill(pid, 'SIGTERM')
    await expectEnded(terminal, 0)
    await terminal.end()
    const quitting = await watch(project)
    await quitting.shows('a picture', (screen) => PICTURE.test(screen))
    for (const pid of views().filter(isView)) process.kill(pid, 'SIGQUIT')
    await expectEnded(quitting, 0)
    await quitting.end()
    const another = await watch(project)
    await another.shows('a picture', (screen) => PICTURE.test(screen))
    expect(views().filter(isView)).toHaveLength(1)
    await another.end()
    await until('the view has ended', () => views().length === 0)
  },
)

inTerminal(
  'G11 status --watch goes on after Ctrl-Z where no shell waits for it, and nobody could continue it',
  async () => {
    const project = web({ count: 1 })
    await project.start()
    const terminal = await watch(project)
    await terminal.shows('a picture', (screen) => PICTURE.test(screen))
    await terminal.type('C-z')
    const [pid = 0] = await project.pids()
    await kill(project, pid)
    await terminal.shows('what has happened since', (screen) => PICTURE.test(screen) && !screen.includes(` ${pid} `))
    expect(await terminal.modes()).toBe('alternate 1, cursor 0, wrap 0')
    await terminal.type('q')
    await expectEnded(terminal, 0)
  },
)
