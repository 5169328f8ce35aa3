/** How many descriptors are in use, counted in this very process, and from when on it is too many. */
import { closeSync, openSync, readdirSync } from 'node:fs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Descriptors } from '../../../src/os/descriptors.ts'

/** The directory that is read is one of them. */
const open = (): number => readdirSync('/proc/self/fd').length - 1

function take(count: number): number[] {
  const taken = Array.from({ length: count }, () => openSync('/dev/null', 'r'))
  onTestFinished(() => {
    for (const descriptor of taken.splice(0)) closeSync(descriptor)
  })
  return taken
}

/** Closes the first of them. @returns its number. */
function giveBack(taken: number[]): number {
  const first = taken.shift() ?? expect.fail('none was taken')
  closeSync(first)
  return first
}

describe('the reserve', () => {
  it.each([
    // a quarter of very few
    [64, 48, 40],
    [96, 72, 60],
    [127, 96, 80],
    // at least 32
    [128, 96, 80],
    [256, 224, 208],
    [512, 480, 464],
    // a sixteenth
    [1_024, 960, 928],
    [2_000, 1_875, 1_812],
    // at most 256
    [4_096, 3_840, 3_712],
    [1_048_576, 1_048_320, 1_048_192],
  ])('of %i descriptors: full at %i, room again at %i', (limit, fullAt, roomAt) => {
    const { fullAt: full, roomAt: room } = new Descriptors(limit)
    expect([full, room]).toEqual([fullAt, roomAt])
  })

  it.each([1, 2, 3, 4, 5, 10])('of %i, as few as nobody can live with, is in order all the same', (limit) => {
    const { fullAt, roomAt } = new Descriptors(limit)
    expect(roomAt).toBeLessThanOrEqual(fullAt)
    expect(fullAt).toBeLessThanOrEqual(limit)
    expect(roomAt).toBeGreaterThanOrEqual(0)
  })
})

describe.runIf(process.platform === 'linux')('what is in use', () => {
  it('is counted when it may be half of the limit or more', () => {
    const descriptors = new Descriptors(2 * open())
    take(10)
    expect(descriptors.look()).toEqual({ used: open(), limit: expect.any(Number) as number })
  })

  it('is not counted when it is far from the limit: then it is the most that it can be', () => {
    take(30)
    const { used } = new Descriptors(100_000).look()
    expect(used).toBeGreaterThan(open())
    expect(used).toBeLessThanOrEqual(50_000)
  })

  it('is counted although a low number is free', () => {
    const taken = take(300)
    giveBack(taken)
    const descriptors = new Descriptors(open() + 50)
    expect(descriptors.look().used).toBe(open())
    giveBack(taken)
    expect(descriptors.look().used).toBe(open())
  })

  it('by a number that was just given out is all below it, and itself', () => {
    expect(new Descriptors(256).useBy(224)).toEqual({ used: 225, limit: 256 })
  })

  it('has a limit of its own here', () => {
    const own = Descriptors.own()
    expect(own?.fullAt).toBeGreaterThan(0)
    expect(own?.look().limit).toBeGreaterThan(own?.look().used ?? 0)
  })
})
