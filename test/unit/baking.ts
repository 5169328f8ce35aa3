/** What the courses of a reload on the stage have in common: canaries that bake, old workers that leave. */
import type { Stage } from './stage.ts'

export const BAKE = { bakeMs: 1_000 }

/** Prepares the canary of a group and lets it bake; the policy then lets it serve. */
export function bake(stage: Stage, name: string): string[] {
  return [...stage.prepare(stage.child(name)), ...stage.after(1_000)]
}

/** The old child of a slot, which drains, leaves. */
export function oldLeaves(stage: Stage, name: string, id: number, connectionsCut = 0): string[] {
  const old = stage.children().find((child) => child.name === name && child.id === id && child.state === 'draining')
  if (!old) throw new Error(`nobody drains in ${name}/${id}`)
  return stage.leave(old, connectionsCut)
}
