/**
 * Machines that are none: network namespaces, each with a cable to one in the middle. A process in one of them
 * reaches the middle and nobody else; its files are ours. Needs root and iproute2.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { onTestFinished } from 'vitest'

/** Why there can be none here; null: there can. */
export function whyNoNetworks(): string | null {
  const name = `swt-${randomBytes(3).toString('hex')}`
  try {
    ip('netns', 'add', name)
    ip('netns', 'del', name)
    return null
  } catch (error) {
    return `network namespaces cannot be had here: ${String((error as { stderr?: unknown }).stderr ?? error).trim()}`
  }
}

export interface Machine {
  /** Words before a command that runs on it. */
  readonly within: readonly string[]
  /** Of the middle, as it is reached from here. */
  readonly middle: string
  /** Nothing comes through any more; at which end: who is cut off sees it, or sees nothing. */
  cut(end: 'here' | 'middle'): void
  mend(end: 'here' | 'middle'): void
}

export interface Network {
  /** Words before a command that runs in the middle. */
  readonly within: readonly string[]
  readonly machines: readonly Machine[]
}

/** For the running test, at whose end it is taken down. */
export function createNetwork(count: number): Network {
  const mark = randomBytes(3).toString('hex')
  const names = ['middle', ...Array.from({ length: count }, (_, index) => `m${index}`)].map(
    (name) => `swt-${mark}-${name}`,
  )
  for (const name of names) ip('netns', 'add', name)
  onTestFinished(() => {
    for (const name of names) ip('netns', 'del', name)
  })
  const [middle = '', ...others] = names
  ip('-n', middle, 'link', 'set', 'lo', 'up')
  return { within: withinOf(middle), machines: others.map((name, index) => connect(middle, name, index)) }
}

function connect(middle: string, name: string, index: number): Machine {
  const [plug, socket] = ['plug0', `socket${index}`]
  ip('-n', name, 'link', 'add', plug, 'type', 'veth', 'peer', 'name', socket, 'netns', middle)
  ip('-n', name, 'address', 'add', `10.254.${index}.2/30`, 'dev', plug)
  ip('-n', middle, 'address', 'add', `10.254.${index}.1/30`, 'dev', socket)
  const ends = { here: [name, plug], middle: [middle, socket] } as const
  const set = (end: 'here' | 'middle', to: 'up' | 'down'): void => {
    const [at, device] = ends[end]
    ip('-n', at, 'link', 'set', device, to)
  }
  ip('-n', name, 'link', 'set', 'lo', 'up')
  for (const end of ['here', 'middle'] as const) set(end, 'up')
  return {
    within: withinOf(name),
    middle: `10.254.${index}.1`,
    cut: (end) => set(end, 'down'),
    mend: (end) => set(end, 'up'),
  }
}

function withinOf(name: string): readonly string[] {
  return ['ip', 'netns', 'exec', name]
}

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] })
}
