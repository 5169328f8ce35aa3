/**
 * When a worker has served long enough: after so many requests, with so much memory, after so long.
 * It only says so, once for each; the master replaces the worker when it is its turn. Called by `run`
 * when the worker begins to serve.
 */
import type { ReplaceReason } from '../ipc/messages.ts'
import { ownRssBytes } from '../os/processes.ts'
import type { Traffic } from '../protocols/traffic.ts'
import type { Spec } from '../spec/spec.ts'
import { MAX_TIMER_MS } from '../spec/spec.ts'

/** Workers of one group are started together and served alike: spread by up to a tenth. */
const JITTER = 0.1
const MEMORY_LOOK_MS = 1_000
/** One that is above its limit from the start would be replaced for ever: not more often than this. */
const PATIENCE_MS = 60_000
const MIB = 1024 * 1024

export type Limited = Pick<Spec, 'maxRequests' | 'maxMemoryBytes' | 'maxLifetimeMs'>

export type OnReached = (why: ReplaceReason, detail: string | null) => void

/** Begins to watch; a limit of 0 is none. @returns a function that ends it. */
export function watchLimits(
  limits: Limited,
  traffic: Pick<Traffic, 'requests' | 'onRequest'>,
  onReached: OnReached,
): () => void {
  const stops: (() => void)[] = []
  if (limits.maxRequests > 0) stops.push(limitRequests(limits.maxRequests, traffic, onReached))
  if (limits.maxMemoryBytes > 0) stops.push(limitMemory(limits.maxMemoryBytes, onReached))
  if (limits.maxLifetimeMs > 0) stops.push(limitLifetime(limits.maxLifetimeMs, onReached))
  return () => {
    for (const stop of stops) stop()
  }
}

/** Up to a tenth more. @param chance 0 to 1. */
export function spread(limit: number, chance: number): number {
  return Math.round(limit * (1 + JITTER * chance))
}

function limitRequests(
  maxRequests: number,
  traffic: Pick<Traffic, 'requests' | 'onRequest'>,
  onReached: OnReached,
): () => void {
  const limit = spread(maxRequests, Math.random())
  const stop = (): void => {
    traffic.onRequest = null
  }
  traffic.onRequest = () => {
    if (traffic.requests < limit) return
    stop()
    onReached('maxRequests', `${traffic.requests} requests`)
  }
  return stop
}

function limitMemory(maxMemoryBytes: number, onReached: OnReached): () => void {
  const heldBytes = ownRssBytes() ?? 0
  const isHopeless = heldBytes > maxMemoryBytes
  if (isHopeless)
    console.error(
      `shiftwork: this worker holds ${mib(heldBytes)} as it begins to serve, more than maxMemoryBytes ` +
        `(${mib(maxMemoryBytes)}): it is replaced after a minute at the earliest`,
    )
  const notBefore = performance.now() + (isHopeless ? PATIENCE_MS : 0)
  const timer = setInterval(() => {
    const rssBytes = ownRssBytes() ?? 0
    if (rssBytes <= maxMemoryBytes || performance.now() < notBefore) return
    clearInterval(timer)
    onReached('maxMemoryBytes', `${mib(rssBytes)} of memory`)
  }, MEMORY_LOOK_MS).unref()
  return () => clearInterval(timer)
}

function limitLifetime(maxLifetimeMs: number, onReached: OnReached): () => void {
  const ms = Math.min(spread(maxLifetimeMs, Math.random()), MAX_TIMER_MS)
  const timer = setTimeout(() => onReached('maxLifetimeMs', null), ms).unref()
  return () => clearTimeout(timer)
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}
