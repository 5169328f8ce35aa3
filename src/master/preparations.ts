/**
 * What a reload needs beside workers: listeners bound and let go, the command before it, the start file
 * read by a process of its own. Owned by the supervisor; each outcome goes back to it as an event.
 */
import { presentDirectory } from '../os/workingdirectory.ts'
import type { Settings } from '../spec/settings.ts'
import type { Spec } from '../spec/spec.ts'
import { runGate } from './gate.ts'
import { bindFailure, bindListener, type Listener } from './listeners.ts'
import type { Notice } from './notices.ts'
import type { Action } from './policy/actions.ts'
import type { FleetEvent } from './policy/events.ts'
import { type ReadResult, readStartFile } from './reader.ts'
import type { Launcher } from './spawn.ts'
import type { Sweeper } from './sweep.ts'

export interface PreparationsOptions {
  /** What is bound, by key. */
  listeners: Map<string, Listener>
  launcher: Launcher
  settings: Settings
  /** Ends what a process that only reads has started. */
  sweeper: Pick<Sweeper, 'sweep'>
  onNotice: (notice: Notice) => void
  onEvent: (event: FleetEvent) => void
}

export type Preparation = Extract<
  Action,
  { do: 'bind' | 'close-listener' | 'open-gate' | 'end-gate' | 'read-start-file' }
>

export class Preparations {
  readonly #options: PreparationsOptions
  readonly #readers = new Set<() => void>()
  readonly #reading = new Set<Promise<ReadResult>>()
  /** One after the other: two of one address would take it from each other. */
  #binds: Promise<void> = Promise.resolve()
  /** The ports of what was let go of, by key. */
  readonly #closed = new Map<string, number | null>()
  #endGate: () => void = () => undefined
  #gateEnd: Promise<void> = Promise.resolve()

  constructor(options: PreparationsOptions) {
    this.#options = options
  }

  act(action: Preparation): void {
    switch (action.do) {
      case 'bind':
        this.#binds = this.#binds.then(() => this.#bind(action.key, action.spec))
        return
      case 'close-listener':
        this.#close(action.key)
        return
      case 'open-gate':
        this.#openGate(action.reload)
        return
      case 'end-gate':
        this.#endGate()
        return
      case 'read-start-file':
        void this.#readForReload(action.reload)
        return
    }
  }

  /** What the start file says now. */
  readStartFile(): Promise<ReadResult> {
    const reading = this.#read().finally(() => this.#reading.delete(reading))
    this.#reading.add(reading)
    return reading
  }

  async #read(): Promise<ReadResult> {
    let reader: { end: () => void; mark: string } | undefined
    const result = await readStartFile(this.#options.launcher, (begun) => {
      reader = begun
      this.#readers.add(begun.end)
    })
    if (!reader) return result
    this.#readers.delete(reader.end)
    const isSwept = result.reading?.specs.some((spec) => spec.sweepChildren) ?? true
    if (isSwept) this.#options.sweeper.sweep(reader.mark, () => undefined)
    return result
  }

  /** By key: the port that was listened on, null for a unix socket. Kept for whoever asks during a stop. */
  get closed(): ReadonlyMap<string, number | null> {
    return this.#closed
  }

  /** Settles when the command before a reload runs no more: a stop ends it, and it may take a moment. */
  get gateEnd(): Promise<void> {
    return this.#gateEnd
  }

  /** Everything stops: nobody wants to know any more. */
  endReaders(): void {
    for (const end of this.#readers) end()
  }

  /** Settles when no process reads any more, and the sweeps behind them have begun. */
  async readersEnd(): Promise<void> {
    while (this.#reading.size > 0) await Promise.all(this.#reading)
  }

  async #bind(key: string, spec: Spec): Promise<void> {
    const { listeners, onEvent, onNotice } = this.#options
    if (!spec.address) return
    // a reload that was given up has asked for it just before
    if (listeners.has(key)) {
      onEvent({ type: 'bound', listener: key, failure: null, inUse: false })
      return
    }
    try {
      const listener = await bindListener(spec.address, spec)
      listeners.set(key, listener)
      onNotice({ type: 'listener', what: 'bound', address: listener.text })
      onEvent({ type: 'bound', listener: key, failure: null, inUse: false })
    } catch (error) {
      onEvent({ type: 'bound', listener: key, ...bindFailure(error) })
    }
  }

  #close(key: string): void {
    const { listeners, onNotice } = this.#options
    const listener = listeners.get(key)
    if (!listener) return
    listeners.delete(key)
    this.#closed.set(key, listener.port)
    listener.close()
    onNotice({ type: 'listener', what: 'closed', address: listener.text })
  }

  #openGate(reload: number): void {
    const { settings, launcher, onEvent, onNotice } = this.#options
    const { preReload } = settings
    if (!preReload) return
    onNotice({ type: 'gate', what: 'began', text: preReload.command })
    this.#gateEnd = new Promise((resolve) => {
      this.#endGate = runGate({
        ...preReload,
        cwd: presentDirectory(launcher.directories),
        onLine: (text) => onNotice({ type: 'gate', what: 'printed', text }),
        onEnd: (failure, output) => {
          onEvent({ type: 'gate', reload, failure, output })
          resolve()
        },
      })
    })
  }

  async #readForReload(reload: number): Promise<void> {
    const result = await this.readStartFile()
    const { reading } = result
    const event = reading
      ? { reading, failure: null, output: '' }
      : { reading, failure: result.failure, output: result.output }
    this.#options.onEvent({ type: 'read', reload, ...event })
  }
}
