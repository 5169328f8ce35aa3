/** A running project's metrics: where they are, and what stands there. */
import { expect } from 'vitest'
import { webStart } from './apps.ts'
import { get, type Target } from './client.ts'
import { until } from './processes.ts'
import type { Project } from './project.ts'
import { parseExposition, type Scrape } from './prometheus.ts'

/** `webStart` with metrics, and with `more` before `runAll`. */
export function metricsStart(options: Record<string, unknown> = {}, metrics = 'http://127.0.0.1:0', more = ''): string {
  return webStart(options).replace('Worker.runAll()', `${more}\nWorker.runAll({ metrics: ${JSON.stringify(metrics)} })`)
}

export function targetOf(address: string): Target {
  const path = /^http\+unix:\/\/(.+)$/.exec(address)?.[1]
  return path === undefined ? { port: Number(/:(\d+)$/.exec(address)?.[1]) } : { path }
}

export async function metricsOf(project: Project): Promise<Target> {
  return targetOf((await project.status()).master.metrics ?? 'nowhere')
}

export async function page(target: Target): Promise<string> {
  const answer = await get(target, '/metrics')
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return answer.body
}

export async function scrape(target: Target): Promise<Scrape> {
  return parseExposition(await page(target))
}

/** The first scrape of which it is so: a worker that is late by a third of a second is missing in one. */
export async function scrapeUntil(target: Target, what: string, isSo: (scrape: Scrape) => boolean): Promise<Scrape> {
  let last = await scrape(target)
  await until(what, async () => {
    if (isSo(last)) return true
    last = await scrape(target)
    return isSo(last)
  })
  return last
}

/** `200 ready` */
export async function probe(target: Target, path: string): Promise<string> {
  const { status, body } = await get(target, path)
  return `${status} ${body.trim()}`
}
