/** Workers killed under load, one by one and all at once: what is lost is what they held. A10, A11. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { freePort } from '../helpers/cli.ts'
import { kill } from '../helpers/faults.ts'
import { Lookout } from '../helpers/listening.ts'
import { Load, type Loss } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const COUNT = 4

/** Writes down whose connection it is, as soon as user code can know: by the client's port. */
const NOTED = `
import { openSync, writeSync } from 'node:fs'
const accepted = openSync('accepted.txt', 'a')
${app('1', "worker.server.on('connection', (socket) => writeSync(accepted, process.pid + ' ' + socket.remotePort + '\\n'))")}`

class Field {
  readonly project: Project
  readonly lookout: Lookout
  readonly loads: Load[]

  private constructor(project: Project, port: number) {
    this.project = project
    this.lookout = new Lookout(port)
    const target = { port }
    this.loads = [
      new Load({ target, clients: 50, pauseMs: [0, 20], slowShare: 0.02, maxMs: 60_000 }),
      new Load({ target, clients: 20, pauseMs: [0, 20], isShort: true, maxMs: 60_000 }),
    ]
  }

  static async start(): Promise<Field> {
    const port = await freePort()
    const start = webStart({ count: COUNT }, `http://127.0.0.1:${port}`)
    const project = Project.create({ 'start.js': start, 'app.js': NOTED })
    await project.start()
    const field = new Field(project, port)
    await field.answers()
    return field
  }

  /** Every kind of client is answered. */
  async answers(): Promise<void> {
    await Promise.all(this.loads.map((load) => load.more(50)))
  }

  /** Kills them, waits until others serve in their places, and returns what was lost by it. */
  async kill(victims: number[]): Promise<Loss[]> {
    const before = this.loads.map((load) => load.result.losses.length)
    expect(await kill(this.project, ...victims)).toBe(victims.length)
    await this.answers()
    await until('all serve again', async () => {
      const pids = await this.project.pids()
      return pids.length === COUNT && !pids.some((pid) => victims.includes(pid))
    })
    await this.answers()
    return this.loads.flatMap((load, index) =>
      load.result.losses.slice(before[index]).map((loss) => ({ ...loss, client: loss.client + 100 * index })),
    )
  }

  /** Each loss was on a connection of a victim, and a client loses one request by each victim at most. */
  judge(losses: readonly Loss[], victims: readonly number[]): void {
    const holders = new Map(
      this.project
        .read('accepted.txt')
        .trim()
        .split('\n')
        .map((line) => line.split(' ').reverse() as [string, string]),
    )
    const holderOf = (loss: Loss): number => loss.servedBy ?? Number(holders.get(String(loss.port)))
    const strangers = losses.filter((loss) => !victims.includes(holderOf(loss)))
    // accepted, and killed before its code could know of it: no more than one connection each
    expect(strangers.filter((loss) => loss.servedBy !== null)).toEqual([])
    expect(strangers.length).toBeLessThanOrEqual(victims.length)
    // a client may come to the next victim before that is dead, too, and not to the same one again
    const held = losses.map((loss) => `${loss.client} by ${holderOf(loss)}`)
    expect(held).toEqual([...new Set(held)])
    expect(losses.filter(({ outcome }) => outcome !== 'reset' && outcome !== 'closed')).toEqual([])
  }

  async end(): Promise<void> {
    await this.lookout.end()
    expect(this.lookout.missed).toEqual([])
    for (const load of this.loads)
      expect((await load.stop()).counts).toMatchObject({ wrong: 0, refused: 0, timeout: 0 })
  }
}

it('A10 a worker killed under load, eight times: lost is what it held, none is refused, none hangs, the port answers throughout', async () => {
  const field = await Field.start()
  for (let round = 0; round < 8; round++) {
    const victim = (await field.project.pids())[round % COUNT] ?? 0
    field.lookout.doing = `kill ${round + 1}`
    field.judge(await field.kill([victim]), [victim])
  }
  await field.end()
})

it('A11 all workers killed at once under load, four times: lost is what they held, none is refused, none hangs', async () => {
  const field = await Field.start()
  for (let round = 0; round < 4; round++) {
    const victims = await field.project.pids()
    field.lookout.doing = `all at once, ${round + 1}`
    field.judge(await field.kill(victims), victims)
  }
  await field.end()
})
