/** `status --watch` for pipes and programs: one status after another. Group G. */
import { expect, it } from 'vitest'
import type { Status } from '../../src/ipc/status.ts'
import { app, webStart } from '../helpers/apps.ts'
import { type JsonError, oneJson } from '../helpers/cli.ts'
import { BIN, Project } from '../helpers/project.ts'

function web(options: Record<string, unknown> = {}): Project {
  return Project.create({ 'start.js': webStart(options), 'app.js': app('1') })
}

it('G11 status --watch where nothing runs is "Not running", exit 3', async () => {
  const project = web()
  const text = await project.shiftwork('status', '--watch')
  expect({ code: text.code, stdout: text.stdout }).toEqual({ code: 3, stdout: '' })
  expect(text.stderr).toMatch(/^error Not running$/m)
  const json = await project.shiftwork('status', '--watch', '--json')
  expect({ code: json.code, error: oneJson<JsonError>(json).error.code }).toEqual({ code: 3, error: 'ERR_NOT_RUNNING' })
})

it('G11 status --watch in a pipe prints one status after another, and SIGINT ends it with 0', async () => {
  const project = web()
  await project.start()
  const stream = project.launch(process.execPath, [BIN, 'status', project.startFile, '--watch', '0.1'])
  await stream.line(/(?:^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\nShiftwork running {2}master \d+ [\s\S]*?\n\n[\s\S]*?){3}/m)
  stream.kill('SIGINT')
  const result = await stream.ended
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
  expect(result.stdout).not.toContain('\u001b')
})

it('G11 status --watch --json prints a value a line: a status, then what is wrong; SIGTERM ends it with 0', async () => {
  const project = web()
  await project.shiftwork('start', '-d')
  const stream = project.launch(process.execPath, [BIN, 'status', project.startFile, '--watch', '0.1', '--json'])
  await stream.line(/(?:^\{.*"state":"running".*\n[\s\S]*?){3}/m)
  await project.shiftwork('stop')
  await stream.line(/"ERR_NOT_RUNNING"/)
  await project.shiftwork('start', '-d')
  await stream.line(/"ERR_NOT_RUNNING"[\s\S]*"state":"running"/)
  stream.kill('SIGTERM')
  const result = await stream.ended
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
  const values = result.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Partial<Status & JsonError>)
  expect(values.every((value) => value.version === 1 || value.exitCode === 3)).toBe(true)
})

it('G11 status --watch ends quietly with its reader, exit 0', async () => {
  const project = web()
  await project.start()
  const command = `'${process.execPath}' '${BIN}' status '${project.startFile}' --watch 0.1 --json`
  const head = await project.exec('sh', ['-c', `{ ${command}; echo "exit $?" >&2; } | head -n 1`])
  expect(head.stderr).toBe('exit 0\n')
  expect(JSON.parse(head.stdout)).toMatchObject({ version: 1 })
})
