/** A random life for a simulated master: what people, machines and bad code do to it. */
import type { Spec } from '../../src/spec/spec.ts'
import { Random } from './random.ts'
import type { SimWorker } from './simworker.ts'
import { spec } from './specs.ts'
import { BAD_KINDS, World } from './world.ts'

const NAMES = ['web', 'gateway', 'jobs'] as const
/** Longer than any deadline, drain and backoff in a script. */
export const LONG_MS = 10 * 60_000

/** A world of one to three groups; the same seed gives the same. */
export function createWorld(seed: number): World {
  const random = new Random(seed)
  const world = new World(random, randomSpecs(random))
  if (random.chance(0.2)) world.forkFailures = 0.03
  return world
}

function randomSpecs(random: Random): Spec[] {
  return NAMES.slice(0, random.int(1, NAMES.length)).map((name, index) =>
    spec(name, {
      count: random.pick([1, 1, 2, 3, 4, 9]),
      reloadable: index === 0 || random.chance(0.6),
      ...randomTimes(random),
    }),
  )
}

function randomTimes(random: Random): Record<string, number> {
  return {
    startTimeoutMs: random.pick([1_000, 2_000, 5_000]),
    stopTimeoutMs: random.pick([0, 500, 3_000, 6_000]),
    stopDelayMs: random.pick([0, 0, 1_500]),
    bakeMs: random.pick([0, 50, 400, 1_000]),
  }
}

/** Does one thing of many to a running world. */
export function disturb(world: World): void {
  const { random } = world
  const what = random.next()
  if (what < 0.25) world.reload(randomGroups(world), randomDrain(random))
  else if (what < 0.45) fault(world)
  else if (what < 0.55) replace(world)
  else if (what < 0.65) world.change(random.pick(BAD_KINDS))
  else if (what < 0.85) world.change('good', random.chance(0.3) ? otherTimes(world) : world.code.specs)
  else if (what < 0.9) {
    const name = randomGroups(world)
    for (let count = random.int(2, 4); count > 0; count--) world.reload(name, randomDrain(random))
  } else world.pass(random.int(1_000, 8_000))
}

function randomDrain(random: Random): { graceful: boolean; timeoutMs: number | null } {
  return { graceful: random.chance(0.2), timeoutMs: random.chance(0.2) ? random.int(0, 4_000) : null }
}

function randomGroups(world: World): string[] | null {
  const names = [...world.fleet.groups.keys()]
  return world.random.chance(0.5) ? null : names.filter(() => world.random.chance(0.6))
}

function otherTimes(world: World): Spec[] {
  return world.code.specs.map((old) => ({ ...old, ...randomTimes(world.random) }))
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
    // nobody is told to watch for hanging workers yet: somebody kills it by hand
    world.schedule(world.now + random.int(500, 9_000), () => worker.die(null, 'SIGKILL'))
  }
}
