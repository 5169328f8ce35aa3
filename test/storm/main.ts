/**
 * `npm run storm -- --seconds 600 --seed 7`: random operations on live fleets under strict load, until
 * the time is over or something breaks; then it says seed, step, history and log, keeps the directory,
 * and exits 1. The same seed does the same again. `--kind` and `--only` narrow it, `--steps` is for each fleet.
 */
import { parseArgs } from 'node:util'
import { KINDS, type Kind } from './fleet.ts'
import { kindOf, weather } from './storm.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    steps: { type: 'string', default: '15' },
    kind: { type: 'string' },
    only: { type: 'string' },
  },
})

const endsAt = performance.now() + Number(values.seconds) * 1_000
const kind = KINDS.find((one) => one === values.kind) ?? null

for (let seed = Number(values.seed); performance.now() < endsAt && process.exitCode === undefined; seed++) {
  const own: Kind = kind ?? kindOf(seed)
  console.log(`seed ${seed}, a ${own} fleet`)
  const { steps, answered, lost, broken } = await weather({
    seed,
    kind: own,
    steps: Number(values.steps),
    endsAt,
    only: values.only ?? null,
    say: (line) => console.log(line),
  })
  console.log(`  ${steps} steps, ${answered} requests answered, ${lost} lost with processes that were made to die`)
  if (broken.length > 0) process.exitCode = 1
}
