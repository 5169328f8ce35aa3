/** The short form of `npm run storm`: fixed seeds, the same operations each time. Group D. */
import { expect, it } from 'vitest'
import { weather } from '../storm/storm.ts'

for (const [kind, seed] of [
  ['foreground', 8],
  ['watched', 104],
] as const)
  it(`D4 mixed operations at once on a ${kind} fleet under load (seed ${seed}): each command tells the truth, no request fails but with a killed process, and status equals the process table`, async () => {
    const lines: string[] = []
    const { steps, broken, answered } = await weather({ seed, kind, steps: 8, say: (line) => lines.push(line) })
    expect(broken, lines.join('\n')).toEqual([])
    expect(steps).toBe(8)
    expect(answered).toBeGreaterThan(100)
  })
