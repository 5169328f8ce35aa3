/** Removes what killed gateways have left in a link directory: sockets at which nobody listens. */
import { readdirSync, statSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { shorten } from '../wire/shorten.ts'

/** One that is as young may be about to listen. */
const MIN_AGE_MS = 2_000
const WAIT_MS = 1_000

/** Resolves when all were looked at; what cannot be removed stays. */
export async function sweep(linkDir: string): Promise<void> {
  const paths = readdirSync(linkDir)
    .filter((name) => name.endsWith('.sock'))
    .map((name) => join(linkDir, name))
  await Promise.all(paths.map(removeIfDead))
}

async function removeIfDead(path: string): Promise<void> {
  try {
    if (Date.now() - statSync(path).mtimeMs < MIN_AGE_MS || !(await isRefused(path))) return
    unlinkSync(path)
  } catch {
    // another gateway has done it meanwhile
  }
}

function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const { short, release } = shorten(path)
    const socket = connect({ path: short, timeout: WAIT_MS })
    const settle = (verdict: boolean): void => {
      release()
      resolve(verdict)
      socket.destroy()
    }
    socket.once('connect', () => settle(false))
    socket.once('timeout', () => settle(false))
    socket.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'ECONNREFUSED'))
  })
}
