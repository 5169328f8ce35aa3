/** The whole policy under random orders of events: hundreds of simulated masters, every promise looked at after each step. */
import { expect, it } from 'vitest'
import type { ReloadSummary } from '../../../../src/ipc/status.ts'
import { calm, createWorld, disturb, LONG_MS } from '../../script.ts'
import { BAD_KINDS, type World } from '../../world.ts'

/** Most of it for a machine that is busy otherwise, and for many seeds. */
const TIMEOUT_MS = 10 * 60_000

/**
 * Runs a life for each seed; what breaks says its seed. `SHIFTWORK_SEED=n` runs that one alone,
 * `SHIFTWORK_SEEDS=n` so many.
 */
function forEachSeed(seeds: number, live: (world: World) => void): World[] {
  const only = process.env['SHIFTWORK_SEED']
  const first = only === undefined ? 1 : Number(only)
  return Array.from(
    { length: only === undefined ? Number(process.env['SHIFTWORK_SEEDS'] ?? seeds) : 1 },
    (_, index) => {
      const seed = first + index
      const world = createWorld(seed)
      try {
        live(world)
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
      }
      return world
    },
  )
}

function trouble(world: World, times: number): void {
  for (let count = 0; count < times; count++) {
    disturb(world)
    world.pass(world.random.chance(0.3) ? world.random.int(0, 30) : world.random.int(0, 1_500))
  }
}

function count(worlds: readonly World[], result: ReloadSummary['result']): number {
  return worlds.reduce((sum, world) => sum + world.inspector.results[result], 0)
}

it('keeps every promise through reloads, crashes, hangs and bad code, and comes to rest in good order', {
  timeout: TIMEOUT_MS,
}, () => {
  const worlds = forEachSeed(60, (world) => {
    world.start()
    world.pass(LONG_MS)
    if (!world.inspector.hasStarted) {
      world.inspector.checkEnded()
      return
    }
    trouble(world, 50)
    calm(world)
    world.settle(LONG_MS)
    world.inspector.checkConverged()
    world.reload(null)
    world.settle(LONG_MS)
    world.inspector.checkConverged()
  })
  // a script that does not bring about what is to be tested would prove nothing
  if (worlds.length === 1) return
  expect(count(worlds, 'done')).toBeGreaterThan(400)
  expect(count(worlds, 'rejected')).toBeGreaterThan(150)
  expect(count(worlds, 'mixed')).toBeGreaterThan(40)
})

it('ends everything after a stop in any moment, in time, once, and with an answer to everyone', {
  timeout: TIMEOUT_MS,
}, () => {
  const worlds = forEachSeed(150, (world) => {
    const { random } = world
    world.start()
    world.pass(random.chance(0.3) ? random.int(0, 400) : LONG_MS)
    trouble(world, random.int(0, 12))
    world.stop({ graceful: random.chance(0.3), timeoutMs: random.chance(0.3) ? random.int(0, 4_000) : null })
    if (random.chance(0.5)) trouble(world, random.int(1, 4))
    if (random.chance(0.3)) world.stop({ timeoutMs: random.int(0, 2_000) })
    if (random.chance(0.3)) {
      world.pass(random.int(0, 3_000))
      world.stop({ force: true })
    }
    world.settle(LONG_MS)
    world.inspector.checkEnded()
    // a second stop comes too late to do anything, also to say again that all has stopped
    world.stop({ force: true })
    world.inspector.checkEnded()
  })
  if (worlds.length === 1) return
  expect(count(worlds, 'cancelled')).toBeGreaterThan(20)
})

it('the first start either serves in every slot or is given up with nothing left, and says so once', {
  timeout: TIMEOUT_MS,
}, () => {
  const worlds = forEachSeed(200, (world) => {
    const { random } = world
    if (random.chance(0.5)) world.change(random.pick(BAD_KINDS))
    else world.forkFailures = random.pick([0, 0.1, 0.5])
    const { kind } = world.code
    world.start()
    if (random.chance(0.3)) world.reload(null)
    if (random.chance(0.3)) {
      world.pass(random.int(0, 500))
      world.change(random.chance(0.5) ? 'good' : random.pick(BAD_KINDS))
    }
    world.pass(LONG_MS)
    if (kind === 'good' && world.code.kind === 'good' && world.forkFailures === 0)
      expect(world.inspector.hasStarted).toBe(true)
    if (world.inspector.hasStarted) return
    world.inspector.checkEnded()
    expect(world.fleet.startFailure).not.toBeNull()
  })
  if (worlds.length === 1) return
  const started = worlds.filter((world) => world.inspector.hasStarted).length
  expect(started).toBeGreaterThan(40)
  expect(worlds.length - started).toBeGreaterThan(40)
})
