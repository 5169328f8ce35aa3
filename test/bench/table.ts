/** The table of the benchmark: pure text, at most 80 columns. */
import type { Pair } from './figures.ts'

export interface Row {
  what: string
  ours: string
  /** What it is compared with; empty when the target is absolute. */
  other: string
  ratio: number | null
  target: Target | null
}

export interface Target {
  text: string
  isMet: boolean
}

const WIDTHS = [38, 9, 9, 6, 13] as const

/** A row of two figures in one unit; `format` writes a figure with its unit. */
export function compared(
  what: string,
  figures: Pair & { ratio: number },
  options: { format: (value: number) => string; atMost?: number },
): Row {
  const { ours, other, ratio } = figures
  const { format, atMost } = options
  const target = atMost === undefined ? null : { text: `<= ${atMost}`, isMet: ratio <= atMost }
  return { what, ours: format(ours), other: format(other), ratio, target }
}

export function heading(): string {
  return `${line('', 'ours', 'other', 'ratio', 'target')}\n${'-'.repeat(WIDTHS.reduce((sum, width) => sum + width + 1, -1))}`
}

/** The line of a section: what the column "other" means in it. */
export function section(what: string, other: string): string {
  return `\n${what}\n  other: ${other}`
}

export function rowText(row: Row): string {
  const ratio = row.ratio === null ? '' : row.ratio.toFixed(3)
  const target = row.target ? `${row.target.text} ${row.target.isMet ? 'met' : 'MISSED'}` : '-'
  return line(`  ${row.what}`, row.ours, row.other, ratio, target)
}

function line(...cells: string[]): string {
  return cells
    .map((cell, index) => (index === 0 ? cell.padEnd(WIDTHS[0]) : cell.padStart(WIDTHS[index] ?? 0)))
    .join(' ')
    .trimEnd()
}

export function microseconds(value: number): string {
  return `${value.toFixed(value < 100 ? 1 : 0)} us`
}

export function milliseconds(value: number): string {
  return `${Math.round(value)} ms`
}

export function megabytes(value: number): string {
  return `${(value / 1024 / 1024).toFixed(1)} MB`
}
