/**
 * A file that is appended to and can be opened again under its name, after logrotate has moved it.
 * Writing never throws: a full disk must not bring a server down.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { getSystemErrorMap } from 'node:util'
import { systemCode } from '../errors.ts'
import { debug } from '../log.ts'

const MODE = 0o640

export class AppendFile {
  readonly path: string
  #fd: number
  /** A disk that filled up in the middle of a line. */
  #isTorn = false

  /** @throws a system error when the file cannot be opened. */
  constructor(path: string) {
    this.path = path
    this.#fd = openSync(path, 'a', MODE)
  }

  /** Changes with `reopen`: do not keep it. */
  get fd(): number {
    return this.#fd
  }

  /**
   * At once and whole, or it is lost; never half a line before a whole one.
   * @returns null, or why it is lost: `no space left on device`.
   */
  write(data: string | Uint8Array): string | null {
    const bytes = Buffer.from(this.#isTorn ? `\n${Buffer.from(data).toString()}` : data)
    let written = 0
    try {
      while (written < bytes.length) written += writeSync(this.#fd, bytes, written)
      this.#isTorn = false
      return null
    } catch (error) {
      if (written > 0) this.#isTorn = true
      debug('%s: line lost: %s', this.path, error)
      return reasonOf(error)
    }
  }

  /** @returns null, or why it could not be opened (`ENOENT`): then the file that is open stays. */
  reopen(): string | null {
    let fd: number
    try {
      fd = openSync(this.path, 'a', MODE)
    } catch (error) {
      return systemCode(error) ?? String(error)
    }
    const former = this.#fd
    this.#fd = fd
    this.#isTorn = false
    try {
      closeSync(former)
    } catch (error) {
      // it is closed all the same, and its number may be another file's already
      debug('%s: closed with an error: %s', this.path, error)
    }
    return null
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** In the system's words. */
function reasonOf(error: unknown): string {
  const { errno } = error as NodeJS.ErrnoException
  const text = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1]
  return text ?? systemCode(error) ?? String(error)
}
