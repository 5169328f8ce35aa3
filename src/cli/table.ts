/** Columns of text. Pure. Colours may be in the cells: widths are counted without them. */
import { textWidth } from './text.ts'

export interface Column {
  title: string
  align?: 'right'
  /** In a table that must fit a width it is at least so wide, so that the next picture looks like this one. */
  steadyWidth?: number
  /** Where not all columns fit, the one of the highest rank goes first; none: it stays. */
  rank?: number
}

/**
 * Lines of a table whose columns are two blanks apart; a column that is empty in every row is left out.
 * @param maxWidth columns with a rank are left out until the lines are no longer than this.
 */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  maxWidth: number | null = null,
): string[] {
  const filled = columns.map((_, index) => index).filter((index) => rows.some((row) => (row[index] ?? '') !== ''))
  const widths = columns.map((column, index) => {
    const cells = [column.title, ...rows.map((row) => row[index] ?? '')]
    // not spread: a hundred thousand arguments are too many for a call
    return cells.reduce((width, cell) => Math.max(width, textWidth(cell)), steady(column, maxWidth))
  })
  const shown = maxWidth === null ? filled : fitting(filled, { columns, widths, maxWidth })
  const line = (cells: readonly string[]): string =>
    shown
      .map((index) => pad(cells[index] ?? '', widths[index] ?? 0, columns[index]?.align))
      .join('  ')
      .trimEnd()
  return [line(columns.map((column) => column.title)), ...rows.map(line)]
}

function steady(column: Column, maxWidth: number | null): number {
  return maxWidth === null ? 0 : (column.steadyWidth ?? 0)
}

interface Room {
  columns: readonly Column[]
  widths: readonly number[]
  maxWidth: number
}

function fitting(indexes: readonly number[], room: Room): readonly number[] {
  const total = indexes.reduce((sum, index) => sum + (room.widths[index] ?? 0) + 2, -2)
  const ranks = indexes.map((index) => room.columns[index]?.rank ?? 0)
  const worst = Math.max(0, ...ranks)
  if (total <= room.maxWidth || worst === 0) return indexes
  const at = ranks.lastIndexOf(worst)
  return fitting(
    indexes.filter((_, position) => position !== at),
    room,
  )
}

function pad(text: string, to: number, align: 'right' | undefined): string {
  const blanks = ' '.repeat(Math.max(0, to - textWidth(text)))
  return align === 'right' ? blanks + text : text + blanks
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
