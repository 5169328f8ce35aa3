/** The link that leads to a log elsewhere: it is always the latest master's, and no file is ever lost to it. */
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { linkLog, logPath } from '../../../src/os/loglink.ts'
import { type StateDir, stateDirAt } from '../../../src/os/statedir.ts'
import { temporaryDirectory } from '../tempdir.ts'

function stateDir(): StateDir {
  const dir = stateDirAt(join(temporaryDirectory(), 'state'))
  mkdirSync(dir.path)
  return dir
}

it('a log in the state directory needs none', () => {
  const dir = stateDir()
  expect(linkLog(dir, dir.logFile)).toBeNull()
  expect(existsSync(dir.logLink)).toBe(false)
  expect(logPath(dir)).toBe(dir.logFile)
})

it('a log elsewhere is found, whether it is there or not, and the latest one wins', () => {
  const dir = stateDir()
  for (const path of ['/nowhere/a.log', '/nowhere/b.log']) {
    expect(linkLog(dir, path)).toBeNull()
    expect(logPath(dir)).toBe(path)
  }
  expect(linkLog(dir, dir.logFile)).toBeNull()
  expect(logPath(dir)).toBe(dir.logFile)
})

it('a log of an earlier start, and a link in its place, are not touched', () => {
  const dir = stateDir()
  writeFileSync(dir.logFile, 'old\n')
  linkLog(dir, '/nowhere/a.log')
  expect(readFileSync(dir.logFile, 'utf8')).toBe('old\n')
  const linked = stateDir()
  symlinkSync('/dev/null', linked.logFile)
  linkLog(linked, '/nowhere/a.log')
  linkLog(linked, linked.logFile)
  expect(lstatSync(linked.logFile).isSymbolicLink()).toBe(true)
})

it('what is no link stays, with a warning when it is in the way', () => {
  const dir = stateDir()
  writeFileSync(dir.logLink, 'mine')
  expect(linkLog(dir, '/nowhere/a.log')).toMatch(/^"logs" will not find \/nowhere\/a\.log: .*log is in the way$/)
  expect(linkLog(dir, dir.logFile)).toBeNull()
  expect(readFileSync(dir.logLink, 'utf8')).toBe('mine')
})

it('a directory that nobody can write to is a warning', () => {
  expect(linkLog(stateDirAt('/nowhere/state'), '/nowhere/a.log')).toMatch(/ENOENT$/)
})
