/** A deployment as tools make it: releases side by side, and a link to one of them. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryDirectory } from './tempdir.ts'

export interface Releases {
  root: string
  current: string
  one: string
  two: string
  switchTo(release: string): void
}

export function write(path: string, text = ''): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

/** `releases/one` and `releases/two`, of one package, and `current`, which leads to the first. */
export function releases(): Releases {
  const root = temporaryDirectory()
  const [one, two, current] = [join(root, 'releases/one'), join(root, 'releases/two'), join(root, 'current')]
  for (const release of [one, two]) {
    write(join(release, 'src/start.ts'))
    write(join(release, 'dist/worker/main.js'))
    write(join(release, 'package.json'), '{"name":"app"}')
  }
  const switchTo = (release: string): void => {
    rmSync(current, { force: true })
    symlinkSync(release, current)
  }
  switchTo(one)
  return { root, current, one, two, switchTo }
}
