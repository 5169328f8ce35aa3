/**
 * Whether a fleet could listen where its start file says, found out by binding each address for a moment. Called by
 * `restart` while the former master still runs, through `run-all`: what that one holds is in the way and will not be.
 */
import type { Address } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import type { Spec } from '../spec/spec.ts'
import { bindListener, type ListenOptions } from './listeners.ts'

export interface Wanted {
  specs: readonly Spec[]
  metrics: Address | null
}

/** What the former master has. */
export interface FormerPlaces {
  /** This very address: it is not tried. */
  has: (address: Address) => boolean
  /** Nothing but what ends with it is in the way there. */
  isInTheWay: (address: Address) => boolean
}

const PLAIN: ListenOptions = { socketMode: null, socketOwner: null }

/** @throws ShiftworkError as `bindListener` does, for the first that cannot be had. */
export async function tryAddresses({ specs, metrics }: Wanted, former: FormerPlaces): Promise<void> {
  if (metrics) await tryAddress(metrics, PLAIN, former)
  for (const spec of specs) if (spec.address) await tryAddress(spec.address, spec, former)
}

async function tryAddress(address: Address, options: ListenOptions, former: FormerPlaces): Promise<void> {
  if (former.has(address)) return
  try {
    const listener = await bindListener(address, options)
    listener.close()
  } catch (error) {
    const isInUse = error instanceof ShiftworkError && error.code === 'ERR_ADDRESS_IN_USE'
    if (!isInUse || !former.isInTheWay(address)) throw error
  }
}
