/**
 * The ways in which a start file is written and run: TypeScript under tsx or by itself, ESM and
 * CommonJS, through its own command line and through `shiftwork`. Each goes the whole way: start in
 * the background, answer, reload changed code, tell its status, stop.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { untilHeard } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { isAlive, type Row } from '../helpers/processes.ts'
import { BIN, type Flavour, Project, type ProjectOptions, type Result, type Running } from '../helpers/project.ts'

/** Node.js 22.18 and later read TypeScript by themselves. */
const stripsTypes = 'typescript' in process.features && Boolean(process.features.typescript)

const TYPESCRIPT = {
  'start.ts': `
import { Worker, type WorkerOptions } from 'shiftwork'
const options: WorkerOptions = { name: 'web', count: 2, bakeMs: 50 }
const web = new Worker('http://127.0.0.1:0', options)
web.onWorkerStart = async (worker): Promise<void> => {
  const { app } = await import('./app.ts')
  worker.onRequest = app
}
Worker.runAll()
`,
  'app.ts': `
import type { RequestListener } from 'shiftwork'
import { version } from './version.ts'
export const app: RequestListener = (_request, response): void => {
  response.end(version)
}
`,
  'version.ts': `export const version: string = 'version 1'\n`,
}

const ESM = {
  'start.js': `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 50 })
web.onWorkerStart = async (worker) => {
  const { app } = await import('./app.js')
  worker.onRequest = app
}
Worker.runAll()
`,
  'app.js': `
import { version } from './version.js'
export const app = (_request, response) => {
  response.end(version)
}
`,
  'version.js': `export const version = 'version 1'\n`,
}

/** As the TypeScript compiler writes CommonJS. */
const COMMONJS = {
  'start.js': `"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const shiftwork_1 = require("shiftwork");
const web = new shiftwork_1.Worker('http://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 50 });
web.onWorkerStart = async (worker) => {
    const { app } = await Promise.resolve().then(() => require("./app.js"));
    worker.onRequest = app;
};
shiftwork_1.Worker.runAll();
`,
  'app.js': `"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.app = void 0;
const version_1 = require("./version.js");
const app = (_request, response) => { response.end(version_1.version); };
exports.app = app;
`,
  'version.js': `"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.version = 'version 1';
`,
}

interface Way {
  flavour: Flavour
  files: Record<string, string>
  options: ProjectOptions
}

const ts: ProjectOptions = { startFile: 'start.ts' }
const WAYS: Record<string, Way> = {
  'TypeScript by the tsx command': { flavour: 'tsx', files: TYPESCRIPT, options: ts },
  'TypeScript by node --import tsx': { flavour: 'tsx-import', files: TYPESCRIPT, options: ts },
  'JavaScript, ESM': { flavour: 'js', files: ESM, options: {} },
  'JavaScript, CommonJS': { flavour: 'js', files: COMMONJS, options: { type: 'commonjs' } },
  'TypeScript by the tsx command in a package without a type': {
    flavour: 'tsx',
    files: { ...TYPESCRIPT, 'package.json': '{ "name": "project", "private": true }' },
    options: ts,
  },
  'TypeScript by node --import tsx in a package without a type': {
    flavour: 'tsx-import',
    files: { ...TYPESCRIPT, 'package.json': '{ "name": "project", "private": true }' },
    options: ts,
  },
  ...(stripsTypes && {
    'TypeScript by Node.js itself': { flavour: 'strip', files: TYPESCRIPT, options: ts },
    'TypeScript by Node.js itself in a package without a type': {
      flavour: 'strip',
      files: { ...TYPESCRIPT, 'package.json': '{ "name": "project", "private": true }' },
      options: ts,
    },
  }),
}

function changeCode(project: Project, version: number): void {
  const file = project.startFile.endsWith('.ts') ? 'version.ts' : 'version.js'
  project.write(file, project.read(file).replace(/version \d+/, `version ${version}`))
}

/** What Node.js itself advises users who leave the type out, where it has to guess: true, and theirs to mend. */
const ADVICE = /\(node:\d+\) \[MODULE_TYPELESS_PACKAGE_JSON\] .*\nReparsing .*\nTo eliminate .*\n\(Use .*\n/g

function withoutAdvice(result: Result): Result {
  return { ...result, stderr: result.stderr.replace(ADVICE, '') }
}

/** Ours: where tsx has run esbuild, that ends a moment after the process which it has compiled for. */
function left(project: Project): Row[] {
  return project.processes.filter(({ title }) => !/\besbuild\b/.test(title))
}

/** Each command by the given words, nothing on stderr, and at the end nothing is left. */
async function goTheWholeWay(project: Project, run: (...args: string[]) => Promise<Result>): Promise<void> {
  const started = await run('start', '-d')
  expect(started).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^ready in /m) })
  const port = await project.port()
  const old = await project.pids()
  expect(old).toHaveLength(2)
  expect(await get({ port })).toMatchObject({ status: 200, body: 'version 1' })

  changeCode(project, 2)
  const reloaded = await run('reload')
  expect(reloaded).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/2 workers replaced/) })
  expect(old.filter(isAlive)).toEqual([])
  expect(await get({ port })).toMatchObject({ status: 200, body: 'version 2' })

  const told = await untilHeard(() => run('status', '--json'))
  expect({ code: told.code, stderr: told.stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(told.stdout)).toMatchObject({
    master: { entry: project.startFile, node: process.version },
    lastReload: { result: 'done' },
    groups: [{ name: 'web', state: 'ok' }],
  })

  expect(await run('stop')).toMatchObject({ code: 0, stderr: '' })
  expect(left(project)).toEqual([])
  expect(await run('status')).toMatchObject({ code: 3 })
}

for (const [name, { flavour, files, options }] of Object.entries(WAYS)) {
  it(`U4 ${name}: starts in the background, answers, reloads changed code, tells its status, stops`, async () => {
    const project = Project.create(files, options)
    await goTheWholeWay(project, async (...args) => withoutAdvice(await project.through(flavour, ...args)))
    const output = project.read(join('.shiftwork', options.startFile ?? 'start.js', 'stdout.log')).replace(ADVICE, '')
    expect(output, 'no warning of Node.js or of a loader').toBe('')
  })

  it(`U4 ${name}: the same in the foreground, ended by stop with code 0`, async () => {
    const project = Project.create(files, options)
    const running = await project.start(flavour)
    const port = await project.port()
    changeCode(project, 2)
    expect(withoutAdvice(await project.through(flavour, 'reload'))).toMatchObject({ code: 0, stderr: '' })
    expect(await get({ port })).toMatchObject({ status: 200, body: 'version 2' })
    expect(withoutAdvice(await project.through(flavour, 'stop'))).toMatchObject({ code: 0, stderr: '' })
    expect(withoutAdvice(await running.ended)).toMatchObject({ code: 0, signal: null, stderr: '' })
    expect(left(project)).toEqual([])
  })
}

/** The kinds of start file, each once: `shiftwork` finds by itself what runs it. */
const BIN_FILES: Record<string, Way> = {
  TypeScript: { flavour: 'strip', files: TYPESCRIPT, options: ts },
  'TypeScript in a package without a type': {
    flavour: 'strip',
    files: { ...TYPESCRIPT, 'package.json': '{ "name": "project", "private": true }' },
    options: ts,
  },
  'JavaScript, ESM': { flavour: 'js', files: ESM, options: {} },
  'JavaScript, CommonJS': { flavour: 'js', files: COMMONJS, options: { type: 'commonjs' } },
}

for (const [name, { files, options }] of Object.entries(BIN_FILES)) {
  it(`U4 shiftwork start -d with ${name}: the whole way`, async () => {
    const project = Project.create(files, options)
    await goTheWholeWay(project, async (command = '', ...args) =>
      withoutAdvice(await project.shiftwork(command, ...args)),
    )
  })

  it(`U4 shiftwork start with ${name}, in the foreground: reloads, and ends with code 0`, async () => {
    const project = Project.create(files, options)
    const running = project.launch(process.execPath, [BIN, 'start', options.startFile ?? 'start.js'])
    await running.line(/^ready in /m)
    const port = await project.port()
    changeCode(project, 2)
    expect(await project.shiftwork('reload')).toMatchObject({ code: 0, stderr: '' })
    expect(await get({ port })).toMatchObject({ status: 200, body: 'version 2' })
    expect(await project.shiftwork('stop')).toMatchObject({ code: 0, stderr: '' })
    expect(withoutAdvice(await running.ended)).toMatchObject({ code: 0, signal: null, stderr: '' })
  })
}

it('U4 shiftwork start without a name finds start.ts in the working directory', async () => {
  const project = Project.create(TYPESCRIPT, ts)
  expect(await project.exec(process.execPath, [BIN, 'start', '-d'])).toMatchObject({ code: 0, stderr: '' })
  expect(await get({ port: await project.port() })).toMatchObject({ status: 200, body: 'version 1' })
  expect(await project.exec(process.execPath, [BIN, 'stop'])).toMatchObject({ code: 0, stderr: '' })
})

/** Holds a request open until a second after it was told of. */
const SLOW = {
  ...TYPESCRIPT,
  'app.ts': `
import type { RequestListener } from 'shiftwork'
export const app: RequestListener = (_request, response): void => {
  console.log('slow request begun')
  setTimeout(() => response.end('answered in the end'), 1_000)
}
`,
}

/**
 * The tsx command waits 30 ms for the master to tell it of a signal, passes the signal on, waits 30 ms once more, and
 * kills (`relaySignals` in its cli.mjs). On a busy machine neither of the two has its turn in that time: the second
 * wait, and each after it, is made longer.
 */
const PATIENT = `
const { setTimeout } = globalThis
let waits = 0
globalThis.setTimeout = (then, ms, ...more) => setTimeout(then, ms === 30 && ++waits > 1 ? 30_000 : ms, ...more)
`

/** Ends it in the middle of a request, which is answered whatever becomes of the master. */
async function expectGraceful(flavour: Flavour, end: (running: Running) => void) {
  const project = Project.create({ ...SLOW, 'patient.mjs': PATIENT }, ts)
  const { command, args } = project.commandFor(flavour)
  // of the tsx command alone: it hands none of its own options on
  const patience = flavour === 'tsx' ? ['--import', './patient.mjs'] : []
  // a process group of its own, as a shell gives one to each job
  const running = project.launch('setsid', [command, ...patience, ...args, 'start'])
  await running.line(/^ready in /m)
  const answer = get({ port: await project.port() })
  await running.line(/^slow request begun$/m)
  end(running)
  expect(await answer).toMatchObject({ status: 200, body: 'answered in the end' })
  expect(withoutAdvice(await running.ended)).toMatchObject({ code: 0, signal: null, stderr: '' })
  expect(left(project)).toEqual([])
}

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  for (const flavour of ['tsx', 'tsx-import'] as const)
    it(`U4 ${signal} to the process that the user started with ${flavour} stops gracefully: the open request is answered, code 0`, () =>
      expectGraceful(flavour, (running) => running.kill(signal)))

for (const flavour of ['tsx', 'tsx-import'] as const)
  it(`U4 Ctrl-C in a terminal, which reaches every process at once, stops ${flavour} gracefully: the open request is answered, code 0`, () =>
    expectGraceful(flavour, (running) => process.kill(-running.pid, 'SIGINT')))

it('U4 TypeScript without tsx, on a Node.js that cannot read it, is one clear sentence', async () => {
  const project = Project.create(TYPESCRIPT, ts)
  rmSync(join(project.dir, 'node_modules/tsx'))
  const result = await project.exec(process.execPath, [BIN, 'start', '-d', 'start.ts'])
  if (stripsTypes) {
    expect(result).toMatchObject({ code: 0, stderr: '' })
    return
  }
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/^error Node\.js v\S+ cannot run \S+start\.ts by itself$/m)
  expect(result.stderr).toMatch(/npm install --save-dev tsx/)
  expect(project.processes).toEqual([])
})
