/**
 * What serves after a reload that did not succeed, in words: the command line and the log say the same.
 * Pure. An older master says nothing of it.
 */
import { plural } from '../words.ts'
import type { ReloadSummary, Standing } from './status.ts'

/** `nothing was touched, the old code serves`, and what else there is to know when that is not all of it. */
export function rejectedText({ standing = [] }: Pick<ReloadSummary, 'standing'>): string {
  const isTouched = standing.some(({ hasServed }) => hasServed)
  const head = isTouched ? 'the new code has served and was taken back' : 'nothing was touched'
  const missing = missingText(standing)
  if (missing === '') return `${head}, the old code serves`
  const others = standing.some((group) => !isMissing(group)) ? ', in the others the old code serves' : ''
  return `${head}; ${missing}${others}`
}

/** `web/0 run the new code, the others the old`. */
export function mixedText({ standing = [], replaced }: Pick<ReloadSummary, 'standing' | 'replaced'>): string {
  if (standing.length === 0)
    return `${replaced.map(({ name, id }) => `${name}/${id}`).join(', ')} run the new code, the others the old`
  const fresh = standing.flatMap(({ name, fresh }) => fresh.map((id) => `${name}/${id}`)).join(', ')
  const isOldThere = standing.some((group) => group.serving > group.fresh.length)
  const who = `${fresh === '' ? 'no worker runs' : `${fresh} run`} the new code${isOldThere ? ', the others the old' : ''}`
  return [who, missingText(standing)].filter((part) => part !== '').join('; ')
}

/** `web: no worker serves (none did before)`; empty when every place is filled. */
function missingText(standing: readonly Standing[]): string {
  return standing
    .filter(isMissing)
    .map(({ name, count, serving, servedBefore }) => {
      const now = serving === 0 ? 'no worker serves' : `${serving} of ${plural(count, 'worker')} serve`
      return `${name}: ${now} (${servedBefore === 0 ? 'none' : servedBefore} did before)`
    })
    .join(', ')
}

function isMissing({ count, serving }: Standing): boolean {
  return serving < count
}
