/**
 * The command that must succeed before a reload (`preReload`): a build, a migration. Run by a shell,
 * in a process group of its own, so that a deadline or a stop ends all of it; what it prints is passed
 * on line by line. It does not outlive the master, however that ends. Called by the supervisor.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { describeError, systemCode } from '../errors.ts'
import type { Failure } from '../ipc/status.ts'
import { membersOf } from '../os/processes.ts'
import { waitFor } from '../patience.ts'

export interface GateOptions {
  command: string
  timeoutMs: number
  cwd: string
  /** A line that the command printed. */
  onLine: (line: string) => void
  /** Called once, when it has ended or was ended. `output` is the last that it printed. */
  onEnd: (failure: Failure | null, output: string) => void
}

const TAIL_BYTES = 4 * 1024
/** A line without an end is cut here: the master must not hold a megabyte of it. */
const MAX_LINE_BYTES = 8 * 1024
/** Between SIGTERM and SIGKILL. */
const KILL_AFTER_MS = 2_000
const LOOK_MS = 100
/** Behind the SIGKILL: what lives then, will live on. */
const LAST_LOOK_MS = 1_000
/** The last lines may come after the exit; what runs on in the background would hold them open for ever. */
const LAST_LINES_MS = 500

/**
 * The command, and a guard beside it that reads a pipe which only the master writes to: its end means that the
 * master has ended, and the group goes, too. The shell of both takes the guard with it when the command has ended:
 * nobody else would, where the master is the first process of a container.
 */
const GUARDED = `
trap '' TERM
{ read -r _ <&3 || { kill -KILL $$; kill -TERM -$$; sleep ${KILL_AFTER_MS / 1000}; kill -KILL -$$; }; } >/dev/null 2>&1 &
exec 4>&2 2>/dev/null
(trap - TERM; exec /bin/sh -c "$1" 2>&4 3<&- 4>&-)
code=$?
kill -KILL $!
wait $!
exit $code`

/** Starts the command. @returns a function that ends it before its time. */
export function runGate(options: GateOptions): () => void {
  try {
    return watch(spawnGuarded(options), options)
  } catch (error) {
    // what Node.js does not leave to the event: no memory, a command that is too long
    const message = `could not be started: ${describeError(error).message}`
    setImmediate(() => options.onEnd({ message, stack: message }, ''))
    return () => undefined
  }
}

function spawnGuarded({ command, cwd }: GateOptions): ChildProcess {
  const words = ['-c', GUARDED, 'sh', command]
  return spawn('/bin/sh', words, { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
}

function watch(child: ChildProcess, { command, timeoutMs, onLine, onEnd }: GateOptions): () => void {
  let isEnded = false
  let tail = ''
  let isAborted = false
  const end = (message: string | null): void => {
    if (isEnded) return
    isEnded = true
    endWait()
    onEnd(message === null ? null : { message, stack: message }, tail)
  }
  const abort = (why: string): void => {
    if (isAborted) return
    isAborted = true
    signalGroup(child, 'SIGTERM')
    const last = setTimeout(() => signalGroup(child, 'SIGKILL'), KILL_AFTER_MS)
    void untilGone(child).then((left) => {
      // later its number may be another's
      clearTimeout(last)
      if (left !== '') signalGroup(child, 'SIGKILL')
      end(`${why}${left}`)
    })
  }
  const endWait = waitFor(timeoutMs, () => abort(`did not end within ${timeoutMs} ms: ${command}`))
  for (const stream of [child.stdout, child.stderr])
    if (stream)
      eachLine(stream, (line) => {
        // what it left in the background may go on to print, to nobody
        if (isEnded) return
        tail = `${tail}${line}\n`.slice(-TAIL_BYTES)
        onLine(line)
      })
  child.once('error', (error) => end(`could not be started: ${error.message}`))
  child.once('exit', (code, signal) => {
    endWait()
    // what it had started may need its time, or the SIGKILL that is due
    if (isAborted) return
    // the command is not the shell that was killed
    if (signal !== null) signalGroup(child, 'SIGKILL')
    const message = code === 0 ? null : `${howItEnded(code, signal)}: ${command}`
    child.once('close', () => end(message))
    // a master that had no time until now reads first what is there
    setTimeout(() => setImmediate(() => end(message)), LAST_LINES_MS)
  })
  return () => abort('was ended')
}

/** A shell says by a code above 128 that a signal has ended what it ran, but that may also be a code like others. */
function howItEnded(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `was ended by ${signal}`
  const named = Object.entries(constants.signals).find(([, number]) => number + 128 === code)
  return named ? `was ended by ${named[0]}, or exited with code ${code}` : `exited with code ${code}`
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // nobody is left in it, or nobody whom we may signal
  }
}

/** Zombies are some, too: only the process table tells them from the living, and it is long. */
function hasMembers(group: number): boolean {
  try {
    return process.kill(-group, 0)
  } catch (error) {
    return systemCode(error) !== 'ESRCH'
  }
}

/**
 * Nobody tells when a group is empty. What has become another user's may outlive its SIGKILL.
 * @returns what is to be said of those, if there are any.
 */
async function untilGone({ pid }: ChildProcess): Promise<string> {
  const giveUpAt = performance.now() + KILL_AFTER_MS + LAST_LOOK_MS
  for (;;) {
    if (pid === undefined || !hasMembers(pid)) return ''
    const left = membersOf(pid).map((member) => member.pid)
    if (left.length === 0) return ''
    if (performance.now() >= giveUpAt) return ` (what it has started goes on: pid ${left.join(', ')})`
    await delay(LOOK_MS)
  }
}

function eachLine(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = ''
  let isCut = false
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      // of a line that was cut, this is the end
      if (!isCut) onLine(line.slice(0, MAX_LINE_BYTES))
      isCut = false
    }
    if (rest.length <= MAX_LINE_BYTES && !isCut) return
    if (!isCut) onLine(rest.slice(0, MAX_LINE_BYTES))
    isCut = true
    rest = ''
  })
  stream.on('end', () => {
    if (rest !== '') onLine(rest)
  })
}
