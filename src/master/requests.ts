/**
 * What is asked on the control socket, led to who does it: one reply to each, with progress before it
 * to those that wait for an operation. Called by the master's main.
 */

import { describeError } from '../errors.ts'
import type { ConnectionRow } from '../ipc/connections.ts'
import type { Reply } from '../ipc/messages.ts'
import type { ControlRequest, Count, ReloadOrder } from '../ipc/requests.ts'
import type { StopFault } from '../ipc/status.ts'
import { nearest } from '../words.ts'
import type { Asker } from './control.ts'
import { dryRun } from './dryrun.ts'
import type { Notice } from './notices.ts'
import { leavesEarly, stopFaultOf } from './policy/fleet.ts'
import type { ReloadRequest } from './policy/operations.ts'
import { progressOf } from './progress.ts'
import type { StatusReporter } from './status.ts'
import type { Supervisor } from './supervisor.ts'

type Refusal = Extract<Reply, { type: 'error' }>

/** Who does what is asked. */
interface Obeying {
  supervisor: Supervisor
  status: StatusReporter
  reopenLog: () => void
}

export class Requests {
  readonly #supervisor: Supervisor
  readonly #status: StatusReporter
  readonly #reopenLog: () => void
  readonly #watchers = new Set<Asker>()
  readonly #stopAskers = new Set<Asker>()
  #connectionsCut = 0
  #processesEnded = 0
  #killed = 0
  #leftEarly = 0
  #stopFaults: StopFault[] = []
  #isOver = false

  constructor({ supervisor, status, reopenLog }: Obeying) {
    this.#supervisor = supervisor
    this.#status = status
    this.#reopenLog = reopenLog
  }

  answer(request: ControlRequest, asker: Asker): void {
    switch (request.command) {
      case 'status':
        void this.#answer(asker, async () => ({ type: 'status', status: await this.#status.report() }))
        return
      case 'reload':
        this.#reload(request, asker)
        return
      case 'plan':
        void this.#answer(asker, () => this.#plan(request))
        return
      case 'scale':
        this.#scale(request.counts, asker)
        return
      case 'connections':
        void this.#answer(asker, () => this.#list(request.groups, asker))
        return
      case 'reopen':
        this.#reopenLog()
        asker.reply({ type: 'reopened' })
        return
      case 'stop':
        this.#watchers.add(asker)
        if (this.#stopAskers.size === 0) this.#countFromHere()
        this.#stopAskers.add(asker)
        if (this.#isOver) this.#replyStopped()
        this.#supervisor.stop({ graceful: request.graceful, timeoutMs: request.timeoutMs, force: false })
        return
    }
  }

  /** For what takes a while: who asks is answered, whatever comes of it. */
  async #answer(asker: Asker, work: () => Promise<Reply>): Promise<void> {
    try {
      asker.reply(await work())
    } catch (error) {
      asker.reply({ type: 'error', code: 'failed', message: describeError(error).message, hint: null })
    }
  }

  /** Tells those that wait, and counts what a stop will be answered with. */
  note(notice: Notice, now: number): void {
    // a notice comes before the exit is applied: the state is the last that it had
    if (notice.type === 'left') {
      this.#processesEnded++
      if (notice.child.state === 'killed') this.#killed++
      if (leavesEarly(notice.child)) this.#leftEarly++
      const fault = stopFaultOf(notice.child)
      if (fault) this.#stopFaults.push(fault)
      this.#connectionsCut += notice.child.report?.connectionsCut ?? 0
    }
    const progress = progressOf(notice, now)
    if (progress) for (const asker of this.#watchers) asker.progress(progress)
  }

  /** Everything has stopped: whoever asked for it is answered, and whoever asks from now on. */
  end(): void {
    this.#isOver = true
    this.#replyStopped()
  }

  // ---- reload ------------------------------------------------------------------------------------------------------

  #reload(order: ReloadOrder, asker: Asker): void {
    const refusal = this.#refuseOrder(order) ?? this.#refuseStopping()
    if (refusal) {
      asker.reply(refusal)
      return
    }
    this.#watchers.add(asker)
    this.#supervisor.reload(requestOf(order), (reload) => {
      this.#watchers.delete(asker)
      asker.reply({ type: 'reload', reload })
    })
  }

  async #plan(order: ReloadOrder): Promise<Reply> {
    const refusal = this.#refuseOrder(order) ?? this.#refuseStopping()
    return refusal ?? { type: 'plan', plan: await dryRun(this.#supervisor, requestOf(order)) }
  }

  #refuseOrder({ groups, force }: ReloadOrder): Refusal | null {
    if (force && groups.length === 0)
      return usage('--force needs the names of the workers that it is for', 'Type: reload --force name')
    for (const name of groups) {
      const group = this.#supervisor.fleet.groups.get(name)
      if (!group || group.isLeaving) return this.#unknown(name)
      if (group.spec.reloadable || force) continue
      return usage(`Worker "${name}" is not reloadable`, `reload --force ${name} replaces its processes all the same.`)
    }
    return null
  }

  // ---- connections -------------------------------------------------------------------------------------------------

  async #list(groups: string[], asker: Asker): Promise<Reply> {
    const unknown = groups.find((name) => !this.#supervisor.fleet.groups.has(name))
    if (unknown !== undefined) return this.#unknown(unknown)
    const rows = (rows: ConnectionRow[]): void => asker.progress({ type: 'rows', rows })
    const children = [...this.#supervisor.fleet.children.values()].filter(
      // one that only starts has neither connections nor an ear
      ({ name, state }) => state !== 'starting' && (groups.length === 0 || groups.includes(name)),
    )
    const missing = await this.#supervisor.listing.list(children, { rows, taken: (ms) => asker.taken(ms) })
    return { type: 'listed', missing }
  }

  // ---- scale -------------------------------------------------------------------------------------------------------

  #scale(counts: Count[], asker: Asker): void {
    const unknown = counts.find(({ name }) => this.#supervisor.fleet.groups.get(name)?.isLeaving !== false)
    const refusal = unknown ? this.#unknown(unknown.name) : this.#refuseStopping()
    if (refusal) {
      asker.reply(refusal)
      return
    }
    this.#watchers.add(asker)
    this.#supervisor.scale(counts, (scaled) => {
      this.#watchers.delete(asker)
      asker.reply({ type: 'scaled', scaled })
    })
  }

  #unknown(name: string): Refusal {
    const groups = [...this.#supervisor.fleet.groups.values()]
    const known = groups.filter((group) => !group.isLeaving).map((group) => group.name)
    const guess = nearest(name, known)
    return usage(
      `There is no worker "${name}"`,
      guess ? `Did you mean "${guess}"?` : `Known workers: ${known.join(', ')}.`,
    )
  }

  #refuseStopping(): Refusal | null {
    if (!this.#supervisor.fleet.stopping) return null
    return { type: 'error', code: 'cancelled', message: 'The master is stopping', hint: null }
  }

  // ---- stop --------------------------------------------------------------------------------------------------------

  #countFromHere(): void {
    this.#connectionsCut = 0
    this.#processesEnded = 0
    this.#killed = 0
    this.#leftEarly = 0
    this.#stopFaults = []
  }

  #replyStopped(): void {
    const reply = {
      processes: this.#processesEnded,
      connectionsCut: this.#connectionsCut,
      killed: this.#killed,
      leftEarly: this.#leftEarly,
      stopFaults: this.#stopFaults,
    }
    for (const asker of this.#stopAskers) asker.reply({ type: 'stopped', ...reply })
  }
}

function requestOf(order: ReloadOrder): Omit<ReloadRequest, 'kind' | 'id'> {
  const { groups, graceful, timeoutMs, strategy, surge, wait } = order
  const named = groups.length > 0 ? groups : null
  return { groups: named, graceful, timeoutMs, strategy, surge, wait, isWatch: false }
}

function usage(message: string, hint: string): Refusal {
  return { type: 'error', code: 'usage', message, hint }
}
