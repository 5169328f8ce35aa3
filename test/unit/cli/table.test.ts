/** Columns of text, and numbers as people read them. */
import { describe, expect, it } from 'vitest'
import { bytes, count, tableLines } from '../../../src/cli/table.ts'

const COLUMNS = [{ title: 'ID', align: 'right' }, { title: 'NAME' }, { title: 'N', align: 'right' }] as const

describe('tableLines', () => {
  it('makes each column as wide as its widest cell, two blanks apart', () => {
    const rows = [
      ['1', 'web', '1000'],
      ['12', 'gateway', '7'],
    ]
    expect(tableLines(COLUMNS, rows)).toEqual(['ID  NAME        N', ' 1  web      1000', '12  gateway     7'])
  })

  it('leaves out a column that is empty everywhere, also its title', () => {
    expect(
      tableLines(COLUMNS, [
        ['1', '', '2'],
        ['3', '', ''],
      ]),
    ).toEqual(['ID  N', ' 1  2', ' 3'])
  })

  it('counts colours as nothing', () => {
    const green = '\u001b[32mok\u001b[39m'
    const rows = [
      ['1', green, '1'],
      ['2', 'worse', '2'],
    ]
    expect(tableLines(COLUMNS, rows)).toEqual(['ID  NAME   N', ` 1  ${green}     1`, ' 2  worse  2'])
  })

  it('does with short rows, and with none', () => {
    expect(tableLines(COLUMNS, [['1'], []])).toEqual(['ID', ' 1', ''])
    expect(tableLines(COLUMNS, [])).toEqual([''])
  })
})

it.each([
  [null, ''],
  [0, '0 MB'],
  [54 * 1024 * 1024, '54 MB'],
  [1023.4 * 1024 * 1024, '1023 MB'],
  [1023.6 * 1024 * 1024, '1.0 GB'],
  [1.26 * 1024 ** 3, '1.3 GB'],
])('bytes(%d) is "%s"', (value, text) => {
  expect(bytes(value)).toBe(text)
})

it.each([
  [null, ''],
  [0, '0'],
  [0.04, '0'],
  [12.34, '12.3'],
  [9_999, '9999'],
  [9_999.94, '9999.9'],
  [9_999.96, '10.0k'],
  [12_345, '12.3k'],
  [999_900, '999.9k'],
  [999_960, '1.0M'],
  [4_500_000, '4.5M'],
])('count(%d) is "%s"', (value, text) => {
  expect(count(value)).toBe(text)
})

describe('tableLines in a width', () => {
  const columns = [{ title: 'ID' }, { title: 'NAME', steadyWidth: 6, rank: 2 }, { title: 'N', rank: 1 }, { title: 'S' }]
  const rows = [['1', 'web', '20', 'ok']]

  it('keeps the columns where they are, however short the cells', () => {
    expect(tableLines(columns, rows, 40)).toEqual(['ID  NAME    N   S', '1   web     20  ok'])
  })

  it('leaves out the column of the highest rank first, and never one without', () => {
    expect(tableLines(columns, rows, 18)).toEqual(['ID  NAME    N   S', '1   web     20  ok'])
    expect(tableLines(columns, rows, 17)).toEqual(['ID  N   S', '1   20  ok'])
    expect(tableLines(columns, rows, 9)).toEqual(['ID  S', '1   ok'])
    expect(tableLines(columns, rows, 1)).toEqual(['ID  S', '1   ok'])
  })

  it('counts wide letters as two', () => {
    expect(tableLines([{ title: 'NAME' }, { title: 'N' }], [['网关', '1']])).toEqual(['NAME  N', '网关  1'])
  })
})
