/**
 * What the user's code says of its process (`onStatus`), asked at each look at the fleet. Nothing that it
 * answers may cost the process or the status anything: what does not fit is left out.
 */
import { describeError } from '../errors.ts'
import type { Figures } from '../ipc/status.ts'
import { show } from '../spec/options.ts'

const MAX_FIGURES = 32
const MAX_NAME_LENGTH = 64
const MAX_TEXT_LENGTH = 200

export class FigureReader {
  #hasComplained = false
  readonly #complain: (sentence: string) => void

  /** @param complain told at most once what was left out: the next look would say the same again. */
  constructor(complain: (sentence: string) => void) {
    this.#complain = complain
  }

  /** Asks now. @returns null when nothing fit to be shown was said. */
  read(hook: () => unknown): Figures | null {
    try {
      const { figures, faults } = checkFigures(hook())
      if (faults.length > 0) this.#tell(`onStatus: ${faults.join('; ')}: left out`)
      return figures
    } catch (error) {
      this.#tell(`onStatus threw: ${describeError(error).stack}`)
      return null
    }
  }

  #tell(sentence: string): void {
    if (this.#hasComplained) return
    this.#hasComplained = true
    this.#complain(sentence)
  }
}

/** What of it can be shown, null for nothing; and what cannot, each in words. May throw what a getter throws. */
export function checkFigures(value: unknown): { figures: Figures | null; faults: string[] } {
  if (value === undefined || value === null) return { figures: null, faults: [] }
  if (typeof value !== 'object' || Array.isArray(value))
    return { figures: null, faults: [`it returned ${show(value)}`] }
  if (isPromise(value)) {
    // nobody waits for it, and its failure is not to end this process
    Promise.resolve(value).catch(() => undefined)
    return { figures: null, faults: ['it returned a promise, which is not awaited'] }
  }
  const entries = Object.entries(value)
  const faults: string[] = []
  const fit = entries.filter(([name, entry]) => {
    const fault = faultOf(name, entry)
    if (fault !== null) faults.push(fault)
    return fault === null
  })
  if (fit.length > MAX_FIGURES) faults.push(`${fit.length} figures, of which ${MAX_FIGURES} are shown`)
  const figures = Object.fromEntries(fit.slice(0, MAX_FIGURES)) as Figures
  return { figures: fit.length === 0 ? null : figures, faults: brief(faults) }
}

function isPromise(value: object): boolean {
  return 'then' in value && typeof value.then === 'function'
}

function faultOf(name: string, value: unknown): string | null {
  if (name === '') return 'a figure without a name'
  // it stands in a line, and is a label of the metrics: two of them must not look the same there
  if (/[\p{Cc}\p{Cs}]/u.test(name)) return 'a name with control characters'
  if (name.length > MAX_NAME_LENGTH) return `a name of ${name.length} characters`
  if (typeof value === 'string')
    return value.length > MAX_TEXT_LENGTH ? `${name} is a text of ${value.length} characters` : null
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return null
  return `${name} is ${show(value)}`
}

const MAX_FAULTS = 5

function brief(faults: string[]): string[] {
  if (faults.length <= MAX_FAULTS) return faults
  return [...faults.slice(0, MAX_FAULTS), `${faults.length - MAX_FAULTS} more`]
}
