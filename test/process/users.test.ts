/** Privileges: the master binds with its rights, the workers give them up. F11; only root can try it. */
import { chmodSync, readFileSync, statSync } from 'node:fs'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { get } from '../helpers/client.ts'
import { Project } from '../helpers/project.ts'

const isRoot = process.getuid?.() === 0

function owner(pid: number): { uid: string; gid: string; groups: string } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? ''
  return { uid: field('Uid'), gid: field('Gid'), groups: field('Groups') }
}

it.runIf(isRoot)('F11 workers become the user before onWorkerStart, the master stays what it is', async () => {
  const project = Project.create({
    'start.js': webStart({ user: 'nobody' }),
    'app.js': app('1', 'if (process.getuid() === 0) throw new Error("still root")'),
  })
  chmodSync(project.root, 0o755)
  const running = await project.start()
  expect(owner(running.pid).uid).toMatch(/^0\b/)
  const { uid, gid } = statUser('nobody')
  for (const pid of await project.pids()) {
    expect(owner(pid).uid.split(/\s+/)).toEqual([uid, uid, uid, uid])
    expect(owner(pid).gid.split(/\s+/)).toEqual([gid, gid, gid, gid])
    expect(owner(pid).groups.split(/\s+/)).not.toContain('0')
  }
  expect((await get({ port: await project.port() })).status).toBe(200)
  expect((await project.reload()).code).toBe(0)
})

function statUser(name: string): { uid: string; gid: string } {
  const [, , uid = '', gid = ''] =
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((line) => line.startsWith(`${name}:`))
      ?.split(':') ?? []
  return { uid, gid }
}

it.runIf(isRoot)('F11 a user that this machine does not have is said at start, before anything is forked', async () => {
  const project = Project.create({ 'start.js': webStart({ user: 'nobody-at-all' }), 'app.js': app('1') })
  const result = await project.through('js', 'start')
  expect(result).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('This machine has no user "nobody-at-all"') as string,
  })
})

it.runIf(isRoot)('F11 a unix socket gets the mode and the owner that were asked for', async () => {
  const project = Project.create({ 'app.js': app('1') })
  const path = `${project.root}/web.sock`
  project.write('start.js', webStart({ socketMode: 0o660, socketOwner: 'nobody' }, `http+unix://${path}`))
  await project.start()
  const { mode, uid } = statSync(path)
  expect((mode & 0o777).toString(8)).toBe('660')
  expect(String(uid)).toBe(statUser('nobody').uid)
  expect((await get({ path })).status).toBe(200)
})
