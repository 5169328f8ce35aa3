/** A random life for a simulated master: what people, machines and bad code do to it. */
import { parseAddress } from '../../src/address.ts'
import type { ReloadRequest, ScaleRequest } from '../../src/master/policy/operations.ts'
import { checkSettings } from '../../src/spec/settings.ts'
import type { Spec } from '../../src/spec/spec.ts'
import { Random } from './random.ts'
import type { SimWorker } from './simworker.ts'
import { CONDITIONS, SETTINGS, spec } from './specs.ts'
import { BAD_KINDS, World } from './world.ts'

const NAMES = ['web', 'gateway', 'jobs', 'api', 'cache'] as const
/** How many groups a start file has at first. */
const FIRST = 3
/** Longer than any deadline, drain and backoff in a script. */
export const LONG_MS = 10 * 60_000

/** A world of one to three groups; the same seed gives the same. */
export function createWorld(seed: number): World {
  const random = new Random(seed)
  const preReload = random.chance(0.2) ? 'make' : undefined
  const settings = preReload === undefined ? SETTINGS : checkSettings({ preReload })
  const world = new World(random, randomSpecs(random), { ...CONDITIONS, settings })
  if (random.chance(0.2)) world.forkFailures = 0.03
  if (random.chance(0.3)) world.gateFailures = 0.2
  for (let port = 0; port < PORTS; port++)
    if (random.chance(0.1)) world.taken.add(`tcp:127.0.0.1:${FIRST_FREE_PORT + port}`)
  return world
}

/** The ports below are the groups' at first, those from here on some may move to. */
const FIRST_FREE_PORT = 8_100
const PORTS = 8

function randomSpecs(random: Random): Spec[] {
  return NAMES.slice(0, random.int(1, FIRST)).map((name, index) =>
    spec(
      name,
      { reloadable: index === 0 || random.chance(0.6), ...randomOptions(random) },
      addressOf(random, 8_000 + index),
    ),
  )
}

function randomOptions(random: Random): Record<string, unknown> {
  return { count: random.pick([1, 1, 2, 3, 4, 9]), ...randomTimes(random) }
}

function addressOf(random: Random, port: number): string | undefined {
  return random.chance(0.7) ? `http://127.0.0.1:${port}` : undefined
}

function randomTimes(random: Random): Record<string, number> {
  return {
    startTimeoutMs: random.pick([1_000, 2_000, 5_000]),
    stopTimeoutMs: random.pick([0, 500, 3_000, 6_000]),
    stopDelayMs: random.pick([0, 0, 1_500]),
    bakeMs: random.pick([0, 50, 400, 1_000]),
    hangTimeoutMs: random.pick([0, 1_000, 3_000]),
  }
}

/** Nothing stands in the way any more: the code is good, and knows every group that runs. */
export function calm(world: World): void {
  world.forkFailures = 0
  world.gateFailures = 0
  world.taken.clear()
  const running = [...world.fleet.groups.values()].filter((group) => !group.isLeaving).map((group) => group.spec)
  const known = new Set(world.code.specs.map((spec) => spec.name))
  world.change('good', [...world.code.specs, ...running.filter((spec) => !known.has(spec.name))])
}

/** Does one thing of many to a running world. */
export function disturb(world: World): void {
  const { random } = world
  const what = random.next()
  if (what < 0.22) world.reload(randomGroups(world), randomOrder(random))
  else if (what < 0.29) world.scale(randomCounts(world))
  else if (what < 0.45) fault(world)
  else if (what < 0.55) replace(world)
  else if (what < 0.65) world.change(random.pick(BAD_KINDS))
  else if (what < 0.85) world.change('good', random.chance(0.5) ? otherSpecs(world) : world.code.specs)
  else if (what < 0.9) {
    const name = randomGroups(world)
    for (let count = random.int(2, 4); count > 0; count--) world.reload(name, randomDrain(random))
  } else world.pass(random.int(1_000, 8_000))
}

function randomOrder(random: Random): Partial<ReloadRequest> {
  return {
    ...randomDrain(random),
    strategy: random.chance(0.3) ? 'atomic' : 'rolling',
    surge: random.chance(0.3) ? random.int(1, 12) : null,
    wait: random.chance(0.2) ? 'serving' : 'done',
    isWatch: random.chance(0.1),
  }
}

function randomCounts(world: World): ScaleRequest['to'] {
  const { random } = world
  if (random.chance(0.3)) return random.chance(0.5) ? 1 : -1
  const names = [...world.fleet.groups.keys()].filter(() => random.chance(0.5))
  return names.map((name) => ({ name, count: random.int(1, 7) }))
}

function randomDrain(random: Random): { graceful: boolean; timeoutMs: number | null } {
  return { graceful: random.chance(0.2), timeoutMs: random.chance(0.2) ? random.int(0, 4_000) : null }
}

function randomGroups(world: World): string[] | null {
  const names = [...world.fleet.groups.keys()]
  return world.random.chance(0.5) ? null : names.filter(() => world.random.chance(0.6))
}

/** What people do to a start file: other times and numbers, groups that come, go, move, change their name. */
function otherSpecs(world: World): Spec[] {
  const { random } = world
  const specs = world.code.specs.map((old) => ({ ...old, ...(random.chance(0.4) && randomTimes(random)) }))
  const change = random.next()
  const one = random.pick(specs)
  const free = NAMES.filter((name) => !specs.some((spec) => spec.name === name))
  if (change < 0.2) one.count = random.int(1, 6)
  else if (change < 0.35 && specs.length > 1) specs.splice(specs.indexOf(one), 1)
  else if (change < 0.55 && free.length > 0) specs.push(newcomer(world, random.pick(free)))
  else if (change < 0.7) Object.assign(one, { address: addressAt(freePort(world)) })
  else if (change < 0.8 && free.length > 0) one.name = random.pick(free)
  else if (change < 0.85 && specs.indexOf(one) > 0) one.reloadable = !one.reloadable
  else if (change < 0.9) one.env = { LEVEL: String(random.int(1, 3)) }
  const order = specs.map((spec) => spec.name)
  return specs.map((spec, index) => ({ ...spec, after: random.chance(0.3) ? order.slice(0, index).slice(-1) : [] }))
}

function newcomer(world: World, name: string): Spec {
  const { random } = world
  return spec(name, randomOptions(random), random.chance(0.6) ? `http://127.0.0.1:${freePort(world)}` : undefined)
}

function freePort({ random, code }: World): number {
  const used = code.specs.map(({ address }) => (address?.kind === 'tcp' ? address.port : 0))
  const free = Array.from({ length: PORTS }, (_, index) => FIRST_FREE_PORT + index).filter(
    (port) => !used.includes(port),
  )
  return random.pick(free)
}

function addressAt(port: number): Spec['address'] {
  return parseAddress(`http://127.0.0.1:${port}`)
}

function replace(world: World): void {
  const living = world.living()
  if (living.length > 0) world.random.pick(living).wantReplacement(world.random.chance(0.5) ? 'signal' : 'maxRequests')
}

/** Kills, breaks or blocks a child in whatever state it is. */
function fault(world: World): void {
  const { random } = world
  const living = world.living()
  if (living.length === 0) return
  const victims = random.chance(0.1) ? living : [random.pick(living)]
  for (const worker of victims) hurt(world, worker)
}

function hurt(world: World, worker: SimWorker): void {
  const { random } = world
  worker.isFaulted = true
  const how = random.next()
  world.note(`fault ${how.toFixed(2)} for #${worker.child.key}`)
  if (how < 0.3) worker.die(null, 'SIGKILL')
  else if (how < 0.5) worker.die(random.int(0, 2), null)
  else if (how < 0.9) worker.uncaught('a fault from outside')
  else {
    worker.hang()
    world.beat(20_000)
    // not every group is watched: it comes back by itself, or somebody kills it by hand
    const isBack = random.chance(0.5)
    world.schedule(world.now + random.int(500, 9_000), () => (isBack ? worker.comeBack() : worker.die(null, 'SIGKILL')))
  }
}
