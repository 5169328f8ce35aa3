/** Probes for load balancers, the address of the metrics, and clients that mean harm. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { freePort, type JsonError, oneJson, untilHeard } from '../helpers/cli.ts'
import { Client, get, type Target } from '../helpers/client.ts'
import { freeze, kill, thaw } from '../helpers/faults.ts'
import { isListening } from '../helpers/listening.ts'
import { metricsOf, metricsStart, probe, scrape, targetOf } from '../helpers/metrics.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { sumOf } from '../helpers/prometheus.ts'

it('is ready when the fleet is: through the start, a crash loop and a stop that is delayed', async () => {
  const waits = `
import { existsSync } from 'node:fs'
export async function createApp(worker) {
  if (existsSync('bad')) throw new Error('no database')
  while (!existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 20))
  return (await import('./handler.js')).createApp(worker)
}
`
  const gated = metricsStart(
    { count: 1, stopDelayMs: 60_000 },
    'http://127.0.0.1:0',
    `new Worker({ name: 'jobs' })`,
  ).replace('= createApp(worker)', '= await createApp(worker)')
  const project = Project.create({ 'start.js': gated, 'app.js': waits, 'handler.js': app('1') })
  const { command, args } = project.commandFor('js')
  const running = project.launch(command, [...args, 'start'])
  const [, address = ''] = await running.line(/^metrics (http\S+)$/m)
  const target = targetOf(address)
  expect(await probe(target, '/live')).toBe('200 ok')
  expect(await probe(target, '/ready')).toMatch(/^503 starting, web serves with 0 of 1/)
  expect((await scrape(target)).values.get('shiftwork_master_state{state="starting"}')).toBe(1)
  project.write('go', '')
  await running.line(/^ready in /m)
  expect(await probe(target, '/ready')).toBe('200 ready')

  project.write('bad', '')
  const [victim = 0] = await project.pids()
  await kill(project, victim)
  await until('it fails to start', async () => sumOf(await scrape(target), 'shiftwork_worker_failed_starts_total') >= 2)
  expect(await probe(target, '/ready')).toBe('503 no worker serves: web')
  expect(await probe(target, '/live')).toBe('200 ok')
  await project.exec('rm', ['bad'])
  await until('it recovers', async () => (await probe(target, '/ready')) === '200 ready', 30_000)

  const port = await project.port()
  running.kill('SIGTERM')
  await until('the stop is seen', async () => (await probe(target, '/ready')) === '503 stopping')
  expect((await get({ port })).status).toBe(200)
  expect(await probe(target, '/live')).toBe('200 ok')
  expect((await scrape(target)).values.get('shiftwork_master_state{state="stopping"}')).toBe(1)
  // one that comes too soon after the first is the same Ctrl-C
  await until('a second signal ends it', () => {
    running.kill('SIGTERM')
    return !isListening(Number(address.split(':').at(-1)))
  })
  await running.ended
  await expect(get(target, '/live')).rejects.toMatchObject({ outcome: 'refused' })
})

it('is the same for a daemon, and shown by start, by status, and as JSON', async () => {
  const metricsPort = await freePort()
  const address = `http://127.0.0.1:${metricsPort}`
  const project = Project.create({ 'start.js': metricsStart({}, address), 'app.js': app('1') })
  const started = await project.shiftwork('start', '-d')
  expect(started.code).toBe(0)
  expect(started.stdout).toContain(`\nmetrics ${address}\n`)
  const target = { port: metricsPort }
  expect(await probe(target, '/ready')).toBe('200 ready')
  expect((await untilHeard(() => project.shiftwork('status'))).stdout).toContain(`\nmetrics ${address}\n`)
  expect((await project.status()).master.metrics).toBe(address)
  const port = await project.port()
  for (let i = 0; i < 3; i++) expect((await get({ port })).status).toBe(200)
  expect((await project.reload()).code).toBe(0)
  expect(sumOf(await scrape(target), 'shiftwork_worker_requests_total')).toBe(3)
  // the port is free for the next master as soon as the old one is gone
  const restarted = await project.shiftwork('restart', '-d')
  expect({ code: restarted.code, stderr: restarted.stderr }).toEqual({ code: 0, stderr: '' })
  expect(sumOf(await scrape(target), 'shiftwork_worker_requests_total')).toBe(0)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(isListening(metricsPort)).toBe(false)
})

it('is not ready while its workers are stopped by a signal, as status and the metrics say', async () => {
  const project = Project.create({
    'start.js': metricsStart({ count: 2 }, 'http://127.0.0.1:0'),
    'app.js': app('1'),
  })
  await project.start()
  const target = targetOf((await project.status()).master.metrics ?? '')
  const workers = await project.pids()
  for (const pid of workers) await freeze(project, pid)
  expect(await probe(target, '/ready')).toBe('503 no worker serves: web')
  expect((await project.status()).groups[0]).toMatchObject({ state: 'degraded' })
  await thaw(project, workers[0] ?? 0)
  expect(await probe(target, '/ready')).toBe('200 ready')
})

it('a unix socket serves as well, and is gone after the stop', async () => {
  const project = Project.create({ 'app.js': app('1') })
  const path = join(project.root, 'metrics.sock')
  project.write('start.js', metricsStart({}, `http+unix://${path}`))
  writeFileSync(path, 'mine')
  const refused = await project.through('js', 'start')
  expect({ code: refused.code, stderr: refused.stderr }).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`Cannot listen on http+unix://${path}: a file that is no socket is there`),
  })
  expect(readFileSync(path, 'utf8')).toBe('mine')
  await project.exec('rm', [path])
  await project.start()
  expect(statSync(path).isSocket()).toBe(true)
  expect((await project.status()).master.metrics).toBe(`http+unix://${path}`)
  expect((await scrape({ path })).values.size).toBeGreaterThan(30)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(existsSync(path)).toBe(false)
})

it('off by default: nothing is said of it', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  const running = await project.start()
  expect(running.stdout).not.toContain('metrics')
  expect((await project.status()).master.metrics).toBeNull()
})

it('F5 an address that cannot be had is the error of start, in one sentence, and nothing is left', async () => {
  const other = createServer((_, response) => response.end('other'))
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void other.close())
  const { port } = other.address() as AddressInfo
  const project = Project.create({ 'app.js': app('1') })
  const taken = `http://127.0.0.1:${port}`
  const groupPort = await freePort()
  const own = `http://127.0.0.1:${groupPort}`
  const missing = join(project.root, 'missing', 'metrics.sock')
  const cases: [metrics: string, sentence: string][] = [
    [taken, `Cannot listen on ${taken}: address already in use by `],
    ['http://192.0.2.1:9100', 'Cannot listen on http://192.0.2.1:9100: this machine has no such address'],
    [`http+unix://${missing}`, `Cannot listen on http+unix://${missing}: its directory does not exist`],
    [own, `Worker "web" and the metrics cannot both listen on ${own}`],
    [`http://0.0.0.0:${groupPort}`, `Worker "web" and the metrics cannot both listen on http://0.0.0.0:${groupPort}`],
  ]
  for (const [metrics, sentence] of cases) {
    project.write('start.js', metricsStart({}, metrics).replace('"http://127.0.0.1:0"', JSON.stringify(own)))
    for (const mode of metrics === taken ? [[], ['-d']] : [[]]) {
      const result = await project.through('js', 'start', ...mode)
      expect(result.stderr, metrics).toContain(sentence)
      // the process has another name on Node.js 24
      if (metrics === taken) expect(result.stderr).toContain(` (pid ${process.pid})\n`)
      expect({ code: result.code, processes: project.processes }).toEqual({ code: 1, processes: [] })
      expect(existsSync(join(project.stateDir, 'master.pid'))).toBe(false)
    }
  }
  const json = oneJson<JsonError>(await project.through('js', 'start', '--json'))
  expect(json.error.code).toBe('ERR_OPTION')
  expect((await get({ port })).body).toBe('other')
})

/** Connects and is heard of no more; resolves when the other side has ended it. */
async function silent(target: Target, first = ''): Promise<{ client: Client; ended: Promise<void> }> {
  const client = await Client.open(target)
  const ended = new Promise<void>((resolve) => client.socket.once('close', () => resolve()))
  if (first !== '') client.socket.write(first)
  return { client, ended }
}

it('G7 two hundred silent clients, slow ones, garbage and floods harm neither the master nor the next probe', async () => {
  const project = Project.create({ 'start.js': metricsStart(), 'app.js': app('1') })
  const running = await project.start()
  const [port, target] = [await project.port(), await metricsOf(project)]
  const before = await project.pids()
  const hostile = await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      silent(target, index % 2 === 0 ? '' : 'GET /metrics HTTP/1.1\r\nHost: a\r\nX-'),
    ),
  )
  // they are still there, and say nothing
  for (const path of ['/live', '/ready', '/metrics']) expect((await get(target, path)).status).toBe(200)
  expect((await get({ port })).status).toBe(200)

  const one = async (text: string): Promise<string> => {
    const client = await Client.open(target)
    client.socket.write(text)
    const { status, headers } = await client.answer()
    client.close()
    return `${status} ${headers.get('connection')}`
  }
  expect(await one(`GET /live HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)).toBe('431 close')
  expect(await one('\x00\x01garbage\r\n\r\n')).toBe('400 close')
  expect(await one('POST /live HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nx')).toBe('405 close')
  expect(await one('DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('405 close')
  expect(await one('GET /live HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello')).toBe('413 close')
  expect(await one('GET /live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')).toBe('413 close')
  expect(await one('PUT /live HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')).toBe(
    '405 close',
  )
  expect(await one('GET /live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n')).toMatch(
    /^200/,
  )
  expect(await one('GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('404 keep-alive')
  expect(await probe(target, '/live?probe=1')).toBe('200 ok')
  const head = await get(target, '/metrics', { method: 'HEAD' })
  expect([head.status, head.body, Number(head.headers.get('content-length')) > 1_000]).toEqual([200, '', true])
  const refused = await get(target, '/metrics', { method: 'POST' })
  expect(refused.headers.get('allow')).toBe('GET, HEAD')
  const unknown = await get(target, '/')
  expect([unknown.status, unknown.body]).toEqual([404, 'Here are /metrics, /live and /ready.\n'])

  // a few requests sent at once are answered in order, a flood of them that nobody reads is cut
  const pipeline = await Client.open(target)
  for (const path of ['/live', '/metrics', '/ready']) pipeline.send({ path })
  for (const start of ['ok\n', '# HELP', 'ready\n']) expect((await pipeline.answer()).body.startsWith(start)).toBe(true)
  pipeline.close()
  const flood = 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2_000)
  hostile.push(...(await Promise.all(Array.from({ length: 20 }, () => silent(target, flood)))))
  expect(await probe(target, '/live')).toBe('200 ok')
  expect((await project.status()).master.rssBytes).toBeLessThan(1024 ** 3)

  // those that were not cut for room are cut for their silence
  await Promise.all(hostile.map(({ ended }) => ended))
  expect(await project.pids()).toEqual(before)
  expect((await project.status()).master.pid).toBe(running.pid)
  expect(running.stderr).toBe('')
})
