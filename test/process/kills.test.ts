/** Workers killed under load, one by one and all at once: what is lost is what they held. A10, A11. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { quietPorts } from '../helpers/cli.ts'
import { freeze, kill } from '../helpers/faults.ts'
import { heldBy, Lookout } from '../helpers/listening.ts'
import { Load, type Loss } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const COUNT = 4

interface Killing {
  /** The clients' ports of the connections that the victims had accepted, and who of them. */
  holders: ReadonlyMap<number, number>
  losses: Loss[]
}

class Field {
  readonly project: Project
  readonly #port: number
  #heldInAll = 0
  readonly lookout: Lookout
  readonly loads: Load[]

  private constructor(project: Project, port: number) {
    this.project = project
    this.#port = port
    this.lookout = new Lookout(port)
    const target = { port }
    this.loads = [
      new Load({ target, clients: 50, pauseMs: [0, 20], slowShare: 0.02 }),
      new Load({ target, clients: 20, pauseMs: [0, 20], isShort: true }),
    ]
  }

  static async start(): Promise<Field> {
    const [port = 0] = await quietPorts(1)
    const start = webStart({ count: COUNT }, `http://127.0.0.1:${port}`)
    const project = Project.create({ 'start.js': start, 'app.js': app('1') })
    await project.start()
    const field = new Field(project, port)
    await field.answers()
    return field
  }

  /** Every kind of client is answered. */
  async answers(): Promise<void> {
    await Promise.all(this.loads.map((load) => load.more(50)))
  }

  /**
   * Kills them, waits until others serve in their places, and returns what was lost by it. A moment
   * before, each stands still, and the kernel tells what it holds: user code could not know of all of it.
   */
  async kill(victims: number[]): Promise<Killing> {
    const before = this.loads.map((load) => load.result.losses.length)
    for (const pid of victims) await freeze(this.project, pid)
    const holders = heldBy(victims, this.#port)
    expect(await kill(this.project, ...victims)).toBe(victims.length)
    await this.answers()
    await until('all serve again', async () => {
      const pids = await this.project.pids()
      return pids.length === COUNT && !pids.some((pid) => victims.includes(pid))
    })
    await this.answers()
    const losses = this.loads.flatMap((load, index) =>
      load.result.losses.slice(before[index]).map((loss) => ({ ...loss, client: loss.client + 100 * index })),
    )
    return { holders, losses }
  }

  /** Each loss was on a connection that a victim held, and a client loses one request by each victim at most. */
  judge({ holders, losses }: Killing): void {
    this.#heldInAll += holders.size
    expect(losses.filter(({ port }) => !holders.has(port))).toEqual([])
    expect(losses.filter(({ port, servedBy }) => servedBy !== null && servedBy !== holders.get(port))).toEqual([])
    const held = losses.map(({ client, port }) => `${client} by ${holders.get(port)}`)
    expect(held).toEqual([...new Set(held)])
    expect(losses.filter(({ outcome }) => outcome !== 'reset' && outcome !== 'closed')).toEqual([])
  }

  async end(): Promise<void> {
    await this.lookout.end()
    expect(this.lookout.missed).toEqual([])
    expect(this.#heldInAll).toBeGreaterThan(COUNT)
    for (const load of this.loads)
      expect((await load.stop()).counts).toMatchObject({ wrong: 0, refused: 0, timeout: 0 })
  }
}

it('A10 a worker killed under load, eight times: lost is what it held, none is refused, none hangs, the port answers throughout', async () => {
  const field = await Field.start()
  for (let round = 0; round < 8; round++) {
    const victim = (await field.project.pids())[round % COUNT] ?? 0
    field.lookout.doing = `kill ${round + 1}`
    field.judge(await field.kill([victim]))
  }
  await field.end()
})

it('A11 all workers killed at once under load, four times: lost is what they held, none is refused, none hangs', async () => {
  const field = await Field.start()
  for (let round = 0; round < 4; round++) {
    const victims = await field.project.pids()
    field.lookout.doing = `all at once, ${round + 1}`
    field.judge(await field.kill(victims))
  }
  await field.end()
})
