/**
 * `logs`: the last entries of the runtime's log, and with `-f` those to come. Reads files only: it
 * works with a master that is frozen or gone. `--reopen` asks the master for new files, after a rotation.
 */
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError, systemCode } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import { decodeEntry, type Entry, EntryReader, encodeEntry, type LogLine, printable, REOPENED } from '../log.ts'
import { logPath } from '../os/loglink.ts'
import { isStopped, signal } from '../os/processes.ts'
import { assertOwnStateDir, type StateDir } from '../os/statedir.ts'
import { ask, findHolder, findMaster, frozen, notRunning, pidText } from './client.ts'
import { fetchStatus } from './look.ts'
import type { CommandLine } from './parse.ts'
import { readerGone } from './readergone.ts'
import { Tail } from './tail.ts'
import { type Paint, paintFor, printJson, printLine, printWhole } from './terminal.ts'

const DEFAULT_ENTRIES = 50
/** Between two looks; each costs two system calls. */
const LOOK_MS = 200
const REOPEN_TIMEOUT_MS = 10_000
/** A master that can write nothing, on a full disk, is asked whether it has opened them. */
const REOPEN_ASK_MS = 1_000

/** @throws ShiftworkError when there is no log, or it is another user's. */
export async function logs(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  assertOwnStateDir(stateDir)
  if (line.reopen) return reopen(stateDir, line)
  const tail = new Tail(() => logPath(stateDir))
  open(tail, stateDir, line.lines ?? DEFAULT_ENTRIES)
  const view = line.json ? jsonView() : textView(paintFor(process.stdout))
  if (line.follow) {
    await Promise.race([follow(tail, view), interrupted(), readerGone()])
    return EXIT.done
  }
  if (await pour(tail, view)) await printWhole(tail.rest().map(view.take).join('') + view.settle())
  return EXIT.done
}

function open(tail: Tail, stateDir: StateDir, entries: number): void {
  try {
    tail.open(entries)
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') throw noLog(stateDir)
    const why = systemCode(cause) ?? String(cause)
    throw new ShiftworkError('ERR_STATE_DIR', `Cannot read ${logPath(stateDir)}: ${why}`, { cause })
  }
}

/** Where nothing has ever run, most likely the wrong directory was meant. */
function noLog(stateDir: StateDir): ShiftworkError {
  if (!existsSync(stateDir.path)) return notRunning(`Nothing has run yet: there is no ${stateDir.path}.`)
  const master = findMaster(stateDir)
  return new ShiftworkError('ERR_STATE_DIR', `There is no log at ${logPath(stateDir)}`, {
    hint: master
      ? `It was moved or removed; logs --reopen lets the master (pid ${master.pid}) begin a new one.`
      : 'The next start begins one.',
  })
}

// ---- reading -------------------------------------------------------------------------------------------------------

/** What is printed of a line; an entry may be held back until it is known to be whole. */
interface View {
  take(line: string): string
  /** Nothing came for a while: what is held back is whole. */
  settle(): string
}

/** @returns false when whoever reads is gone. */
async function pour(tail: Tail, view: View): Promise<boolean> {
  for (const lines of tail.read()) if (!(await printWhole(lines.map(view.take).join('')))) return false
  return true
}

/** Ends when whoever reads is gone. */
async function follow(tail: Tail, view: View): Promise<void> {
  let problem: string | null = null
  while (await pour(tail, view)) {
    if (tail.problem !== null && tail.problem !== problem) process.stderr.write(`${tail.problem}\n`)
    problem = tail.problem
    await delay(LOOK_MS)
    if (!(await pour(tail, view)) || !(await printWhole(view.settle()))) return
  }
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => process.once('SIGINT', () => resolve()))
}

function jsonView(): View {
  const reader = new EntryReader()
  const print = (entries: readonly Entry[]): string => entries.map((entry) => `${JSON.stringify(entry)}\n`).join('')
  return { take: (line) => print(reader.push(line)), settle: () => print(reader.flush()) }
}

/** Each line as the text format has it, whatever the file's is. */
function textView(paint: Paint): View {
  return { take: (line) => `${textOf(line, paint)}\n`, settle: () => '' }
}

function textOf(line: string, paint: Paint): string {
  const entry = decodeEntry(line)
  if (entry?.at == null || entry.level === null) return printable(line)
  const { at, level, text } = entry
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return printable(line)
  const whole = encodeEntry({ at: date, level, text: printable(text), fields: {} } satisfies LogLine, 'text').trimEnd()
  const [time = '', rest = ''] = [whole.slice(0, at.length), whole.slice(at.length)]
  return `${paint.dim(time)}${rest.replace(level, paintLevel(level, paint))}`
}

function paintLevel(level: LogLine['level'], paint: Paint): string {
  if (level === 'info') return level
  return level === 'error' ? paint.red(level) : paint.yellow(level)
}

// ---- reopening -----------------------------------------------------------------------------------------------------

/** Done when the master says so, in the new file or when it is asked. */
async function reopen(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  if (line.follow || line.lines !== null)
    throw new ShiftworkError('ERR_USAGE', '--reopen shows nothing', { hint: 'Type it without -f and -n.' })
  const holder = await findHolder(stateDir)
  if (!holder) throw notRunning()
  const master = holder === 'unseen' ? null : holder
  if (master && isStopped(master.pid)) throw frozen(master.pid)
  const tail = new Tail(() => logPath(stateDir))
  if (existsSync(logPath(stateDir))) open(tail, stateDir, 0)
  const askedAtMs = Date.now()
  if (master) signal(master, 'SIGUSR1')
  else await ask(stateDir, { command: 'reopen' })
  const giveUpAt = performance.now() + REOPEN_TIMEOUT_MS
  let askAt = performance.now() + REOPEN_ASK_MS
  for (let isLast = false; !isLast; await delay(LOOK_MS / 10)) {
    // one that was held up until its time was over looks all the same
    isLast = performance.now() >= giveUpAt
    let isDone = false
    for (const lines of tail.read()) isDone ||= lines.some((text) => decodeEntry(text)?.text === REOPENED)
    if (!isDone && performance.now() >= askAt) {
      isDone = await saysReopened(stateDir, askedAtMs)
      askAt = performance.now() + REOPEN_ASK_MS
    }
    if (!isDone) continue
    if (line.json) printJson({ reopened: true, pid: master?.pid ?? null })
    else printLine(REOPENED)
    return EXIT.done
  }
  throw new ShiftworkError('ERR_NO_ANSWER', `The master${pidText(master?.pid ?? null)} has not opened its log again`, {
    hint: `Is ${logPath(stateDir)} where it may write? What it says about it is in the file that was moved.`,
  })
}

/** What it cannot write is told as well: the file that it has opened stays empty. */
async function saysReopened(stateDir: StateDir, askedAtMs: number): Promise<boolean> {
  const status = await fetchStatus(stateDir).catch(() => null)
  // one that began before this version does not say when
  if (!status || !(Date.parse(status.master.logsOpenedAt) >= askedAtMs)) return false
  const isOfLogs = (warning: string): boolean =>
    [logPath(stateDir), stateDir.stdoutFile].some((path) => warning.startsWith(path))
  for (const warning of status.master.warnings.filter(isOfLogs)) process.stderr.write(`warning ${warning}\n`)
  return true
}
