/** The order that `after` asks for: what is wrong with it, and the stages that it makes. */
import { describe, expect, it } from 'vitest'
import { findOrderFault, stagesOf } from '../../../src/spec/order.ts'

function ordered(groups: Record<string, string[]>): { name: string; after: string[] }[] {
  return Object.entries(groups).map(([name, after]) => ({ name, after }))
}

describe('a fault', () => {
  it.each([
    ['no order at all', { a: [], b: [] }],
    ['one after another', { a: ['b'], b: [] }],
    ['a diamond', { a: ['b', 'c'], b: ['d'], c: ['d'], d: [] }],
    ['the same twice', { a: ['b', 'b'], b: [] }],
  ])('is not: %s', (_, groups) => {
    expect(findOrderFault(ordered(groups))).toBeNull()
  })

  it.each([
    [
      'a name that is not there, with the nearest',
      { web: ['bd'], db: [] },
      'Worker "web" starts after "bd", which does not exist',
      'Did you mean "db"?',
    ],
    [
      'a name like no other, with all of them',
      { web: ['postgres'], db: [] },
      'Worker "web" starts after "postgres", which does not exist',
      'Known workers: web, db.',
    ],
    [
      'itself',
      { web: ['web'] },
      'Workers wait for each other: web after web',
      'Take one of these out of the option "after".',
    ],
    [
      'two',
      { web: ['db'], db: ['web'] },
      'Workers wait for each other: web after db after web',
      'Take one of these out of the option "after".',
    ],
    [
      'a circle that another leads to',
      { a: ['b'], b: ['c'], c: ['d'], d: ['b'] },
      'Workers wait for each other: b after c after d after b',
      'Take one of these out of the option "after".',
    ],
  ] as [string, Record<string, string[]>, string, string][])('is: %s', (_, groups, message, hint) => {
    expect(findOrderFault(ordered(groups))).toEqual({ message, hint })
  })

  it('is looked for in a time that does not grow with the number of ways', () => {
    const layers = Array.from({ length: 40 }, (_, layer) => [`a${layer}`, `b${layer}`])
    const groups = layers.flatMap((names, layer) => names.map((name) => [name, layers[layer + 1] ?? []] as const))
    expect(findOrderFault(ordered(Object.fromEntries(groups)))).toBeNull()
  })
})

describe('stages', () => {
  it.each([
    ['one without any order', { a: [], b: [] }, [['a', 'b']]],
    ['one after another', { web: ['db'], db: [], mail: ['web'] }, [['db'], ['web'], ['mail']]],
    [
      'as early as can be',
      { a: ['d'], b: [], c: ['b'], d: [] },
      [
        ['b', 'd'],
        ['a', 'c'],
      ],
    ],
    ['who is not there is waited for by nobody', { web: ['db'] }, [['web']]],
    ['none', {}, []],
  ] as [string, Record<string, string[]>, string[][]][])('are: %s', (_, groups, stages) => {
    expect(stagesOf(ordered(groups))).toEqual(stages)
  })
})
