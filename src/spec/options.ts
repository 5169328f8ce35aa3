/**
 * Reads one worker's (or runAll's) options by type. Used by the checks of a start file only. Each
 * method returns the value or its default, or throws one sentence with what to write instead. Pure.
 */

import { availableParallelism } from 'node:os'
import { ShiftworkError } from '../errors.ts'
import { OWN_VARIABLES } from '../variables.ts'
import { nearest } from '../words.ts'
import { MAX_COUNT } from './spec.ts'

/** The greatest id of a user or group; the one above stands for none. */
const MAX_ACCOUNT = 4_294_967_294

/** Reads options by type; each method throws one sentence with what to do. */
export class OptionCheck {
  /** The beginning of each sentence. */
  readonly owner: string
  readonly #options: Readonly<Record<string, unknown>>

  /** @param name of the worker, for the sentence; null: they are the options of `runAll`. */
  constructor(name: string | null | { owner: string }, options: Readonly<Record<string, unknown>>) {
    this.owner = name === null ? 'runAll' : typeof name === 'string' ? `Worker "${name}"` : name.owner
    this.#options = options
  }

  value(option: string): unknown {
    return this.#options[option]
  }

  count(option: string, fallback: number): number {
    if (this.#options[option] === 'cpus') return availableParallelism()
    return this.integer(option, fallback, 1, MAX_COUNT, ` or 'cpus'`)
  }

  integer(option: string, fallback: number, min: number, max: number, or = ''): number {
    const value = this.#options[option]
    if (value === undefined) return fallback
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    throw this.#wrong(option, value, `a whole number from ${min} to ${max}${or}`)
  }

  optionalInteger(option: string, min: number, max: number): number | null {
    return this.#options[option] === undefined ? null : this.integer(option, min, min, max)
  }

  boolean(option: string, fallback: boolean): boolean {
    const value = this.#options[option]
    if (value === undefined) return fallback
    if (typeof value === 'boolean') return value
    throw this.#wrong(option, value, 'true or false')
  }

  string(option: string): string | null {
    const value = this.#options[option]
    if (value === undefined) return null
    if (typeof value === 'string' && value !== '') return value
    throw this.#wrong(option, value, 'text that is not empty')
  }

  /** A user or a group: its name, or its number, which is handed on as text. */
  account(option: string): string | null {
    const value = this.#options[option]
    if (value === undefined) return null
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_ACCOUNT) return String(value)
    if (typeof value === 'string' && value !== '') return value
    throw this.#wrong(option, value, `a name or a whole number from 0 to ${MAX_ACCOUNT}`)
  }

  /** One of these words; none: the first. */
  oneOf<const T extends string>(option: string, words: readonly [T, ...T[]]): T {
    const value = this.#options[option]
    if (value === undefined) return words[0]
    const word = words.find((candidate) => candidate === value)
    if (word !== undefined) return word
    throw this.#wrong(option, value, words.map((candidate) => `"${candidate}"`).join(' or '))
  }

  /** A text, or an array of texts; none: an empty array. */
  strings(option: string): string[] {
    const value = this.#options[option]
    if (value === undefined) return []
    const list: unknown = typeof value === 'string' ? [value] : value
    if (Array.isArray(list) && list.every((entry) => typeof entry === 'string' && entry !== '')) return [...list]
    throw this.#wrong(option, value, 'a text or an array of texts')
  }

  /** An object that has none but these members. */
  object(option: string, members: readonly string[]): Record<string, unknown> {
    const value = this.#options[option]
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.#wrong(option, value, `an object of ${members.join(', ')}`)
    for (const member of Object.keys(value)) {
      if (members.includes(member)) continue
      const guess = nearest(member, members)
      throw new ShiftworkError('ERR_OPTION', `${this.owner}: ${option} has an unknown member "${member}"`, {
        hint: guess ? `Did you mean "${guess}"?` : `Known members: ${members.join(', ')}.`,
      })
    }
    return { ...value }
  }

  /** In an order of its own: what is said with `...process.env` is the same in every process. */
  env(): Record<string, string> {
    const entries = Object.entries(this.texts('env')).filter(([name]) => !OWN_VARIABLES.has(name))
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** An object of texts; none: an empty one. */
  texts(option: string): Record<string, string> {
    const value = this.#options[option]
    if (value === undefined) return {}
    if (typeof value !== 'object' || value === null) throw this.#wrong(option, value, 'an object of text values')
    for (const [key, entry] of Object.entries(value))
      if (typeof entry !== 'string') throw this.#wrong(`${option}.${key}`, entry, 'text')
    return { ...(value as Record<string, string>) }
  }

  #wrong(option: string, value: unknown, expected: string): ShiftworkError {
    return new ShiftworkError('ERR_OPTION', `${this.owner}: ${option} is ${show(value)}`, {
      hint: `It must be ${expected}.`,
    })
  }
}

/** A value as it stands in a sentence. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}
