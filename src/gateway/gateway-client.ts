/**
 * Commands for the clients of gateways, from any worker of the fleet and from any other program of this
 * machine and user. Its links open by themselves, and keep no process alive.
 */
import { resolve } from 'node:path'
import { ShiftworkError, stateDirOf, Worker } from '../index.ts'
import { parseBusAddress } from './bus/address.ts'
import { Far } from './bus/far.ts'
import { BusReach } from './bus/reach.ts'
import { checkLinks, DEFAULT_DEADLINE_MS, type LinkOptions } from './options.ts'
import { Commands } from './peer/commands.ts'
import { Links } from './peer/links.ts'
import { Places } from './peer/places.ts'
import { LocalReach } from './peer/reach.ts'

export interface GatewayClientOptions extends LinkOptions {
  /** The start file of the fleet that has the gateways. Default: inside a worker its own, else none. */
  startFile?: string
  /** The state directory, where that was chosen. */
  stateDir?: string
}

export class GatewayClient extends Commands {
  readonly #links: Links
  readonly #far: Far | null

  /** @throws ShiftworkError `ERR_OPTION`: outside a worker it must be said where the gateways are. */
  constructor(options: GatewayClientOptions = {}) {
    checkLinks('GatewayClient', { ...options })
    const far = options.bus === undefined ? null : new Far({ address: parseBusAddress(options.bus) })
    const links = new Links({
      places: placesOf(options),
      introduction: { role: 'client', name: '' },
      onOpened: () => undefined,
      onRecord: (_, record) => {
        throw new RangeError(`a gateway says ${record.type}`)
      },
      onClosed: () => undefined,
      onLost: () => undefined,
      onDead: (gateway) => far?.bury(gateway),
    })
    const near = new LocalReach(links)
    super(far ? new BusReach(near, far) : near, options.deadlineMs ?? DEFAULT_DEADLINE_MS)
    this.#links = links
    this.#far = far
  }

  /** Sends what is written, and closes all links. */
  disconnect(): void {
    this.#links.close()
    void this.#far?.close()
  }
}

/** Where gateways are to be looked for. */
export function placesOf({ linkDir, startFile, stateDir }: GatewayClientOptions): Places {
  if (linkDir !== undefined) return new Places({ linkDir: resolve(linkDir) })
  const chosen = stateDir ?? (startFile === undefined ? Worker.stateDir : stateDirOf(startFile))
  if (chosen !== null) return new Places({ stateDir: resolve(chosen) })
  throw new ShiftworkError('ERR_OPTION', 'Outside a worker a GatewayClient does not know where the gateways are', {
    hint: "Make it inside onWorkerStart, or say it: new GatewayClient({ startFile: './start.ts' }).",
  })
}
