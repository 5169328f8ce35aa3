/**
 * Text helpers that the command line, the option check and the master share: the nearest known
 * word for a mistyped one, and durations for people. Pure, no imports.
 */

/** The known word that `word` most likely meant (at most two edits away, or a prefix of three), or undefined. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase()
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(lower, candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  if (best && best.distance <= Math.min(2, Math.max(1, Math.floor(word.length / 2)))) return best.candidate
  return lower.length >= 3 ? known.find((candidate) => candidate.toLowerCase().startsWith(lower)) : undefined
}

/**
 * The known word of which `word` is a slip of the pen: other capitals, one letter too many or too few, or two swapped.
 * One letter in place of another makes another word (`onHeader` is no `onLeader`).
 */
export function slipOf(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase()
  return known.find((candidate) => {
    const other = candidate.toLowerCase()
    const isSameLetters = [...lower].sort().join('') === [...other].sort().join('')
    return editDistance(lower, other) <= 1 && (isSameLetters || lower.length !== other.length)
  })
}

/** Levenshtein's distance with a swap of neighbours counted as one edit (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min((row[j - 1] ?? 0) + 1, (previous[j] ?? 0) + 1, (previous[j - 1] ?? 0) + cost)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) best = Math.min(best, (before[j - 2] ?? 0) + 1)
      row.push(best)
    }
    before = previous
    previous = row
  }
  return previous[b.length] ?? 0
}

/** `412 ms`, `3.2 s`, `4 m 10 s`, `2 h 5 m`, `3 d 4 h`. */
export function duration(ms: number): string {
  const whole = Math.round(ms)
  if (whole < 1000) return `${whole} ms`
  // rounded before it is compared: never "60.0 s"
  const tenths = Math.round(ms / 100)
  if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`
  const seconds = Math.floor(tenths / 10)
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} m ${seconds % 60} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${minutes % 60} m`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** `1 worker`, `2 workers`; a plural that is not made with an s is given. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`
}

/** `2 workers replaced, 1 started`: one is started where nobody was before. */
export function replacedText(rows: readonly { oldPid: number | null }[]): string {
  const started = rows.filter((row) => row.oldPid === null).length
  const text = `${plural(rows.length - started, 'worker')} replaced`
  return started > 0 ? `${text}, ${started} started` : text
}

export function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}

/** `is out of file descriptors (225 of 256)`: but for the reserve. */
export function outOfDescriptors({ used, limit }: { used: number; limit: number }): string {
  return `is out of file descriptors (${used} of ${limit})`
}
