/**
 * A client of a gateway, as a business worker has it: what the gateway has told about it, its commands, and
 * its events, which are handled one after another. Its gateway is told how far that has come.
 */
import type { Commands, SendOptions } from '../peer/commands.ts'
import type { PeerLink } from '../peer/link.ts'
import { settlingOf } from '../settling.ts'
import type { ClientInfo, ClientRequest, ClientState, CloseOptions, Data, Delivery, Session } from '../types.ts'
import type { EventKind, WireRecord } from '../wire/records.ts'
import type { Trials } from './trials.ts'

/** How an event came to this worker. */
export interface EventInfo {
  /** Another worker was given it before, and has not acknowledged it: it may have been handled, or a part of it. */
  readonly redelivered: boolean
  /** 1, and one more for each worker that was lost with it: killed, crashed, or hung. After the sixth it is dropped. */
  readonly attempts: number
}

export interface ClientHooks {
  onConnect: ((client: Client, info: EventInfo) => unknown) | null
  onWebSocketConnect: ((client: Client, request: ClientRequest, info: EventInfo) => unknown) | null
  onMessage: ((client: Client, data: string | Buffer, info: EventInfo) => unknown) | null
  onClose: ((client: Client, info: EventInfo) => unknown) | null
  onError: ((client: Client, error: unknown) => unknown) | null
}

/** What a client needs of its worker process. */
export interface ClientHome {
  readonly hooks: ClientHooks
  readonly commands: Commands
  /** Of all its clients. */
  readonly trials: Trials
  /** It has no event that is not handled. */
  onIdle(client: Client): void
  /** Its last event is handled. */
  onGone(client: Client): void
  report(what: EventKind | 'error', clientId: string, error: unknown): void
}

type Event = Extract<WireRecord, { type: 'event' }>

/** What is not told by a gateway, since it is dead. */
const LAST: Event = {
  type: 'event',
  client: 0,
  event: 0,
  kind: 'close',
  isRedelivered: false,
  losses: 0,
  bytes: new Uint8Array(),
}

/** Its next event may be what workers were lost by. */
interface Trial {
  /** Its gateway knows that it is begun here. */
  isKnown: boolean
  end(): void
}

export class Client {
  readonly #home: ClientHome
  readonly #link: PeerLink
  readonly #number: number
  readonly #info: ClientInfo
  #uid: string | null
  readonly #groups: Set<string>
  #session: Session
  #events: Event[] = []
  #isBusy = false
  /** Events wait until it is known whether its gateway lives. */
  #isHeld = false
  #trial: Trial | null = null
  /** The last event that is handled, until its gateway is told; 0: it is. */
  #handled = 0
  /** It is another worker's now. */
  #isRevoked = false
  #isClosed = false

  constructor(home: ClientHome, link: PeerLink, { number, info }: { number: number; info: ClientInfo }) {
    this.#home = home
    this.#link = link
    this.#number = number
    this.#info = info
    this.#uid = info.uid
    this.#groups = new Set(info.groups)
    this.#session = info.session
  }

  /** Cannot be guessed, and is never used again. */
  get id(): string {
    return this.#info.id
  }

  /** Whose client it is; null: `bindUid` was not called. */
  get uid(): string | null {
    return this.#uid
  }

  get groups(): ReadonlySet<string> {
    return this.#groups
  }

  /** What the gateway keeps for it; changed with `setSession`, by whoever does. */
  get session(): Session {
    return this.#session
  }

  /** Undefined on a unix socket. */
  get remoteAddress(): string | undefined {
    return this.#info.remoteAddress
  }

  get remotePort(): number | undefined {
    return this.#info.remotePort
  }

  /** The word before `://` of the gateway's address. */
  get protocol(): string {
    return this.#info.protocol
  }

  /** In ms since 1970. */
  get connectedAt(): number {
    return this.#info.connectedAt
  }

  /** Commands for every client, and for groups. */
  get gateways(): Commands {
    return this.#home.commands
  }

  /** @returns what became of it; see `Commands.sendTo`. */
  send(data: Data, options?: Pick<SendOptions, 'deadlineMs'>): Promise<Delivery> {
    return this.#home.commands.sendTo(this.id, data, options)
  }

  close(options?: CloseOptions): Promise<boolean> {
    return this.#home.commands.close(this.id, options)
  }

  /** `uid` is another when the promise has settled, as with the ones below. */
  bindUid(uid: string): Promise<boolean> {
    return this.#home.commands.bindUid(this.id, uid)
  }

  unbindUid(): Promise<boolean> {
    return this.#home.commands.unbindUid(this.id)
  }

  join(group: string): Promise<boolean> {
    return this.#home.commands.join(this.id, group)
  }

  leave(group: string): Promise<boolean> {
    return this.#home.commands.leave(this.id, group)
  }

  /** Sets fields of the session; null removes one. */
  setSession(fields: Session): Promise<boolean> {
    return this.#home.commands.setSession(this.id, fields)
  }

  // ---- for the worker ----------------------------------------------------------------------------------------------

  /** Nothing is left to handle. */
  get isIdle(): boolean {
    return !this.#isBusy && this.#events.length === 0
  }

  get number(): number {
    return this.#number
  }

  get link(): PeerLink {
    return this.#link
  }

  note({ uid, joined, left, session }: ClientState): void {
    if (uid !== undefined) this.#uid = uid
    if (joined !== undefined) this.#groups.add(joined)
    if (left !== undefined) this.#groups.delete(left)
    if (session)
      this.#session = Object.fromEntries(
        Object.entries({ ...this.#session, ...session }).filter(([, value]) => value !== null),
      )
  }

  take(event: Event): void {
    this.#events.push(event)
    this.#advance()
  }

  /** Its link is lost: what waits is not begun. */
  hold(): void {
    this.#isHeld = true
    // one that is begun is over when it is settled
    if (!this.#isBusy) this.#endTrial()
  }

  /** It is another worker's: what was not begun is handled there. */
  revoke(): void {
    this.#isRevoked = true
    this.#events = []
    if (!this.#isBusy) this.#home.onGone(this)
  }

  /** Its gateway is dead: what it has said is handled here or nowhere, and then it is gone. */
  bury(): void {
    this.#isHeld = false
    if (this.#events.at(-1)?.kind !== 'close' && !this.#isClosed) this.#events.push(LAST)
    this.#advance()
  }

  #advance(): void {
    while (!this.#isBusy && !this.#isHeld && this.#events.length > 0) {
      const doubt = this.#link.isOpen ? this.#link.doubt : null
      if (doubt) {
        this.#holdUntil(doubt)
        return
      }
      if (this.#mustBeTried(this.#events[0])) return
      const event = this.#events.shift()
      if (!event) return
      this.#isBusy = true
      const settling = this.#handle(event)
      if (settling) {
        void settling.then(() => {
          this.#settle(event)
          this.#advance()
        })
        return
      }
      this.#settle(event)
    }
  }

  /** It is not begun before its turn has come, and its gateway knows that: when this worker is lost, it was this one. */
  #mustBeTried(event: Event | undefined): boolean {
    // a gateway that is dead counts nothing
    if (!event || event.losses === 0 || !this.#link.isOpen || this.#trial?.isKnown) return false
    this.#trial ??= this.#try(event)
    return true
  }

  #try(event: Event): Trial {
    const trial: Trial = { isKnown: false, end: () => undefined }
    const tell = (type: 'begin' | 'outlived', onKnown: () => void): void => {
      if (this.#link.isOpen) this.#link.write({ type, client: this.#number, event: event.event })
      void this.#link.confirm().then(() => {
        // over meanwhile, or given up with its link
        if (this.#trial === trial) onKnown()
      })
    }
    const begin = (onBegun: () => boolean): void =>
      tell('begin', () => {
        trial.isKnown = onBegun()
        this.#advance()
      })
    trial.end = this.#home.trials.enter(event.losses, { begin, outlive: (onKnown) => tell('outlived', onKnown) })
    return trial
  }

  #endTrial(): void {
    const trial = this.#trial
    this.#trial = null
    trial?.end()
  }

  /** Nothing is begun before its gateway has said something: another worker may have the client by now. */
  #holdUntil(certainty: Promise<void>): void {
    this.#isHeld = true
    void certainty.then(() => {
      // a link that is lost has said what to do
      if (!this.#link.isOpen) return
      this.#isHeld = false
      this.#advance()
    })
  }

  #settle(event: Event): void {
    this.#isBusy = false
    if (!this.#isRevoked && this.#link.isOpen) this.#acknowledge(event.event)
    this.#endTrial()
    if (event.kind === 'close' || this.#isRevoked) this.#home.onGone(this)
    else if (this.#events.length === 0) this.#home.onIdle(this)
  }

  /** Once for all that is handled in a turn, and behind what was sent meanwhile. */
  #acknowledge(event: number): void {
    if (this.#handled === 0) this.#link.defer(this)
    this.#handled = event
  }

  writeLate(): void {
    if (this.#link.isOpen) this.#link.write({ type: 'ack', client: this.#number, event: this.#handled })
    this.#handled = 0
  }

  /** @returns null when it is done. */
  #handle({ kind, bytes, isRedelivered, losses }: Event): Promise<unknown> | null {
    const info = { redelivered: isRedelivered, attempts: losses + 1 }
    if (kind === 'close') this.#isClosed = true
    try {
      return settlingOf(this.#call(kind, bytes, info))?.catch((error: unknown) => this.#fail(kind, error)) ?? null
    } catch (error) {
      this.#fail(kind, error)
      return null
    }
  }

  #call(kind: EventKind, bytes: Uint8Array, info: EventInfo): unknown {
    const { hooks } = this.#home
    switch (kind) {
      case 'connect':
        return this.#greet(bytes, info)
      case 'text':
        return hooks.onMessage?.(this, bufferOf(bytes).toString(), info)
      case 'bytes':
        return hooks.onMessage?.(this, bufferOf(bytes), info)
      case 'close':
        return hooks.onClose?.(this, info)
    }
  }

  #greet(bytes: Uint8Array, info: EventInfo): unknown {
    const { hooks } = this.#home
    const connecting = hooks.onConnect?.(this, info)
    if (bytes.byteLength === 0 || !hooks.onWebSocketConnect) return connecting
    const request = JSON.parse(bufferOf(bytes).toString()) as ClientRequest
    const open = (): unknown => hooks.onWebSocketConnect?.(this, request, info)
    return settlingOf(connecting)?.then(open) ?? open()
  }

  /** Costs nobody anything: the client stays, and its next message is handled. */
  #fail(kind: EventKind, error: unknown): void {
    const { hooks } = this.#home
    this.#home.report(kind, this.id, error)
    try {
      settlingOf(hooks.onError?.(this, error))?.catch((thrown: unknown) => this.#home.report('error', this.id, thrown))
    } catch (thrown) {
      this.#home.report('error', this.id, thrown)
    }
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
