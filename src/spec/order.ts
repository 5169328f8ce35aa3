/**
 * The order between groups that `after` asks for: which must serve before which starts, at start and
 * in a reload, and the other way round at a stop. Pure.
 */
import { nearest } from '../words.ts'
import type { Spec } from './spec.ts'

type Ordered = Pick<Spec, 'name' | 'after'>

/** What is wrong with the order, as a sentence and what to do; null: it can be kept. */
export function findOrderFault(specs: readonly Ordered[]): { message: string; hint: string } | null {
  const names = specs.map((spec) => spec.name)
  for (const { name, after } of specs)
    for (const other of after)
      if (!names.includes(other)) {
        const guess = nearest(other, names)
        const hint = guess ? `Did you mean "${guess}"?` : `Known workers: ${names.join(', ')}.`
        return { message: `Worker "${name}" starts after "${other}", which does not exist`, hint }
      }
  const circle = findCircle(specs)
  if (!circle) return null
  return {
    message: `Workers wait for each other: ${circle.join(' after ')}`,
    hint: 'Take one of these out of the option "after".',
  }
}

/** The names of a circle, the first one again at the end; null: there is none. */
function findCircle(specs: readonly Ordered[]): string[] | null {
  const after = new Map(specs.map((spec) => [spec.name, spec.after]))
  const done = new Set<string>()
  const walk = (name: string, way: readonly string[]): string[] | null => {
    const at = way.indexOf(name)
    if (at >= 0) return [...way.slice(at), name]
    if (done.has(name)) return null
    for (const other of after.get(name) ?? []) {
      const circle = walk(other, [...way, name])
      if (circle) return circle
    }
    done.add(name)
    return null
  }
  for (const { name } of specs) {
    const circle = walk(name, [])
    if (circle) return circle
  }
  return null
}

/** The names in stages: each stage may begin when those before it are done. A name that is not there is waited for by nobody. */
export function stagesOf(specs: readonly Ordered[]): string[][] {
  const stages: string[][] = []
  const placed = new Set<string>()
  let rest = [...specs]
  while (rest.length > 0) {
    const stage = rest.filter(({ after }) =>
      after.every((name) => placed.has(name) || !rest.some((spec) => spec.name === name)),
    )
    if (stage.length === 0) return [...stages, rest.map((spec) => spec.name)]
    stages.push(stage.map((spec) => spec.name))
    for (const spec of stage) placed.add(spec.name)
    rest = rest.filter((spec) => !placed.has(spec.name))
  }
  return stages
}
