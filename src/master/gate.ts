/**
 * The command that must succeed before a reload (`preReload`): a build, a migration. Run by a shell,
 * in a process group of its own, so that a deadline or a stop ends all of it; what it prints is passed
 * on line by line. It does not outlive the master, however that ends. Called by the supervisor.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { systemCode } from '../errors.ts'
import type { Failure } from '../ipc/status.ts'

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
const LOOK_MS = 50
/** The last lines may come after the exit; what runs on in the background would hold them open for ever. */
const LAST_LINES_MS = 500

/**
 * The command with a guard beside it in its group, which reads a pipe that only the master writes to: a
 * word says that the command has ended; its end without one, that the master has, and the group goes, too.
 */
const GUARDED = `
{ trap '' TERM; read -r _ <&3 || { kill -TERM -$$; sleep ${KILL_AFTER_MS / 1000}; kill -KILL -$$; }; } >/dev/null 2>&1 &
exec /bin/sh -c "$1" 3<&-`

/** Starts the command. @returns a function that ends it before its time. */
export function runGate({ command, timeoutMs, cwd, onLine, onEnd }: GateOptions): () => void {
  let isEnded = false
  let tail = ''
  let whyEnded: string | null = null
  const stdio = ['ignore', 'pipe', 'pipe', 'pipe'] as const
  const child = spawn('/bin/sh', ['-c', GUARDED, 'sh', command], { cwd, detached: true, stdio: [...stdio] })
  const guard = child.stdio?.[3] as Writable | null | undefined
  // one that was killed with the rest reads nothing any more
  guard?.on('error', () => undefined)
  const end = (message: string | null): void => {
    if (isEnded) return
    isEnded = true
    clearTimeout(timer)
    onEnd(message === null ? null : { message, stack: message }, tail)
  }
  const abort = (why: string): void => {
    whyEnded ??= why
    signalGroup(child, 'SIGTERM')
    setTimeout(() => signalGroup(child, 'SIGKILL'), KILL_AFTER_MS)
  }
  const timer = setTimeout(() => abort(`did not end within ${timeoutMs} ms: ${command}`), timeoutMs)
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
    clearTimeout(timer)
    guard?.end('ended\n')
    const how = signal ? `was ended by ${signal}` : `exited with code ${code ?? 'unknown'}`
    const message = code === 0 && whyEnded === null ? null : (whyEnded ?? `${how}: ${command}`)
    // a shell is gone at once; what it had started may need its time, or the SIGKILL that is due
    if (whyEnded !== null) void untilGone(child).then(() => end(message))
    else {
      child.once('close', () => end(message))
      // a master that had no time until now reads first what is there
      setTimeout(() => setImmediate(() => end(message)), LAST_LINES_MS)
    }
  })
  return () => abort('was ended')
}

/** @param signal 0: only looks. @returns false when nobody is left in the group. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  if (child.pid === undefined) return false
  try {
    return process.kill(-child.pid, signal)
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false
    throw error
  }
}

/** Nobody tells when a group is empty. */
async function untilGone(child: ChildProcess): Promise<void> {
  while (signalGroup(child, 0)) await delay(LOOK_MS)
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
