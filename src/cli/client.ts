/**
 * Asks the master of a state directory. Tells apart what a user must not confuse: nothing runs, the
 * master is another user's, it is there and does not answer.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError, systemCode } from '../errors.ts'
import type { ConnectionRow } from '../ipc/connections.ts'
import { encodeLine, LineDecoder } from '../ipc/lines.ts'
import type { ConnectionRows, ControlMessage, HookOutput, Progress, Reply } from '../ipc/messages.ts'
import { type ControlRequest, type Question, WIRE_VERSION } from '../ipc/requests.ts'
import { isHeld } from '../os/occupancy.ts'
import { type Holder, livingHolder, readPidFile } from '../os/pidfile.ts'
import { isStopped, type ProcessId, startedAtOf } from '../os/processes.ts'
import { shortSocketPath } from '../os/socketpath.ts'
import { assertOwnStateDir, type StateDir } from '../os/statedir.ts'
import { waitAwake } from '../patience.ts'
import { isUnknown, OtherVersion } from './otherversion.ts'

/** A master that lives reads a request at once; a look at one that is blocked must end within two seconds. */
const LOOK_TIMEOUT_MS = 1_200
/** What changes something may wait longer on a busy machine: to give up while the master obeys would be a lie. */
const ORDER_TIMEOUT_MS = 10_000
/** Between its pid file and its control socket a master binds listeners, */
const APPEAR_TIMEOUT_MS = 1_000
/** and may wait for an address that a worker of an earlier one still has. */
const YOUNG_MS = 10_000
const RETRY_MS = 20
/** A master looks after its pid file every two seconds. */
const FOUND_AGAIN_MS = 3_000
/** One with too many connections, or too few descriptors, may have room in a moment. */
const ROOM_TIMEOUT_MS = 600
/** A master may be stopped by a signal while it is waited for: so often in a row it must be found so. */
const FROZEN_LOOKS = 2
const LOOK_MS = 1_000
/** A master that lists has something to tell within a second, or is done; one that was stopped meanwhile has not. */
const ROWS_SILENCE_MS = 3_000
const MAX_REPLY_BYTES = 16 * 1024 * 1024

/**
 * The living master of a state directory, or null: there is none in our process table. One that answers all the same
 * (in another container) is asked as any other; it has no pid that means anything here.
 * @throws ShiftworkError when it is another user's.
 */
export function findMaster(stateDir: StateDir): ProcessId | null {
  assertOwnStateDir(stateDir)
  return livingHolder(stateDir.pidFile)
}

/**
 * The same, and `unseen` for one that answers and that our process table does not show.
 * @throws ShiftworkError when it is another user's.
 */
export async function findHolder(stateDir: StateDir): Promise<Holder | null> {
  const giveUpAt = performance.now() + FOUND_AGAIN_MS
  for (;;) {
    const named = readPidFile(stateDir.pidFile)
    const master = findMaster(stateDir)
    if (master) return master
    if (!(await isHeld(stateDir))) return null
    // a pid file that was removed is made again at its master's next look, and tells whether we see that one
    if (named || performance.now() >= giveUpAt) return 'unseen'
    await delay(RETRY_MS)
  }
}

export function notRunning(
  hint = 'Start it with: start, or start -d.',
  facts: ShiftworkError['facts'] = {},
): ShiftworkError {
  return new ShiftworkError('ERR_NOT_RUNNING', 'Not running', { hint, facts })
}

/**
 * Sends one request and waits for its reply.
 * @throws ShiftworkError `ERR_NOT_RUNNING`, or `ERR_NO_ANSWER` when the master does not read it in time.
 */
export async function ask(
  stateDir: StateDir,
  question: Question,
  onProgress: (progress: Progress | HookOutput) => void = () => undefined,
): Promise<Reply> {
  const onTold = (told: Told): void => {
    if (told.type !== 'rows') onProgress(told)
  }
  return talk(stateDir, { question, onTold, silenceMs: null, heardWithinMs: patienceWith(question) })
}

/** The same for a look by which something is to be changed: it is waited for as long as an order. */
export function askPatiently(stateDir: StateDir, question: Question): Promise<Reply> {
  const onTold = (): void => undefined
  return talk(stateDir, { question, onTold, silenceMs: null, heardWithinMs: ORDER_TIMEOUT_MS })
}

/** The same, for what is told in rows before the reply. @throws ShiftworkError `ERR_NO_ANSWER` also when they do not go on. */
export async function askForRows(
  stateDir: StateDir,
  question: Question,
  onRows: (rows: ConnectionRow[]) => void,
): Promise<Reply> {
  const onTold = (told: Told): void => {
    if (told.type === 'rows') onRows(told.rows)
  }
  return talk(stateDir, { question, onTold, silenceMs: ROWS_SILENCE_MS, heardWithinMs: patienceWith(question) })
}

/** What comes before a reply. */
type Told = Progress | HookOutput | ConnectionRows

/** What is to be said, and how it is heard. */
interface Matter {
  question: Question
  onTold: (told: Told) => void
  /** How long it may be unread. */
  heardWithinMs: number
  /** How long nothing may come once it is accepted; null: an operation takes as long as it takes. */
  silenceMs: number | null
}

async function talk(stateDir: StateDir, matter: Matter): Promise<Reply> {
  const master = findMaster(stateDir)
  if (master && isStopped(master.pid)) throw frozen(master.pid)
  // one that we do not see is asked again, and is gone when nobody listens any more
  const isGone = (): boolean => master !== null && findMaster(stateDir) === null
  const giveUpAt = performance.now() + ROOM_TIMEOUT_MS
  for (;;) {
    const socket = await open(stateDir)
    try {
      const reply = await converse(socket, { ...matter, pid: master?.pid ?? null, isGone })
      if (isUnknown(reply)) throw new OtherVersion(master?.pid ?? null)
      return reply
    } catch (error) {
      if (!(error instanceof TurnedAway) || performance.now() >= giveUpAt) throw error
    }
    await delay(RETRY_MS)
  }
}

/** It hung up before it had read the request: to ask again asks for nothing twice. */
class TurnedAway extends ShiftworkError {
  constructor(pid: number | null, cause: Error | undefined) {
    super('ERR_NO_ANSWER', `The master${pidText(pid)} hung up before it heard the request`, {
      hint: 'Too many are connected to it, or it is out of file descriptors: its log says so. Try again in a moment.',
      cause,
    })
  }
}

async function open(stateDir: StateDir): Promise<Socket> {
  const giveUpAt = performance.now() + APPEAR_TIMEOUT_MS
  for (;;) {
    try {
      return await connectTo(stateDir.controlSocket)
    } catch (error) {
      if (systemCode(error) === 'EACCES')
        throw new ShiftworkError('ERR_STATE_DIR', `${stateDir.controlSocket} belongs to another user`, { cause: error })
      const master = findMaster(stateDir)
      if (!master && !(await isHeld(stateDir))) throw notRunning()
      if (performance.now() >= giveUpAt && !(master && isYoung(master)))
        throw master && isStopped(master.pid) ? frozen(master.pid) : noAnswer(master?.pid ?? null)
    }
    await delay(RETRY_MS)
  }
}

function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let short: ReturnType<typeof shortSocketPath>
    try {
      short = shortSocketPath(path)
    } catch (error) {
      reject(error)
      return
    }
    const socket = connect(short.path)
    short.release()
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}

/** It may not have come so far that it can be asked. */
function isYoung(master: ProcessId): boolean {
  const startedAt = startedAtOf(master)
  return startedAt !== null && Date.now() - startedAt.getTime() < YOUNG_MS && !isStopped(master.pid)
}

/** Known at once: a process in state T reads nothing. */
export function frozen(pid: number, how: { isAccepted: boolean } = { isAccepted: false }): ShiftworkError {
  const goOn = how.isAccepted ? 'lets it go on, with this as well' : 'lets it go on'
  return new ShiftworkError('ERR_NO_ANSWER', `The master (pid ${pid}) does not answer: a signal has stopped it`, {
    hint: `kill -CONT ${pid} ${goOn}; stop --force ends it and its workers.`,
  })
}

/** No signal reaches it from here. */
const UNSEEN_HINT = 'It is in another process table, perhaps in another container: look after it there.'

function noAnswer(pid: number | null): ShiftworkError {
  return new ShiftworkError('ERR_NO_ANSWER', `The master${pidText(pid)} does not answer`, {
    hint: pid === null ? UNSEEN_HINT : 'It may be blocked; stop --force ends it and its workers.',
  })
}

/** Names one whose pid is known, behind its noun. */
export function pidText(pid: number | null): string {
  return pid === null ? '' : ` (pid ${pid})`
}

interface Talk extends Matter {
  /** Whom it is with, for the sentence when it does not answer. */
  pid: number | null
  /** No master is there any more. */
  isGone: () => boolean
}

function patienceWith({ command }: Question): number {
  return command === 'status' || command === 'connections' ? LOOK_TIMEOUT_MS : ORDER_TIMEOUT_MS
}

/** Calls back when it is stopped, and stays so. */
function watchForFreeze(pid: number | null, onFrozen: (pid: number) => void): NodeJS.Timeout | undefined {
  if (pid === null) return undefined
  let found = 0
  return setInterval(() => {
    found = isStopped(pid) ? found + 1 : 0
    if (found === FROZEN_LOOKS) onFrozen(pid)
  }, LOOK_MS)
}

function converse(socket: Socket, { question, onTold, heardWithinMs, silenceMs, pid, isGone }: Talk): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const decoder = new LineDecoder(MAX_REPLY_BYTES)
    const fail = (error: Error): void => {
      end()
      socket.destroy()
      reject(error)
    }
    const end = (): void => {
      endWait()
      clearInterval(looks)
    }
    let isAccepted = false
    const looks = watchForFreeze(pid, (stopped) => fail(frozen(stopped, { isAccepted })))
    // one that was on its way out has not read it: it is as if it had not been there
    const lose = (sentence: string, cause?: Error): void => {
      if (isAccepted) fail(new ShiftworkError('ERR_NO_ANSWER', sentence, { cause }))
      else fail(isGone() ? notRunning() : new TurnedAway(pid, cause))
    }
    const failAfter = (ms: number): (() => void) => waitAwake(ms, () => fail(noAnswer(pid)))
    let endWait = failAfter(heardWithinMs)
    socket.on('error', (cause) => lose('The master hung up', cause))
    socket.on('close', () => lose('The master ended without a reply'))
    socket.on('data', (chunk) => {
      for (const line of decoder.push(chunk)) {
        if (!line.ok) return fail(new ShiftworkError('ERR_NO_ANSWER', 'The master answers something else'))
        const message = line.value as ControlMessage
        endWait()
        if (silenceMs !== null) endWait = failAfter(silenceMs)
        isAccepted = true
        if (message.type === 'progress' || message.type === 'output' || message.type === 'rows') onTold(message)
        else if (message.type !== 'accepted') {
          end()
          resolve(message)
          socket.end()
        }
      }
    })
    socket.write(encodeLine({ version: WIRE_VERSION, ...question } satisfies ControlRequest))
  })
}
