/**
 * The text that Prometheus reads, format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats):
 * families of samples in, lines out. Called by the metrics server. Pure.
 */

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** All samples of one name. No two of them may have the same labels. */
export interface Family {
  name: string
  help: string
  type: 'counter' | 'gauge'
  samples: Sample[]
}

export interface Sample {
  labels: Readonly<Record<string, string>>
  value: number
}

/** The page, a family after the other; one without samples is left out. */
export function exposition(families: readonly Family[]): string {
  return families
    .filter(({ samples }) => samples.length > 0)
    .map(familyText)
    .join('')
}

function familyText({ name, help, type, samples }: Family): string {
  const lines = [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`]
  for (const { labels, value } of samples) lines.push(`${name}${labelText(labels)} ${numberText(value)}`)
  return `${lines.join('\n')}\n`
}

function labelText(labels: Sample['labels']): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

/** As Go's ParseFloat reads it: JavaScript writes the same but for the infinities. */
function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}
