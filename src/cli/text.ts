/**
 * Text as wide as a terminal shows it. Pure. Names, paths and messages are the user's: wide letters
 * count for two, and what would move the cursor is taken out.
 */
import { stripVTControlCharacters } from 'node:util'

/** Letters that East Asian terminals and ours draw two columns wide (Unicode TR 11, W and F), and emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u
/** Accents and joiners stand on the letter before them. */
const WITHOUT_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u
const NOT_ASCII = /[^\u0020-\u007e]/

/** Columns that the text takes; colours take none. */
export function textWidth(text: string): number {
  const plain = stripVTControlCharacters(text)
  if (!NOT_ASCII.test(plain)) return plain.length
  let width = 0
  for (const letter of plain) width += letterWidth(letter)
  return width
}

function letterWidth(letter: string): number {
  if (WITHOUT_WIDTH.test(letter)) return 0
  return WIDE.test(letter) ? 2 : 1
}

const ESCAPE = '\u001b'
const COLOUR = new RegExp(`(${ESCAPE}\\[[\\d;]*m)`)
const RESET = `${ESCAPE}[0m`

/** One line of at most so many columns: cut with `…`, its colours kept, every other control character made a blank. */
export function fitText(text: string, columns: number): string {
  const pieces = text.split(COLOUR).map((piece) => (COLOUR.test(piece) ? piece : withoutControl(piece)))
  const clean = pieces.join('')
  if (textWidth(clean) <= columns) return clean
  if (columns < 1) return ''
  let room = columns - 1
  let cut = ''
  for (const piece of pieces) {
    if (COLOUR.test(piece)) {
      cut += piece
      continue
    }
    for (const letter of piece) {
      room -= letterWidth(letter)
      if (room < 0) return `${cut}…${cut.includes('\u001b') ? RESET : ''}`
      cut += letter
    }
  }
  return cut
}

/** Without what would move the cursor, paint, or begin a line. */
export function withoutControl(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/\p{Cc}+/gu, ' ')
}

/** The parts that fit side by side, two blanks apart: the first always (cut if need be), then one after the other. */
export function fitParts(parts: readonly string[], columns: number): string {
  const [first = '', ...rest] = parts
  let line = fitText(first, columns)
  for (const part of rest) {
    if (part === '') continue
    if (textWidth(line) + 2 + textWidth(part) > columns) break
    line += `  ${part}`
  }
  return line
}

/** A line with its end at the right edge, where both fit; else without it. */
export function withRight(line: string, right: string, columns: number): string {
  const gap = columns - textWidth(line) - textWidth(right)
  return gap >= 2 ? line + ' '.repeat(gap) + right : line
}
