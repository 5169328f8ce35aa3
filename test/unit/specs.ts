/** Specs for tests, made by the product's own check, so that they cannot drift from what it accepts. */

import type { Conditions } from '../../src/master/policy/fleet.ts'
import { checkSpecs } from '../../src/spec/check.ts'
import { checkSettings } from '../../src/spec/settings.ts'
import type { Spec } from '../../src/spec/spec.ts'

/** A master without any option. */
export const SETTINGS = checkSettings({})
export const CONDITIONS: Conditions = { version: '1.0.0', settings: SETTINGS, waitsForChange: false }

/** One checked spec; what is not named has the product's default. */
export function spec(name: string, options: Record<string, unknown> = {}, listen?: string): Spec {
  const [checked] = checkSpecs([{ listen, options: { name, ...options } }]).specs
  if (!checked) throw new Error('a checked worker has a spec')
  return checked
}
