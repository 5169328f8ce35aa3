/**
 * `status --watch`: a picture of the master that is drawn anew, until `q` or Ctrl-C; or, where there
 * is no terminal to draw on, and for programs, one status after another.
 */
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { StateDir } from '../os/statedir.ts'
import { Canvas, canDrawOn } from './canvas.ts'
import { pictureLines, type Scene } from './picture.ts'
import { statusLines } from './render.ts'
import { Memory } from './scene.ts'
import { type Sight, sightsOf } from './sights.ts'
import { paintFor, printError, printJson, printLine } from './terminal.ts'

export interface WatchOptions {
  everyMs: number
  json: boolean
}

/** While something goes on, one wants to see it. */
const BUSY_MS = 250
const QUIT_KEYS = new Set(['q', 'Q', '\u0003', '\u0004'])

/** @throws ShiftworkError when nothing runs at first, or the master is another user's. */
export async function watchStatus(stateDir: StateDir, options: WatchOptions): Promise<ExitCode> {
  const ending = new Ending()
  try {
    if (options.json || !canDrawOn(process.stdout)) await streamStatus(stateDir, options, ending)
    else await drawStatus(stateDir, options, ending)
  } finally {
    ending.release()
  }
  ending.throwIfFailed()
  return EXIT.done
}

/** What would end a process at once, and leave the terminal as it is drawn on. */
const ENDS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGALRM'] as const

/** Every way to be told to end, as one signal. */
class Ending {
  readonly #controller = new AbortController()
  #failure: unknown = null

  constructor() {
    for (const name of ENDS) process.on(name, this.now)
    // nobody reads it any more
    process.stdout.on('error', this.now)
    process.on('uncaughtException', this.fail)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  readonly now = (): void => this.#controller.abort()

  /** A mistake in a callback: it is shown when the terminal is as it was. */
  readonly fail = (error: unknown): void => {
    this.#failure ??= error
    this.now()
  }

  release(): void {
    for (const name of ENDS) process.off(name, this.now)
    process.stdout.off('error', this.now)
    process.off('uncaughtException', this.fail)
  }

  throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure
  }
}

// ---- a picture -----------------------------------------------------------------------------------------------------

async function drawStatus(stateDir: StateDir, { everyMs }: WatchOptions, ending: Ending): Promise<void> {
  const paint = paintFor(process.stdout)
  const memory = new Memory()
  let scene: Scene | null = null
  const redraw = (): void => {
    if (scene) canvas.draw(pictureLines(scene, canvas.size, paint))
  }
  const key = (pressed: string): void => {
    if (QUIT_KEYS.has(pressed)) ending.now()
  }
  const canvas = new Canvas(process.stdin, process.stdout, { key, redraw, lost: ending.now })
  const footer = `${canvas.hasKeys ? 'q' : 'Ctrl-C'} quits   every ${everyMs / 1000} s`
  try {
    for await (const sight of sightsOf(stateDir, { everyMs, busyMs: BUSY_MS, signal: ending.signal })) {
      // not before the first look: "Not running" belongs on the user's own screen
      if (!scene) canvas.open()
      const seen = memory.note(sight, Date.now())
      if (seen) scene = { ...seen, footer }
      redraw()
    }
  } finally {
    canvas.close()
  }
}

// ---- a stream ------------------------------------------------------------------------------------------------------

async function streamStatus(stateDir: StateDir, { everyMs, json }: WatchOptions, ending: Ending): Promise<void> {
  const print = json ? printSightJson : printSight
  // a reader that does not read: what it has missed is old news
  for await (const sight of sightsOf(stateDir, { everyMs, busyMs: everyMs, signal: ending.signal }))
    if (process.stdout.writableLength === 0) print(sight)
}

function printSightJson({ status, problem }: Sight): void {
  if (status) printJson(status)
  else printError(problem, true)
}

function printSight({ status, problem }: Sight): void {
  const paint = paintFor(process.stdout)
  const now = new Date()
  printLine(paint.dim(`${now.toISOString().slice(0, 19).replace('T', ' ')} UTC`))
  for (const text of status ? statusLines(status, now.getTime(), paint) : []) printLine(text)
  if (problem) printLine(`${paint.red('error')} ${problem.message}`)
  printLine('')
}
