/** Nothing is lost in a reload over other sockets and with a single worker. A4, A5. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Load } from '../helpers/load.ts'
import { Project } from '../helpers/project.ts'
import { expectNothingLost, LIGHT, loadOf, TEN_RELOADS_MS, tenReloads } from '../helpers/reloads.ts'

it('A4 the same over a unix socket', { timeout: TEN_RELOADS_MS }, async () => {
  const project = Project.create({ 'app.js': app('1') })
  const path = `${project.root}/web.sock`
  project.write('start.js', webStart({}, `http+unix://${path}`))
  await project.start()
  expectNothingLost(await tenReloads(project, new Load({ target: { path }, ...LIGHT })))
})

for (const [what, more] of [
  ['keep-alive clients', {}],
  ['new connections', { isShort: true }],
] as const)
  it(`A4 the same over TLS: ${what} lose nothing in ten reloads`, { timeout: TEN_RELOADS_MS }, async () => {
    const project = Project.create({ 'app.js': app('1') })
    const subject = ['-subj', '/CN=localhost', '-days', '2']
    const key = ['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
    const made = await project.exec('openssl', [...key, '-keyout', 'key.pem', '-out', 'cert.pem', ...subject])
    expect(made.code).toBe(0)
    const tls = `tls: { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }, `
    const start = webStart({}, 'https://127.0.0.1:0').replace('"name"', `${tls}"name"`)
    project.write('start.js', `import { readFileSync } from 'node:fs'\n${start}`)
    await project.start()
    const target = { port: await project.port(), tls: true }
    // each new connection costs a handshake: fewer clients, or the processor is all that is measured
    const clients = 'isShort' in more ? 30 : 100
    const load = new Load({ target, ...LIGHT, clients, ...more })
    expectNothingLost(await tenReloads(project, load))
  })

for (const [what, more] of [
  ['keep-alive clients', {}],
  ['new connections', { isShort: true }],
  ['POSTs', { request: { method: 'POST', body: 'x'.repeat(16 * 1024) } }],
] as const)
  it(`A5 with a single worker: ${what} lose nothing in ten reloads`, { timeout: TEN_RELOADS_MS }, async () => {
    const project = Project.create({ 'start.js': webStart({ count: 1 }), 'app.js': app('1') })
    await project.start()
    expectNothingLost(await tenReloads(project, await loadOf(project, { ...LIGHT, ...more })))
  })
