/** A directory of its own for the running test, gone when it ends. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** @returns its real path, without a link on the way. */
export function temporaryDirectory(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'shiftwork-unit-')))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}
