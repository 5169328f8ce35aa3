/** The short form of `npm run storm`: fixed seeds, the same operations each time. Group D. */
import { expect, it, onTestFinished } from 'vitest'
import { weather } from '../storm/storm.ts'

for (const [kind, seed] of [
  ['foreground', 8],
  ['watched', 104],
] as const)
  it(`D4 mixed operations at once on a ${kind} fleet under load (seed ${seed}): each command tells the truth, no request fails but with a killed process, and status equals the process table`, {
    timeout: 600_000,
  }, async ({ signal }) => {
    const lines: string[] = []
    const storm = weather({ seed, kind, steps: 8, signal, say: (line) => lines.push(line) })
    onTestFinished(async () => {
      await storm.catch(() => undefined)
      if (signal.aborted) console.error(lines.join('\n'))
    })
    const { steps, broken, answered } = await storm
    expect(broken, lines.join('\n')).toEqual([])
    expect(steps).toBe(8)
    expect(answered).toBeGreaterThan(100)
  })
