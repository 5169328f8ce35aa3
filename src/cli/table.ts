/** Columns of text. Pure. Colours may be in the cells: widths are counted without them. */
import { stripVTControlCharacters } from 'node:util'

export interface Column {
  title: string
  align?: 'right'
}

/** Lines of a table whose columns are two blanks apart; a column that is empty in every row is left out. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const shown = columns.map((_, index) => index).filter((index) => rows.some((row) => (row[index] ?? '') !== ''))
  const widths = shown.map((index) =>
    Math.max(...[columns[index]?.title ?? '', ...rows.map((row) => row[index] ?? '')].map(width)),
  )
  const line = (cells: readonly string[]): string =>
    shown
      .map((index, position) => pad(cells[index] ?? '', widths[position] ?? 0, columns[index]?.align))
      .join('  ')
      .trimEnd()
  return [line(columns.map((column) => column.title)), ...rows.map(line)]
}

function pad(text: string, to: number, align: 'right' | undefined): string {
  const blanks = ' '.repeat(Math.max(0, to - width(text)))
  return align === 'right' ? blanks + text : text + blanks
}

function width(text: string): number {
  return stripVTControlCharacters(text).length
}

/** `54 MB`, `1.2 GB`. */
export function bytes(count: number | null): string {
  if (count === null) return ''
  const mega = count / (1024 * 1024)
  return mega < 1023.5 ? `${Math.round(mega)} MB` : `${(mega / 1024).toFixed(1)} GB`
}

/** `987`, `12.3k`, `4.5M`. */
export function count(value: number | null): string {
  if (value === null) return ''
  if (value < 9_999.95) return String(Math.round(value * 10) / 10)
  return value < 999_950 ? `${(value / 1000).toFixed(1)}k` : `${(value / 1_000_000).toFixed(1)}M`
}
