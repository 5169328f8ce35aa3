/** What the user's code may say of its process, and that whatever else it does costs nothing. */
import { describe, expect, it } from 'vitest'
import { checkFigures, FigureReader } from '../../../src/worker/figures.ts'

const many = (count: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`f${index}`, index]))

describe('checkFigures', () => {
  it('takes numbers, texts and truths as they are, in their order', () => {
    const said = { clients: 12, mode: 'late', isFull: false, share: -0.5, empty: '' }
    expect(checkFigures(said)).toEqual({ figures: said, faults: [] })
    expect(Object.keys(checkFigures({ b: 1, a: 2 }).figures ?? {})).toEqual(['b', 'a'])
  })

  it('takes nothing for nothing', () => {
    for (const nothing of [undefined, null, {}]) expect(checkFigures(nothing)).toEqual({ figures: null, faults: [] })
  })

  it.each([
    ['a number', 7, 'it returned 7'],
    ['an array', [1], 'it returned an array'],
    ['a function', () => 1, 'it returned a function'],
  ])('refuses %s', (_, value, fault) => {
    expect(checkFigures(value)).toEqual({ figures: null, faults: [fault] })
  })

  it('does not wait for a promise, and bears that it fails', async () => {
    const fault = 'it returned a promise, which is not awaited'
    // an unhandled rejection would fail the run
    for (const promise of [Promise.resolve({ a: 1 }), Promise.reject(new Error('no'))])
      expect(checkFigures(promise)).toEqual({ figures: null, faults: [fault] })
    await new Promise((resolve) => setImmediate(resolve))
  })

  it.each([
    ['a number that is none', { a: Number.NaN }, 'a is NaN'],
    ['one without end', { a: Number.POSITIVE_INFINITY }, 'a is Infinity'],
    ['a big integer', { a: 1n }, 'a is 1'],
    ['null', { a: null }, 'a is null'],
    ['an object', { a: {} }, 'a is an object'],
    ['a symbol', { a: Symbol('x') }, 'a is Symbol(x)'],
    ['a long text', { a: 'x'.repeat(201) }, 'a is a text of 201 characters'],
    ['a long name', { ['n'.repeat(65)]: 1 }, 'a name of 65 characters'],
    ['a name of two lines', { 'a\nb': 1 }, 'a name with control characters'],
    ['half a letter', { 'a\ud800': 1 }, 'a name with control characters'],
    ['no name', { '': 1 }, 'a figure without a name'],
  ])('leaves out %s, and shows the rest', (_, wrong, fault) => {
    expect(checkFigures({ before: 1, ...wrong, after: 2 })).toEqual({
      figures: { before: 1, after: 2 },
      faults: [fault],
    })
  })

  it('shows what just fits', () => {
    const longest = { ['n'.repeat(64)]: 'x'.repeat(200), ...many(31) }
    expect(checkFigures(longest)).toEqual({ figures: longest, faults: [] })
  })

  it('shows the first thirty-two', () => {
    expect(checkFigures(many(33))).toEqual({ figures: many(32), faults: ['33 figures, of which 32 are shown'] })
  })

  it('keeps a name that objects have already', () => {
    const { figures } = checkFigures(JSON.parse('{"__proto__": 1, "constructor": 2}'))
    expect(JSON.stringify(figures)).toBe('{"__proto__":1,"constructor":2}')
  })

  it('names five faults, and how many more there are', () => {
    const wrong = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`w${index}`, Number.NaN]))
    expect(checkFigures(wrong).faults).toEqual([...[0, 1, 2, 3, 4].map((index) => `w${index} is NaN`), '3 more'])
  })
})

describe('FigureReader', () => {
  it('asks at each look, and complains once', () => {
    const complaints: string[] = []
    const reader = new FigureReader((sentence) => complaints.push(sentence))
    let asked = 0
    for (let look = 1; look <= 3; look++) {
      expect(reader.read(() => ({ asked: ++asked, wrong: Number.NaN }))).toEqual({ asked: look })
    }
    expect(
      reader.read(() => {
        throw new Error('later')
      }),
    ).toBeNull()
    expect(complaints).toEqual(['onStatus: wrong is NaN: left out'])
  })

  it.each<[string, () => unknown]>([
    [
      'the hook',
      () => {
        throw new Error('not ready')
      },
    ],
    [
      'one of the figures',
      () => ({
        get a() {
          throw new Error('not ready')
        },
      }),
    ],
    ['what it returned', () => new Proxy({}, { ownKeys: () => 'not ready' as never })],
  ])('bears that %s throws', (_, hook) => {
    const complaints: string[] = []
    expect(new FigureReader((sentence) => complaints.push(sentence)).read(hook)).toBeNull()
    expect(complaints).toHaveLength(1)
    expect(complaints[0]).toMatch(/^onStatus threw: .*not ready|^onStatus threw: TypeError/)
  })

  it('says nothing while there is nothing to complain of', () => {
    const complaints: string[] = []
    expect(new FigureReader((sentence) => complaints.push(sentence)).read(() => ({ a: 1 }))).toEqual({ a: 1 })
    expect(complaints).toEqual([])
  })
})
