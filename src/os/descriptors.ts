/**
 * The file descriptors of this process: how many it may have, how many it has, and how many are kept
 * for other uses than connections. Linux tells the limit; elsewhere nothing is known, and nothing watched.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** How many are in use, of how many. */
export interface DescriptorUse {
  used: number
  limit: number
}

/** The reserve is a sixteenth of the limit, within these bounds, and never more than a quarter of it. */
const MIN_RESERVE = 32
const MAX_RESERVE = 256

export class Descriptors {
  /** From so many on none are left for new connections. */
  readonly fullAt: number
  /** With so many, or fewer, there is room again: apart from `fullAt`, so that one connection does not move it both ways. */
  readonly roomAt: number
  readonly #limit: number

  /** @param limit how many this process may have. */
  constructor(limit: number) {
    const sixteenth = Math.floor(limit / 16)
    const reserve = Math.min(Math.max(MIN_RESERVE, sixteenth), MAX_RESERVE, Math.floor(limit / 4))
    this.#limit = limit
    this.fullAt = limit - reserve
    this.roomAt = this.fullAt - Math.ceil(reserve / 2)
  }

  /** Those of this process; null where its limit is not known. Node.js has raised it to the hard one as it started. */
  static own(): Descriptors | null {
    const limit = readLimit()
    return limit === null ? null : new Descriptors(limit)
  }

  /** Counts what is in use. Far below the limit it does not count, and `used` is the most that it can be. */
  look(): DescriptorUse {
    const places = countPlaces() ?? this.#limit
    const isFar = places <= this.#limit / 2
    return { used: isFar ? places : (countOpen() ?? this.#limit), limit: this.#limit }
  }

  /** The same, by the number that a descriptor has just got: everything below it is in use. */
  useBy(descriptor: number): DescriptorUse {
    return { used: descriptor + 1, limit: this.#limit }
  }
}

function readLimit(): number | null {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
    return soft === undefined ? null : Number(soft)
  } catch {
    // no Linux, or no /proc: nobody says it
    return null
  }
}

/** How many the kernel has a place for: a power of two that grows with the highest number, and is cheap to ask for. */
function countPlaces(): number | null {
  try {
    const places = /^FDSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    return places === undefined ? null : Number(places)
  } catch {
    // not one is left to read it with
    return null
  }
}

function countOpen(): number | null {
  try {
    // the directory that is read is one of them
    return readdirSync('/proc/self/fd').length - 1
  } catch {
    // not one is left to read it with
    return null
  }
}
