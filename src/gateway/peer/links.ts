/**
 * The links of a process to all gateways of its machine: finds them, opens a link to each, and opens it
 * again when it is lost. A gateway at whose socket nobody listens any more is dead.
 */
import { type FSWatcher, watch } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, isCut, isRefused } from './failures.ts'
import { type Introduction, type LinkHooks, PeerLink } from './link.ts'
import type { Places } from './places.ts'

export interface LinksOptions {
  readonly places: Places
  readonly introduction: Introduction
  onOpened(link: PeerLink): void
  onRecord: LinkHooks['onRecord']
  /** It is not known yet whether its gateway lives. */
  onClosed(link: PeerLink): void
  /** @param isAlive another link to the same gateway was opened; false: the gateway is dead. */
  onLost(link: PeerLink, isAlive: boolean): void
  /** Nobody listens at its socket, or that is gone; said again while it lies there. */
  onDead(gateway: string): void
}

/** Changes are told by the kernel; where they are not, they are seen within so long. */
const LOOK_MS = 1_000
/** Before a gateway that does not listen yet is tried again. */
const RETRY_MS = 10

export class Links {
  readonly #options: LinksOptions
  readonly #open = new Map<string, PeerLink>()
  /** Gateways to which a link is being opened. */
  readonly #opening = new Map<string, Promise<void>>()
  /** Those whose link was lost, until it is known what has become of them. */
  readonly #lost = new Map<string, PeerLink>()
  /** Those to which no link can be opened, and why; it is tried again all the time. */
  readonly #failing = new Map<string, string>()
  /** Why it cannot be told who is there; null: it can. */
  #blindness: string | null = null
  readonly #watchers = new Map<string, FSWatcher>()
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: LinksOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
    this.#look()
  }

  /**
   * Every gateway that is there now has a link, or is known to have none. Null: that is so.
   * @param one only this one.
   */
  settle(one?: string): Promise<void> | null {
    if (this.#options.places.hasChanged) this.#look()
    const awaited = this.awaited.filter((gateway) => one === undefined || gateway === one)
    if (awaited.length === 0) return null
    return Promise.all(awaited.map((gateway) => this.#opening.get(gateway))).then(() => this.settle(one) ?? undefined)
  }

  /** Those of which nothing is known yet. */
  get awaited(): string[] {
    return [...this.#opening.keys()].filter((gateway) => !this.#failing.has(gateway))
  }

  find(gateway: string): PeerLink | undefined {
    return this.#open.get(gateway)
  }

  all(): PeerLink[] {
    return [...this.#open.values()]
  }

  /** Those that are there and cannot be reached, and why. */
  get failing(): ReadonlyMap<string, string> {
    return this.#failing
  }

  /** Why there may be others, of which nothing is known; null: there are none. */
  get blindness(): string | null {
    return this.#blindness
  }

  /** Where gateways may be that are not for this user. */
  get forbidden(): string[] {
    return this.#options.places.forbidden
  }

  /** Where gateways are looked for, for people. */
  get searched(): string {
    return this.#options.places.shown
  }

  /** There is nowhere to look. */
  get isNowhere(): boolean {
    return this.#options.places.isNowhere
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Sends what is written, and opens no link any more. */
  close(): void {
    this.#isClosed = true
    if (this.#timer) clearInterval(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    for (const link of this.#open.values()) link.close()
  }

  #look(): void {
    if (this.#isClosed) return
    const places = this.#list()
    // nobody is dead because nothing can be seen
    if (!places) return
    for (const [gateway, path] of places)
      if (!this.#open.has(gateway) && !this.#opening.has(gateway)) this.#dial(gateway, path)
    // its file is gone, and so is it
    for (const gateway of [...this.#lost.keys(), ...this.#failing.keys()]) if (!places.has(gateway)) this.#bury(gateway)
  }

  /** Null: it cannot be told, for want of descriptors for one. */
  #list(): Map<string, string> | null {
    try {
      const places = this.#options.places.list()
      this.#watch()
      this.#blindness = null
      return places
    } catch (error) {
      // the next who asks looks again
      this.#options.places.doubt()
      this.#blindness = `it cannot be seen which gateways there are: ${String((error as Error).message)}`
      return null
    }
  }

  #dial(gateway: string, path: string): void {
    const { introduction, onRecord } = this.#options
    const open = () => PeerLink.open(path, introduction, { onRecord, onClosed: (link) => this.#lose(link) })
    const opening = open()
      // a gateway that dies takes along those who wait at its door: asked again, it refuses
      .catch((error: unknown) => (isCut(error) ? open() : Promise.reject(error)))
      .then((link) => this.#opened(link))
      .catch((error: unknown) => this.#failed({ gateway, path }, error))
      .finally(() => this.#opening.delete(gateway))
    this.#opening.set(gateway, opening)
  }

  #opened(link: PeerLink): void {
    if (this.#isClosed) {
      link.close()
      return
    }
    this.#failing.delete(link.gateway)
    const former = this.#lost.get(link.gateway)
    this.#lost.delete(link.gateway)
    if (former) this.#options.onLost(former, true)
    this.#open.set(link.gateway, link)
    this.#options.onOpened(link)
  }

  async #failed({ gateway, path }: { gateway: string; path: string }, error: unknown): Promise<void> {
    if (isRefused(error)) {
      // one that has listened before is dead, however young
      if (this.#lost.has(gateway) || !this.#options.places.isYoung(path)) return this.#bury(gateway)
      await delay(RETRY_MS)
      // now, not before: whoever looks meanwhile finds it being opened, and believes to have seen all
      this.#options.places.doubt()
      return
    }
    const isNew = !this.#failing.has(gateway)
    this.#failing.set(gateway, describe(gateway, error))
    if (isNew) console.error(`shiftwork: ${describe(gateway, error)}`)
  }

  #bury(gateway: string): void {
    this.#failing.delete(gateway)
    const link = this.#lost.get(gateway)
    this.#lost.delete(gateway)
    if (link) this.#options.onLost(link, false)
    this.#options.onDead(gateway)
  }

  #lose(link: PeerLink): void {
    this.#open.delete(link.gateway)
    this.#lost.set(link.gateway, link)
    this.#options.onClosed(link)
    this.#look()
  }

  /** Nothing hangs on it but how soon a gateway is found. */
  #watch(): void {
    const { linkDirs } = this.#options.places.directories()
    for (const path of linkDirs) if (!this.#watchers.has(path)) this.#watchOne(path)
  }

  #watchOne(path: string): void {
    try {
      const watcher = watch(path, { persistent: false }, () => this.#look())
      watcher.on('error', () => watcher.close())
      watcher.on('close', () => this.#watchers.delete(path))
      this.#watchers.set(path, watcher)
    } catch {
      // it is not there yet, or the kernel gives no more watches
    }
  }
}
