/** A file that survives rotation: every line is in one file or the other, whatever became of the directory. */
import { mkdirSync, readFileSync, renameSync, rmdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { AppendFile } from '../../../src/os/appendfile.ts'
import { temporaryDirectory } from '../tempdir.ts'

it('appends, and goes on in a new file when it was moved and opened again', () => {
  const path = join(temporaryDirectory(), 'a.log')
  const file = new AppendFile(path)
  expect(file.write('1\n')).toBeNull()
  renameSync(path, `${path}.1`)
  file.write('2\n')
  expect(file.reopen()).toBeNull()
  file.write('3\n')
  expect(file.reopen()).toBeNull()
  file.write('4\n')
  file.close()
  expect(readFileSync(`${path}.1`, 'utf8')).toBe('1\n2\n')
  expect(readFileSync(path, 'utf8')).toBe('3\n4\n')
  expect(statSync(path).mode & 0o137).toBe(0)
})

it('keeps the file that is open while it cannot be opened again', () => {
  const directory = temporaryDirectory()
  const path = join(directory, 'logs/a.log')
  mkdirSync(join(directory, 'logs'))
  const file = new AppendFile(path)
  renameSync(join(directory, 'logs'), join(directory, 'old'))
  expect(file.reopen()).toBe('ENOENT')
  file.write('1\n')
  mkdirSync(path, { recursive: true })
  expect(file.reopen()).toBe('EISDIR')
  file.write('2\n')
  rmdirSync(path)
  expect(file.reopen()).toBeNull()
  file.write('3\n')
  file.close()
  expect(readFileSync(join(directory, 'old/a.log'), 'utf8')).toBe('1\n2\n')
  expect(readFileSync(path, 'utf8')).toBe('3\n')
})

it.skipIf(process.platform !== 'linux')('a full disk loses the line, says why and throws nothing', () => {
  const file = new AppendFile('/dev/full')
  expect(file.write('1\n')).toBe('no space left on device')
  expect(file.write('2\n')).toBe('no space left on device')
  file.close()
})
