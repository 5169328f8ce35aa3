/**
 * The master process from the first check to the last exit: takes the state directory, binds what
 * the workers listen on, opens the log and the control socket, and hands over to the supervisor.
 * Called by `runAll` when this process is to be the master. Runs no business code.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { ControlRequest, ReloadOrder } from '../ipc/requests.ts'
import type { ReloadFailure, ReloadSummary, Status } from '../ipc/status.ts'
import { type Log, type LogLine, openLog } from '../log.ts'
import { releasePidFile, takePidFile } from '../os/pidfile.ts'
import { createStateDir, type StateDir } from '../os/statedir.ts'
import { userIds } from '../os/users.ts'
import type { Settings } from '../spec/settings.ts'
import type { Spec } from '../spec/spec.ts'
import { packageVersion } from '../version.ts'
import { nearest } from '../words.ts'
import { type Asker, openControl } from './control.ts'
import { assertNodeInternals, bindListener, type Listener } from './listeners.ts'
import type { MetricsServer } from './metrics.ts'
import { logNotice, progressOf } from './report.ts'
import { bindSignals } from './signals.ts'
import type { Launcher } from './spawn.ts'
import { type MasterFacts, StatusReporter } from './status.ts'
import { type Notice, Supervisor } from './supervisor.ts'

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
  started(status: Status, durationMs: number): void
  failed(failure: ReloadFailure | null): void
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

/**
 * Runs a master until it has stopped.
 * @returns the exit code: done, or failed when the first start was given up.
 * @throws ShiftworkError when it cannot start at all; nothing is left behind then.
 */
export async function runMaster(options: MasterOptions): Promise<ExitCode> {
  assertNodeInternals()
  for (const spec of options.specs) if (spec.user !== null || spec.group !== null) assertUser(spec)
  createStateDir(options.stateDir)
  const holder = await takePidFile(options.stateDir.pidFile)
  if (holder)
    throw new ShiftworkError('ERR_ALREADY_RUNNING', `Already running, as pid ${holder.pid}`, {
      hint: 'Use reload to load new code, or restart to begin anew.',
    })
  const listeners = new Map<string, Listener>()
  let metrics: MetricsServer | null = null
  try {
    metrics = await openMetrics(options)
    for (const spec of options.specs) if (spec.address) listeners.set(spec.name, await bindListener(spec.address, spec))
    const master = new Master(options, listeners, metrics)
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
  const { MetricsServer } = await import('./metrics.ts')
  return MetricsServer.open(settings.metrics, specs)
}

function assertUser(spec: Spec): void {
  const uid = process.getuid?.() ?? 0
  const ids = userIds(spec.user ?? String(uid), spec.group)
  if (uid !== 0 && ids.uid !== uid)
    throw new ShiftworkError('ERR_USER', `Worker "${spec.name}" cannot become user "${spec.user}"`, {
      hint: 'Only a master that root started can give its workers another user.',
    })
}

/** A hook that never settles must not keep a stopped master alive. */
const STOP_HOOK_TIMEOUT_MS = 5_000

class Master {
  readonly #options: MasterOptions
  readonly #log: Log
  readonly #supervisor: Supervisor
  readonly #status: StatusReporter
  readonly #metrics: MetricsServer | null
  readonly #startedAt = performance.now()
  readonly #watchers = new Set<Asker>()
  readonly #stopAskers = new Set<Asker>()
  #lastReload: ReloadSummary | null = null
  #warnings: string[] = []
  #connectionsCut = 0
  #processesEnded = 0
  #isOver = false
  #end: (code: ExitCode) => void = () => undefined

  constructor(options: MasterOptions, listeners: Map<string, Listener>, metrics: MetricsServer | null) {
    this.#options = options
    this.#metrics = metrics
    this.#log = openLog(options.logFile, (line) => options.screen.line(line))
    this.#supervisor = new Supervisor({
      specs: options.specs,
      version: packageVersion(),
      listeners,
      launcher: options.launcher,
      onNotice: (notice) => this.#onNotice(notice),
    })
    const facts: MasterFacts = {
      entry: options.launcher.startFile,
      startedAt: new Date(),
      daemon: options.daemon,
      watching: options.watch || options.settings.watch !== null,
      warnings: () => [...options.warnings, ...this.#warnings],
      listeners: new Map(listeners),
      lastReload: () => this.#lastReload,
      metrics: metrics?.address ?? null,
    }
    this.#status = new StatusReporter(this.#supervisor, facts)
    metrics?.attend(this.#supervisor, facts)
  }

  async run(): Promise<ExitCode> {
    const ended = new Promise<ExitCode>((resolve) => {
      this.#end = resolve
    })
    const control = await openControl(this.#options.stateDir.controlSocket, (request, asker) =>
      this.#onRequest(request, asker),
    )
    const unbindSignals = bindSignals({
      stop: ({ graceful, force }) => this.#supervisor.stop({ graceful, timeoutMs: null, force }),
      reload: () => this.#supervisor.reload({ groups: null, graceful: false, timeoutMs: null }, () => undefined),
      reopenLog: () => this.#log.reopen(),
    })
    process.on('uncaughtException', this.#onUncaught)
    this.#log.info(`master ${process.pid} starts ${this.#options.launcher.startFile} on Node.js ${process.version}`)
    for (const warning of this.#options.warnings) this.#log.warn(warning)
    this.#options.screen.bound(await this.#status.report())
    this.#supervisor.start()
    const code = await ended
    const hook = this.#callHook('onMasterStop', this.#options.hooks.onMasterStop)
    await Promise.race([hook, delay(STOP_HOOK_TIMEOUT_MS, undefined, { ref: false })])
    this.#isOver = true
    this.#replyStopped()
    this.#metrics?.close()
    // the lock goes last but one: a start that waits for it finds the ports free
    releasePidFile(this.#options.stateDir.pidFile)
    await control.close()
    process.off('uncaughtException', this.#onUncaught)
    unbindSignals()
    return code
  }

  /** The start file's own top level may leave timers behind; its mistakes must not end the service. */
  readonly #onUncaught = (error: unknown): void => {
    this.#log.error(`uncaught in the master, it goes on: ${error instanceof Error ? error.stack : String(error)}`)
  }

  // ---- what happens ------------------------------------------------------------------------------------------------

  #onNotice(notice: Notice): void {
    const now = performance.now()
    logNotice(this.#log, notice, now)
    this.#metrics?.note(notice)
    const progress = progressOf(notice, now)
    if (progress) for (const asker of this.#watchers) asker.progress(progress)
    switch (notice.type) {
      case 'started':
        void this.#onStarted()
        return
      case 'start-failed':
        this.#options.screen.failed(notice.failure)
        return
      case 'reload-began':
        void this.#callHook('onMasterReload', this.#options.hooks.onMasterReload)
        return
      case 'reload-ended':
        this.#lastReload = notice.summary
        this.#warnings = notice.summary.needsRestart.map((difference) => `needs a restart: ${difference}`)
        return
      case 'left':
        this.#onLeft(notice)
        return
      case 'stopped':
        this.#end(this.#supervisor.fleet.startFailure ? EXIT.failed : EXIT.done)
        return
      case 'child':
      case 'kill':
      case 'leader':
      case 'stats':
      case 'stopping':
        return
    }
  }

  async #onStarted(): Promise<void> {
    const durationMs = Math.round(performance.now() - this.#startedAt)
    this.#options.screen.started(await this.#status.report(), durationMs)
  }

  #onLeft(notice: Extract<Notice, { type: 'left' }>): void {
    const { child, code, signal } = notice
    this.#processesEnded++
    this.#connectionsCut += child.report?.connectionsCut ?? 0
    const hook = this.#options.hooks.onWorkerExit
    void this.#callHook('onWorkerExit', hook && (() => hook(child.name, code, signal, child.pid)))
  }

  async #callHook(name: string, hook: (() => unknown) | null): Promise<void> {
    try {
      await hook?.()
    } catch (error) {
      this.#log.error(`${name} threw: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }

  // ---- what is asked -----------------------------------------------------------------------------------------------

  #onRequest(request: ControlRequest, asker: Asker): void {
    switch (request.command) {
      case 'status':
        void this.#status.report().then((status) => asker.reply({ type: 'status', status }))
        return
      case 'reload':
        this.#onReload(request, asker)
        return
      case 'stop':
        this.#watchers.add(asker)
        if (this.#stopAskers.size === 0) this.#countFromHere()
        this.#stopAskers.add(asker)
        if (this.#isOver) this.#replyStopped()
        this.#supervisor.stop({ graceful: request.graceful, timeoutMs: request.timeoutMs, force: false })
        return
      case 'plan':
      case 'scale':
        asker.reply({ type: 'error', code: 'failed', message: 'not yet', hint: null })
        return
    }
  }

  #onReload(request: ReloadOrder, asker: Asker): void {
    const refusal = this.#refuseReload(request.groups)
    if (refusal) {
      asker.reply({ type: 'error', code: 'usage', ...refusal })
      return
    }
    if (this.#supervisor.fleet.stopping) {
      asker.reply({ type: 'error', code: 'cancelled', message: 'The master is stopping', hint: null })
      return
    }
    this.#watchers.add(asker)
    const groups = request.groups.length > 0 ? request.groups : null
    this.#supervisor.reload({ groups, graceful: request.graceful, timeoutMs: request.timeoutMs }, (reload) => {
      this.#watchers.delete(asker)
      asker.reply({ type: 'reload', reload })
    })
  }

  #refuseReload(names: readonly string[]): { message: string; hint: string | null } | null {
    const { groups } = this.#supervisor.fleet
    for (const name of names) {
      const group = groups.get(name)
      if (!group) {
        const guess = nearest(name, [...groups.keys()])
        const hint = guess ? `Did you mean "${guess}"?` : `Known workers: ${[...groups.keys()].join(', ')}.`
        return { message: `There is no worker "${name}"`, hint }
      }
      if (!group.spec.reloadable)
        return {
          message: `Worker "${name}" is not reloadable`,
          hint: 'It keeps its processes; use restart to end them.',
        }
    }
    return null
  }

  #countFromHere(): void {
    this.#connectionsCut = 0
    this.#processesEnded = 0
  }

  #replyStopped(): void {
    const reply = { processes: this.#processesEnded, connectionsCut: this.#connectionsCut }
    for (const asker of this.#stopAskers) asker.reply({ type: 'stopped', ...reply })
  }
}
