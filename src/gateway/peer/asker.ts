/**
 * How a question gets to gateways, to that of one client or to all of them, and what it means that one of them
 * does not answer. What is asked, and what the answers say, is the business of `Commands`.
 */
import { type ErrorCode, ShiftworkError } from '../../index.ts'
import { gatewayOf } from '../ids.ts'
import type { Data, Missing, Request } from '../types.ts'
import type { Deadline } from './deadline.ts'
import type { Target } from './link.ts'

/** How the gateways are reached. */
export interface Reach {
  /**
   * Of a client with this id; at once, where it is known. Rejects when it may be there and cannot be reached. Null: there
   * is no such gateway.
   */
  find(gateway: string, deadlineMs: number): Target | null | Promise<Target | null>
  /** All of them, in the order of their names, and which are known to be out of reach. */
  all(deadlineMs: number): Promise<Found>
  /** Where gateways were looked for, and none can ever have been; null, or not told: some may have been there. */
  readonly nowhere?: string | null
}

export interface Found {
  readonly targets: Target[]
  readonly missing: Missing[]
  /** A directory with gateways that are another user's. */
  readonly forbidden?: string | null
  /** Where was looked, for people; reads directories, so that only an error asks. */
  readonly searched?: () => string
}

/** The name under which those are missing that nobody can name. */
export const EVERY_FAR_GATEWAY = 'bus'

export class Asker {
  readonly #reach: Reach

  constructor(reach: Reach) {
    this.#reach = reach
  }

  /**
   * The gateway of this client; at once, where it is known. Null: there is none any more. Rejects when there never was one
   * where is looked: nobody has said that this client is gone.
   */
  find(clientId: string, deadline: Deadline): Target | Promise<Target | null> {
    const found = this.#reach.find(gatewayOf(clientId), deadline.leftMs)
    return found instanceof Promise ? found.then((target) => target ?? this.#none()) : (found ?? this.#none())
  }

  async #none(): Promise<null> {
    const { nowhere = null } = this.#reach
    if (nowhere !== null) throw notRunning(nowhere)
    return null
  }

  /** @returns what that gateway says; null: there is no such gateway, or it has died meanwhile, and its client with it. */
  async one(
    clientId: string,
    request: Request,
    { data, deadline }: { data: Data | null; deadline: Deadline },
  ): Promise<unknown> {
    const found = this.find(clientId, deadline)
    // what a handler asks before it has settled is written before its message is acknowledged
    const target = found instanceof Promise ? await found : found
    return target ? this.#unlessDead(target, request, { data, deadline }) : null
  }

  /** @returns null, when a gateway has died before it has answered: what it has done has died with its clients. */
  async #unlessDead(
    target: Target,
    request: Request,
    { data, deadline }: { data: Data | null; deadline: Deadline },
  ): Promise<unknown> {
    try {
      return await target.request(request, data, deadline.leftMs)
    } catch (error) {
      if (!(error instanceof ShiftworkError) || error.code !== 'ERR_CONNECTION_CLOSED') throw error
      if (await this.#mayLive(target.gateway, deadline)) throw error
      return null
    }
  }

  async #mayLive(gateway: string, deadline: Deadline): Promise<boolean> {
    try {
      return (await this.#reach.find(gateway, deadline.leftMs)) !== null
    } catch {
      // nobody knows
      return true
    }
  }

  /** Asks those that can be reached. Rejects only when there is none at all, or for a wrong question. */
  async some(
    request: Request,
    { data, deadline }: { data: Data | null; deadline: Deadline },
  ): Promise<{ values: unknown[]; missing: Missing[] }> {
    const { targets, missing } = await this.#within(deadline)
    const told = await collect(targets, (target) => target.request(request, data, deadline.leftMs))
    return { values: told.values, missing: [...missing, ...told.missing] }
  }

  /** Asks each gateway; rejects unless all have answered. */
  async each(request: Request, deadline: Deadline): Promise<unknown[]> {
    return this.told(await this.all(deadline), { request, deadline })
  }

  /** @returns what those tell that live; rejects unless all of them have answered. */
  async told(
    targets: readonly Target[],
    { request, deadline }: { request: Request; deadline: Deadline },
  ): Promise<unknown[]> {
    const ask = (target: Target): Promise<unknown> => this.#unlessDead(target, request, { data: null, deadline })
    const { values, missing } = await collect(targets, ask)
    failIfMissing(missing)
    return values.filter((value) => value !== null)
  }

  /** All gateways; rejects when one is out of reach. */
  async all(deadline: Deadline): Promise<Target[]> {
    const { targets, missing } = await this.#within(deadline)
    failIfMissing(missing)
    return targets
  }

  /** Those that are within reach. Rejects when there is none at all. */
  async #within(deadline: Deadline): Promise<Found> {
    const found = await this.#reach.all(deadline.leftMs)
    if (found.targets.length > 0 || found.missing.length > 0) return found
    if (found.forbidden)
      throw new ShiftworkError('ERR_STATE_DIR', `The gateways of ${found.forbidden} are another user's`, {
        hint: 'Ask as that user, or give everybody a linkDir that both may use.',
      })
    throw notRunning(found.searched?.())
  }
}

function notRunning(searched = 'any place'): ShiftworkError {
  return new ShiftworkError('ERR_NOT_RUNNING', 'There is no gateway', {
    hint: `Start a Gateway, or look at linkDir: there is none in ${searched}.`,
  })
}

/** That a gateway was not reached, or has not answered, and nothing else that may be wrong. */
const SILENCE: readonly ErrorCode[] = ['ERR_NO_ANSWER', 'ERR_CONNECTION_CLOSED', 'ERR_SEND_BUFFER_FULL', 'ERR_BUS']
/** Between machines less is sent than on one: the others may have it already. */
const PARTIAL: readonly ErrorCode[] = [...SILENCE, 'ERR_MESSAGE_TOO_LARGE']

/** What each of them tells, and who tells nothing. Rejects with what is wrong with the question. */
async function collect(
  targets: readonly Target[],
  ask: (target: Target) => Promise<unknown>,
): Promise<{ values: unknown[]; missing: Missing[] }> {
  const settled = await Promise.allSettled(targets.map(async (target) => ask(target)))
  const values: unknown[] = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const excused = values.length > 0 ? PARTIAL : SILENCE
  const missing: Missing[] = []
  for (const [index, result] of settled.entries())
    if (result.status === 'rejected') missing.push(missed(targets[index]?.gateway ?? '', result.reason, excused))
  return { values, missing }
}

function missed(gateway: string, error: unknown, excused: readonly ErrorCode[]): Missing {
  if (error instanceof ShiftworkError && excused.includes(error.code)) return { gateway, reason: error.message }
  throw error
}

function failIfMissing(missing: readonly Missing[]): void {
  const [first] = missing
  if (!first) return
  const code = missing.some(({ gateway }) => gateway === EVERY_FAR_GATEWAY) ? 'ERR_BUS' : 'ERR_NO_ANSWER'
  throw new ShiftworkError(code, first.reason, { facts: { missing } })
}
