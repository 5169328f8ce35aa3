/**
 * What a full disk takes from a file that is appended to: counted, a warning while it is so, and told in the file
 * itself as soon as there is room again, before anything else. Called by the log files; nothing of it ever throws.
 */
import { plural } from '../words.ts'

/** A log may have nothing to say for hours after there is room again. */
const RETRY_MS = 1_000

export interface Lost {
  entries: number
  /** `no space left on device` */
  why: string
}

export interface LossyFile {
  readonly path: string
  /** @returns null, or why it is lost. */
  write(data: string | Uint8Array): string | null
}

export class Losses {
  readonly #file: LossyFile
  readonly #note: (lost: Lost) => string
  #lost: Lost | null = null
  #retries: NodeJS.Timeout | null = null

  /** @param note what the file says of them when it can be written again. */
  constructor(file: LossyFile, note: (lost: Lost) => string) {
    this.#file = file
    this.#note = note
  }

  /** Writes an entry, or counts it. */
  write(data: string | Uint8Array): void {
    const why = this.#retry() ?? this.#file.write(data)
    if (why === null) return
    this.#lost = { entries: (this.#lost?.entries ?? 0) + 1, why }
    this.#retries ??= setInterval(() => this.#retry(), RETRY_MS).unref()
  }

  /** For `status`: a sentence while it is so. */
  warnings(): string[] {
    if (!this.#lost) return []
    const { entries, why } = this.#lost
    return [`${this.#file.path} cannot be written: ${why} (${plural(entries, 'entry', 'entries')} lost)`]
  }

  /** @returns null when nothing is left to tell, or why it cannot be told. */
  #retry(): string | null {
    if (!this.#lost) return null
    const why = this.#file.write(this.#note(this.#lost))
    if (why !== null) return why
    this.#lost = null
    if (this.#retries) clearInterval(this.#retries)
    this.#retries = null
    return null
  }
}

/** `3 entries were lost: no space left on device` */
export function lostText({ entries, why }: Lost): string {
  return `${plural(entries, 'entry was', 'entries were')} lost: ${why}`
}
