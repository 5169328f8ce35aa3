/**
 * A strict reader of Prometheus' text format 0.0.4: what a lenient one would let pass is an error here.
 * And the readers that the world uses, where they are installed.
 */
import { spawnSync } from 'node:child_process'

export interface Scrape {
  /** By `name{a="b",c="d"}`, as it stands on the page. */
  values: Map<string, number>
  types: Map<string, string>
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"'
const SAMPLE = new RegExp(`^(${NAME})(\\{${LABEL}(?:,${LABEL})*\\})? (\\S+)$`)
const NUMBER = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|NaN|[+-]Inf)$/

/** @throws Error at the first line that is not as it must be: a family in two places, a series twice, a bad name. */
export function parseExposition(text: string): Scrape {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const scrape: Scrape = { values: new Map(), types: new Map() }
  const helped = new Set<string>()
  let family = ''
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line)
    const wrong = (why: string): Error => new Error(`${why}: ${JSON.stringify(line)}`)
    if (comment?.[1] === 'HELP') {
      family = comment[2] ?? ''
      if (helped.has(family)) throw wrong('a second HELP')
      helped.add(family)
    } else if (comment?.[1] === 'TYPE') {
      if (comment[2] !== family || scrape.types.has(family)) throw wrong('a TYPE in the wrong place')
      scrape.types.set(family, comment[3] ?? '')
      if ((comment[3] === 'counter') !== family.endsWith('_total')) throw wrong('_total and counter do not agree')
    } else {
      const [, name, labels = '', value = ''] = SAMPLE.exec(line) ?? []
      if (name === undefined || !NUMBER.test(value)) throw wrong('not a sample')
      if (name !== family || !scrape.types.has(name)) throw wrong('outside of its family')
      const names = [...labels.matchAll(/([a-zA-Z0-9_]+)="/g)].map((match) => match[1])
      if (new Set(names).size !== names.length) throw wrong('a label twice')
      if (scrape.values.has(name + labels)) throw wrong('a series twice')
      scrape.values.set(name + labels, Number(value.replace('Inf', 'Infinity')))
    }
  }
  return scrape
}

/** All series of a name together. */
export function sumOf(scrape: Scrape, name: string): number {
  let sum = 0
  for (const [series, value] of scrape.values) if (series === name || series.startsWith(`${name}{`)) sum += value
  return sum
}

const PYTHON = '/usr/bin/python3'
const PYTHON_CHECK = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
counts = []
for page in json.load(sys.stdin):
    seen = set()
    for family in text_string_to_metric_families(page):
        assert family.documentation and family.type != 'unknown', family
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in seen, key
            seen.add(key)
    counts.append(len(seen))
print(json.dumps(counts))
`

export const hasPythonClient = spawnSync(PYTHON, ['-c', 'import prometheus_client.parser']).status === 0
export const hasPromtool = spawnSync('promtool', ['--version']).status === 0

/** How many series Prometheus' own Python client finds on each page. @throws Error where it refuses one. */
export function countSeriesByPython(pages: readonly string[]): number[] {
  const result = spawnSync(PYTHON, ['-c', PYTHON_CHECK], { input: JSON.stringify(pages), encoding: 'utf8' })
  if (result.status !== 0) throw new Error(result.stderr)
  return JSON.parse(result.stdout) as number[]
}

/** What `promtool check metrics` has to say: nothing, when all is well. */
export function checkByPromtool(page: string): string {
  const result = spawnSync('promtool', ['check', 'metrics'], { input: page, encoding: 'utf8' })
  return result.status === 0 ? `${result.stdout}${result.stderr}` : `exit ${result.status}: ${result.stderr}`
}
