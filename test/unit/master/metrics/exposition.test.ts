/** Text format 0.0.4, to the byte. */
import { expect, it } from 'vitest'
import { exposition, type Family } from '../../../../src/master/metrics/exposition.ts'
import { checkByPromtool, hasPromtool, parseExposition } from '../../../helpers/prometheus.ts'

it('is a HELP, a TYPE and the samples of each family, in its order, each line ended', () => {
  const families: Family[] = [
    { name: 'a_total', help: 'How often.', type: 'counter', samples: [{ labels: {}, value: 3 }] },
    {
      name: 'b_bytes',
      help: 'How much.',
      type: 'gauge',
      samples: [
        { labels: { group: 'web', worker: '0' }, value: 1_234_567_890_123 },
        { labels: { group: 'web', worker: '1' }, value: 0.25 },
      ],
    },
  ]
  expect(exposition(families)).toBe(
    [
      '# HELP a_total How often.',
      '# TYPE a_total counter',
      'a_total 3',
      '# HELP b_bytes How much.',
      '# TYPE b_bytes gauge',
      'b_bytes{group="web",worker="0"} 1234567890123',
      'b_bytes{group="web",worker="1"} 0.25',
      '',
    ].join('\n'),
  )
})

const one = (value: number, labels: Record<string, string> = {}, help = 'Help.'): string =>
  exposition([{ name: 'x', help, type: 'gauge', samples: [{ labels, value }] }])

it('escapes backslash, quote and line feed in a label, and not the quote in a help', () => {
  expect(one(1, { l: 'a\\b"c\nd' })).toContain('x{l="a\\\\b\\"c\\nd"} 1\n')
  expect(one(1, {}, 'a\\b"c\nd')).toContain('# HELP x a\\\\b"c\\nd\n')
  expect(one(1, { l: '\\n' })).toContain('x{l="\\\\n"} 1\n')
})

it.each([
  [0, '0'],
  [-0, '0'],
  [1e21, '1e+21'],
  [1.5e-7, '1.5e-7'],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, '+Inf'],
  [Number.NEGATIVE_INFINITY, '-Inf'],
])('writes %d as %s', (value, text) => {
  expect(one(value)).toContain(`\nx ${text}\n`)
  expect([...parseExposition(one(value)).values.values()]).toEqual([value === 0 ? 0 : value])
})

it('leaves a family without samples out', () => {
  expect(exposition([{ name: 'x', help: 'Help.', type: 'gauge', samples: [] }])).toBe('')
})

it.skipIf(!hasPromtool)('is read by promtool, whatever stands in the labels', () => {
  expect(checkByPromtool(one(1, { l: 'ä\\"\n€' }))).toBe('')
})

it('the strict reader of these tests refuses what it must', () => {
  const head = '# HELP x Help.\n# TYPE x gauge\n'
  const wrong = [
    `${head}x 1`,
    `${head}x 1\nx 2\n`,
    `${head}x{a="1",a="2"} 1\n`,
    `${head}x{a="1} 1\n`,
    `${head}x{a=1} 1\n`,
    `${head}x{a="\\x"} 1\n`,
    `${head}x undefined\n`,
    `${head}y 1\n`,
    `${head}${head}x 1\n`,
    `${head}\n`,
    '# TYPE x gauge\nx 1\n',
    '# HELP x Help.\n# TYPE x counter\nx 1\n',
  ]
  for (const text of wrong) expect(() => parseExposition(text), text).toThrow()
  expect(parseExposition(`${head}x{a="}",b="\\\\"} 1\n`).values.size).toBe(1)
})
