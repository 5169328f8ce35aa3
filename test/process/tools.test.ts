/** Other people's load tools across reloads: what they count as failed is nothing. Group A. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { webStart } from '../helpers/apps.ts'
import { get } from '../helpers/client.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { hasTools, nothingFailed, type Score, TOOLS, type ToolName, unleash } from '../helpers/webtools.ts'

const NAMES = Object.keys(TOOLS) as ToolName[]

/** ab takes an answer that is longer or shorter than the first one for a failed one: all are of one length. One in fifty is slow. */
const pageOf = (version: number): string => `
const PAGE = 'version ${String(version).padStart(4, '0')}'
let asked = 0
export function createApp() {
  return (request, response) => {
    asked++
    if (asked % 50 === 0) setTimeout(() => response.end(PAGE), 100)
    else response.end(PAGE)
  }
}
`

async function requestsServed(project: Project): Promise<number> {
  const rows = (await project.status()).groups[0]?.processes ?? []
  return rows.reduce((sum, { requests }) => sum + (requests ?? 0), 0)
}

for (const name of NAMES)
  it.runIf(hasTools)(`A1 A3 ${name}: after five reloads it has counted nothing that failed`, async () => {
    const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': pageOf(1) })
    await project.start()
    const port = await project.port()
    const tool = unleash(name, `http://127.0.0.1:${port}/`, project)
    for (let version = 2; version <= 6; version++) {
      // those that serve now are under load before they are replaced
      await until('it is under load', async () => (await requestsServed(project)) > 200)
      const before = await project.pids()
      project.write('app.js', pageOf(version))
      expect((await project.reload()).code).toBe(0)
      expect((await project.pids()).filter((pid) => before.includes(pid))).toEqual([])
    }
    await until('the last ones are under load', async () => (await requestsServed(project)) > 200)
    const score = await tool.end()
    expect(score.failed).toEqual(nothingFailed(score))
    expect(score.requests).toBeGreaterThan(1_200)
    expect((await get({ port })).body).toBe('version 0006')
  })

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: keep-alive\r\n\r\n0123456789'
const LAST_ANSWER = ANSWER.replace('keep-alive', 'close')
const ENOUGH = 400

/** What the tool has counted when a server ends every twentieth request with these bytes, and closes. */
async function scoreOf(name: ToolName, ending: string): Promise<Score> {
  let asked = 0
  let enough: () => void = () => undefined
  const isEnough = new Promise<void>((resolve) => {
    enough = resolve
  })
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (request) => {
      asked++
      const isKept = /HTTP\/1\.1|keep-alive/i.test(String(request)) && !/connection: close/i.test(String(request))
      if (asked % 20 === 0) socket.end(ending)
      else if (isKept) socket.write(ANSWER)
      else socket.end(LAST_ANSWER)
      if (asked === ENOUGH) enough()
    })
  })
  server.listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const tool = unleash(name, `http://127.0.0.1:${port}/`, Project.create({}))
  await isEnough
  return tool.end()
}

for (const name of NAMES)
  it.runIf(hasTools)(`${name}: it takes a close that was announced for none, and counts one that was not`, async () => {
    const announced = await scoreOf(name, LAST_ANSWER)
    expect(announced.requests).toBeGreaterThan(ENOUGH / 2)
    expect(announced.failed).toEqual(nothingFailed(announced))
    const unanswered = await scoreOf(name, '')
    expect(Object.values(unanswered.failed).reduce((sum, count) => sum + count)).toBeGreaterThan(0)
  })
