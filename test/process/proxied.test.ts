/** A proxy in front that tries nothing twice, set up as the README advises. A15. */
import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { quietPorts } from '../helpers/cli.ts'
import { isListening } from '../helpers/listening.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project, REPOSITORY } from '../helpers/project.ts'
import { expectNothingLost, TEN_RELOADS_MS, tenReloads } from '../helpers/reloads.ts'

const hasNginx = spawnSync('nginx', ['-v']).status === 0

/** nginx lets go of an idle connection before the worker does: then neither ever sends on one that the other closes. */
const ADVICE = {
  upstream: 'keepalive 64; keepalive_timeout 4s;',
  version: 'proxy_http_version 1.1',
  connection: 'proxy_set_header Connection ""',
}

it('A15 what the README advises for nginx is what is tested here', () => {
  const readme = readFileSync(join(REPOSITORY, 'README.md'), 'utf8')
  for (const words of Object.values(ADVICE)) expect(readme).toContain(`\`${words}\``)
})

/** Without trying again elsewhere: what a browser would not notice is a failure here. */
function nginxConf(project: Project, port: number, upstream: string): string {
  const at = (name: string): string => join(project.root, name)
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
daemon off;
worker_processes 1;
pid ${at('nginx.pid')};
error_log ${at('nginx-error.log')};
events { worker_connections 1024; }
http {
  access_log off;
  ${temp.map((name) => `${name}_temp_path ${at(`nginx-${name}`)};`).join('\n  ')}
  upstream app { server ${upstream}; ${ADVICE.upstream} }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://app;
      ${ADVICE.version};
      ${ADVICE.connection};
      proxy_next_upstream off;
    }
  }
}
`
}

for (const [what, count, isUnix] of [
  ['two workers', 2, false],
  ['one worker on a unix socket', 1, true],
] as const)
  it.skipIf(!hasNginx)(
    `A15 nginx with a keep-alive upstream in front of ${what}: no 502 in ten reloads, keep-alive and short clients`,
    { timeout: TEN_RELOADS_MS },
    async () => {
      const [port = 0, own = 0] = await quietPorts(2)
      const project = Project.create({ 'app.js': app('1') })
      const path = join(project.root, 'app.sock')
      // more than Node's 5 s: nginx may be late
      const server = { keepAliveTimeout: 8_000 }
      project.write(
        'start.js',
        webStart(
          { count, server, ...(isUnix && { socketMode: 0o666 }) },
          isUnix ? `http+unix://${path}` : `http://127.0.0.1:${own}`,
        ),
      )
      await project.start()
      // its processes are another user's when it is started by root
      chmodSync(project.root, 0o755)
      project.write('nginx.conf', nginxConf(project, port, isUnix ? `unix:${path}` : `127.0.0.1:${own}`))
      const nginx = project.launch('nginx', ['-p', project.root, '-c', join(project.dir, 'nginx.conf')])
      await until('nginx listens', () => isListening(port))
      const short = new Load({ target: { port }, clients: 8, pauseMs: [0, 20], isShort: true, maxMs: TEN_RELOADS_MS })
      // these come when nginx is about to let go of a connection, or just has
      const seldom = new Load({ target: { port }, clients: 8, pauseMs: [3_500, 5_500], maxMs: TEN_RELOADS_MS })
      const result = await tenReloads(
        project,
        new Load({ target: { port }, clients: 30, pauseMs: [0, 20], maxMs: TEN_RELOADS_MS }),
      )
      expectNothingLost(result)
      // three rounds of it, however fast the reloads were
      await seldom.more(Math.max(0, 24 - seldom.result.counts.answered))
      for (const load of [short, seldom]) expect((await load.stop()).errors).toEqual([])
      nginx.kill('SIGTERM')
      expect((await nginx.ended).code).toBe(0)
    },
  )
