/**
 * The master process from the first check to the last exit: takes the state directory, binds what
 * the workers listen on, opens the log and the control socket, and hands over to the supervisor.
 * Called by `runAll` when this process is to be the master. Runs no business code.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { describeError } from '../errors.ts'
import { provideBroadcast, resultOf } from '../ipc/broadcast.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { ReloadFailure, ReloadSummary, Status } from '../ipc/status.ts'
import type { Log, LogLine } from '../log.ts'
import { linkLog } from '../os/loglink.ts'
import { occupied, takeStateDir } from '../os/occupancy.ts'
import { releasePidFile } from '../os/pidfile.ts'
import { createStateDir, type StateDir } from '../os/statedir.ts'
import { assertUser } from '../os/users.ts'
import { lostDirectory } from '../os/workingdirectory.ts'
import type { Settings } from '../spec/settings.ts'
import type { Spec } from '../spec/spec.ts'
import { packageVersion } from '../version.ts'
import { type ControlServer, openControl } from './control.ts'
import { type DescriptorWatch, watchDescriptors } from './descriptors.ts'
import { Inheritance } from './inherited.ts'
import { assertNodeInternals, bindListener, type Listener } from './listeners.ts'
import { type LogFiles, openLogFiles } from './logfiles.ts'
import type { MetricsServer } from './metrics/server.ts'
import type { Notice } from './notices.ts'
import { listenerKey } from './policy/listenerkey.ts'
import { PLAIN_RELOAD } from './policy/operations.ts'
import { Presence } from './presence.ts'
import { logNotice } from './report.ts'
import { Requests } from './requests.ts'
import { bindSignals } from './signals.ts'
import type { Launcher } from './spawn.ts'
import { type MasterFacts, StatusReporter } from './status.ts'
import { Supervisor } from './supervisor.ts'
import type { Watch } from './watch/watch.ts'

/** The user's static hooks. What they throw is logged and changes nothing. */
export interface MasterHooks {
  onMasterReload: (() => unknown) | null
  onMasterStop: (() => unknown) | null
  onWorkerExit: ((name: string, code: number | null, signal: string | null, pid: number) => unknown) | null
}

/** Where the master shows itself: a terminal, or the launcher of a daemon. */
export interface MasterScreen {
  bound(status: Status): void
  line(line: LogLine): void
  /** @param status takes a moment: the workers are asked for their numbers. */
  started(status: Promise<Status>, durationMs: number): Promise<void> | void
  /** @param isWaiting it will be tried again at the next change. */
  failed(failure: ReloadFailure | null, isWaiting: boolean): void
}

export interface MasterOptions {
  specs: Spec[]
  warnings: string[]
  settings: Settings
  stateDir: StateDir
  logFile: string
  stdoutFile: string
  /** `--watch` was typed. */
  watch: boolean
  daemon: boolean
  launcher: Launcher
  hooks: MasterHooks
  screen: MasterScreen
}

interface HolderOptions extends MasterOptions {
  control: ControlServer
}

/**
 * Runs a master until it has stopped.
 * @returns the exit code: done, or failed when the first start was given up.
 * @throws ShiftworkError when it cannot start at all; nothing is left behind then.
 */
export async function runMaster(options: MasterOptions): Promise<ExitCode> {
  assertNodeInternals()
  for (const spec of options.specs) assertUser(spec)
  createStateDir(options.stateDir)
  const control = await openControl(options.stateDir)
  try {
    const holder = await takeStateDir(options.stateDir, () => false)
    if (holder) throw occupied(options.stateDir, holder)
    return await runHolder({ ...options, control })
  } catch (error) {
    await control.close()
    throw error
  }
}

/** It has the lock. */
async function runHolder(options: HolderOptions): Promise<ExitCode> {
  const listeners = new Map<string, Listener>()
  let metrics: MetricsServer | null = null
  try {
    const inheritance = await Inheritance.of(options.stateDir.path)
    metrics = await openMetrics(options)
    for (const spec of options.specs) {
      const { address } = spec
      const key = listenerKey(spec)
      if (!address || key === null) continue
      listeners.set(key, await inheritance.claim(address, () => bindListener(address, spec)))
    }
    const master = new Master({ ...options, inheritance }, listeners, metrics)
    return await master.run()
  } finally {
    for (const listener of listeners.values()) listener.close()
    metrics?.close()
    releasePidFile(options.stateDir.pidFile)
  }
}

/** What serves the metrics is loaded only where they are wanted. */
async function openMetrics({ settings, specs }: MasterOptions): Promise<MetricsServer | null> {
  if (!settings.metrics) return null
  const { MetricsServer } = await import('./metrics/server.ts')
  return MetricsServer.open(settings.metrics, specs)
}

/** A hook that never settles must not keep a stopped master alive. */
const STOP_HOOK_TIMEOUT_MS = 5_000

class Master {
  readonly #options: HolderOptions & { inheritance: Inheritance }
  readonly #logFiles: LogFiles
  readonly #log: Log
  readonly #supervisor: Supervisor
  readonly #status: StatusReporter
  readonly #requests: Requests
  readonly #metrics: MetricsServer | null
  readonly #startedAt = performance.now()
  /** Settles when whoever started this has heard that it did. */
  #startTold: Promise<void> | null = null
  readonly #descriptors: DescriptorWatch
  #lastReload: ReloadSummary | null = null
  #warnings: string[] = []
  #watch: Watch | null = null
  #presence: Presence | null = null
  #end: (code: ExitCode) => void = () => undefined

  constructor(
    options: HolderOptions & { inheritance: Inheritance },
    listeners: Map<string, Listener>,
    metrics: MetricsServer | null,
  ) {
    const { settings, watch } = options
    const isWatching = watch || settings.watch !== null
    this.#options = options
    this.#metrics = metrics
    this.#logFiles = openLogFiles(options)
    this.#log = this.#logFiles.log
    this.#descriptors = watchDescriptors(this.#log)
    this.#supervisor = new Supervisor({
      specs: options.specs,
      conditions: { version: packageVersion(), settings, waitsForChange: isWatching && !options.daemon },
      listeners,
      launcher: this.#logFiles.launcher,
      onNotice: (notice) => this.#onNotice(notice),
    })
    const facts: MasterFacts = {
      entry: options.launcher.startFile,
      // of the process, which has read the start file since
      startedAt: new Date(performance.timeOrigin),
      daemon: options.daemon,
      watching: isWatching,
      warnings: () => [
        ...options.warnings,
        ...this.#warnings,
        ...this.#descriptors.warnings(),
        ...this.#logFiles.warnings(),
        ...(this.#presence?.warnings() ?? []),
        ...options.inheritance.warnings(),
        ...lostDirectory(options.launcher.directories),
      ],
      logsOpenedAt: () => this.#logFiles.openedAt(),
      lastReload: () => this.#lastReload,
      metrics: metrics?.address ?? null,
    }
    this.#status = new StatusReporter(this.#supervisor, facts)
    metrics?.attend(this.#supervisor, facts)
    this.#requests = new Requests({
      supervisor: this.#supervisor,
      status: this.#status,
      reopenLog: () => this.#logFiles.reopen(),
    })
    // for the static hooks, which run here
    provideBroadcast(async (group, data) => resultOf(group, await this.#supervisor.broadcasts.broadcast(group, data)))
  }

  async run(): Promise<ExitCode> {
    const ended = new Promise<ExitCode>((resolve) => {
      this.#end = resolve
    })
    this.#presence = Presence.open({
      stateDir: this.#options.stateDir,
      control: this.#options.control,
      log: this.#log,
      onRequest: (request, asker) => this.#requests.answer(request, asker),
      onRestored: () => {
        linkLog(this.#options.stateDir, this.#options.logFile)
        this.#logFiles.reopen()
      },
    })
    const unbindSignals = bindSignals({
      stop: ({ graceful, force }) => this.#supervisor.stop({ graceful, timeoutMs: null, force }),
      reload: () => this.#supervisor.reload(PLAIN_RELOAD, () => undefined),
      scale: (by) => this.#supervisor.scale(by, () => undefined),
      reopenLog: () => this.#logFiles.reopen(),
      outliveTerminal: () => this.#log.info('the terminal went away: started with nohup, the fleet goes on'),
    })
    process.on('uncaughtException', this.#onUncaught)
    const { warnings, inheritance } = this.#options
    this.#log.info(`master ${process.pid} starts ${this.#options.launcher.startFile} on Node.js ${process.version}`)
    for (const warning of [...warnings, ...inheritance.warnings()]) this.#log.warn(warning)
    this.#options.screen.bound(await this.#status.report())
    // before any worker reads the code: what changes after that is noticed
    this.#watch = await this.#openWatch()
    this.#supervisor.start()
    const code = await ended
    await this.#startTold
    await this.#supervisor.preparations.gateEnd
    this.#watch?.close()
    this.#descriptors.close()
    const hook = this.#callHook('onMasterStop', this.#options.hooks.onMasterStop)
    await Promise.race([hook, delay(STOP_HOOK_TIMEOUT_MS, undefined, { ref: false })])
    this.#requests.end()
    this.#metrics?.close()
    await this.#presence.hide()
    // the lock goes last but one: a start that waits for it finds the ports free
    this.#presence.release()
    await this.#presence.close()
    process.off('uncaughtException', this.#onUncaught)
    unbindSignals()
    return code
  }

  /** The start file's own top level may leave timers behind; its mistakes must not end the service. */
  readonly #onUncaught = (error: unknown): void => {
    this.#log.error(`uncaught in the master, it goes on: ${describeError(error).stack}`)
  }

  #onNotice(notice: Notice): void {
    this.#tell(notice)
    const { hooks, screen } = this.#options
    switch (notice.type) {
      case 'started':
        this.#startTold = this.#onStarted().catch((error: unknown) => {
          this.#log.error(`cannot tell that all workers serve: ${describeError(error).stack}`)
        })
        return
      case 'start-failed':
        screen.failed(notice.failure, notice.isWaiting)
        return
      case 'reload-began':
        void this.#callHook('onMasterReload', hooks.onMasterReload)
        return
      case 'reload-ended':
        if (!notice.isLatest) return
        this.#lastReload = notice.summary
        this.#noteDifferences(notice.summary)
        return
      case 'left': {
        const { child, code, signal } = notice
        const { onWorkerExit } = hooks
        void this.#callHook('onWorkerExit', onWorkerExit && (() => onWorkerExit(child.name, code, signal, child.pid)))
        return
      }
      case 'stopping':
        this.#watch?.close()
        return
      case 'stopped':
        this.#end(this.#supervisor.fleet.startFailure ? EXIT.failed : EXIT.done)
        return
    }
  }

  /** What is done does not hang on whether it can be told. */
  #tell(notice: Notice): void {
    const now = performance.now()
    try {
      logNotice(this.#log, notice, { now, fleet: this.#supervisor.fleet })
      this.#requests.note(notice, now)
      this.#metrics?.note(notice)
    } catch (error) {
      this.#log.error(`cannot tell that: ${notice.type}: ${describeError(error).stack}`)
    }
  }

  /** A reload that nobody could read the start file for takes back nothing that the last one has named. */
  #noteDifferences({ result, needsRestart }: ReloadSummary): void {
    if (result !== 'done' && needsRestart.length === 0) return
    this.#warnings = needsRestart.map((difference) => `needs a restart: ${difference}`)
  }

  async #onStarted(): Promise<void> {
    const durationMs = Math.round(performance.now() - this.#startedAt)
    await this.#options.screen.started(this.#status.report(), durationMs)
  }

  async #openWatch(): Promise<Watch | null> {
    const { watch, settings, launcher, stateDir, logFile, stdoutFile, warnings } = this.#options
    if (!watch && settings.watch === null) return null
    const { openWatch } = await import('./watch/watch.ts')
    return openWatch({
      startFile: launcher.startFile,
      paths: settings.watch ?? [],
      stateDir: stateDir.path,
      logs: [logFile, stdoutFile],
      onChange: (files) => {
        this.#log.info(`${files} changed: reload`)
        this.#supervisor.reload({ ...PLAIN_RELOAD, isWatch: true }, () => undefined)
      },
      onWarning: (text) => {
        this.#log.warn(text)
        warnings.push(text)
      },
    })
  }

  async #callHook(name: string, hook: (() => unknown) | null): Promise<void> {
    try {
      await hook?.()
    } catch (error) {
      this.#log.error(`${name} threw: ${describeError(error).stack}`)
    }
  }
}
