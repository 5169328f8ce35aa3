/**
 * The process table as the tests see it. Every process that a test starts carries a mark in its
 * environment, which its children inherit: what carries the mark at the end of the test was left behind.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export const MARK = 'SHIFTWORK_TEST_MARK'

export interface Row {
  pid: number
  ppid: number
  state: string
  title: string
}

/** Every living process (zombies are none) that carries the mark. */
export function marked(mark: string): Row[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readMarked(Number(name), mark))
    .filter((row) => row !== null)
}

function readMarked(pid: number, mark: string): Row | null {
  return isOurs(pid, mark) ? readRow(pid) : null
}

export function isOurs(pid: number, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`${MARK}=${mark}`)
  } catch {
    // gone meanwhile, or not ours to read
    return false
  }
}

/** It has no environment: for a moment after it was started, before it is given one, and when it ends. */
export function isBare(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`).length === 0
  } catch {
    // gone meanwhile, or not ours to read
    return false
  }
}

export function readRow(pid: number): Row | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', ppid = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (state === 'Z') return null
    const title = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
    return { pid, ppid: Number(ppid), state, title }
  } catch {
    // gone
    return null
  }
}

export function isAlive(pid: number): boolean {
  return readRow(pid) !== null
}

/**
 * Looks until it is so, at most a third of the time: what is waited for needs the cores, too. For what sends
 * no message (the kernel's tables); throws after `timeoutMs`.
 */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const giveUpAt = Date.now() + timeoutMs
  for (;;) {
    const lookedAt = performance.now()
    if (await isSo()) return
    if (Date.now() > giveUpAt) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await delay(Math.max(5, 2 * (performance.now() - lookedAt)))
  }
}
