/** Users and groups, by name and by number, and a directory service that does not answer. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished, vi } from 'vitest'
import { assertUser, userIds } from '../../../src/os/users.ts'
import { temporaryDirectory } from '../tempdir.ts'

const isRoot = process.getuid?.() === 0
/** A number that no machine has given to anybody. */
const NOBODYS = '1999999'

it('knows root by name and by number', () => {
  expect(userIds('root').uid).toBe(0)
  expect(userIds('0')).toEqual(userIds('root'))
})

it('takes numbers as they are, whether the machine knows them or not', () => {
  expect(userIds(NOBODYS, NOBODYS)).toEqual({ uid: 1_999_999, gid: 1_999_999 })
})

it('asks for the group of a number that it does not know, and says so of names', () => {
  expect(() => userIds(NOBODYS)).toThrow(`This machine does not know the group of user ${NOBODYS}`)
  expect(() => userIds('no-such-user')).toThrow('This machine has no user "no-such-user"')
})

it.runIf(isRoot)('becomes a number that the machine does not know, without the groups of root', () => {
  const DROPPER = fileURLToPath(new URL('dropper.ts', import.meta.url))
  const words = ['--import', import.meta.resolve('tsx'), DROPPER, NOBODYS, '1999998']
  expect(JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' }))).toEqual([
    1_999_999,
    1_999_998,
    [1_999_998],
  ])
})

it.runIf(process.platform !== 'win32')('does not wait for ever for who does not answer', () => {
  const directory = temporaryDirectory()
  writeFileSync(join(directory, 'id'), '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 })
  vi.stubEnv('PATH', `${directory}${delimiter}${process.env['PATH']}`)
  onTestFinished(() => void vi.unstubAllEnvs())
  expect(() => userIds('anybody')).toThrow('"id -u anybody" has not answered within 5 s')
})

it('refuses workers that could not become who they are to be', () => {
  expect(() => assertUser({ name: 'web', user: 'no-such-user', group: null })).toThrow('no user "no-such-user"')
  expect(() => assertUser({ name: 'web', user: null, group: null })).not.toThrow()
})
