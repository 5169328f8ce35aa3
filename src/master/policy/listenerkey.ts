/** Under which name the master holds a listener. Pure. */
import { addressKey, hasAnyPort } from '../../address.ts'
import type { Spec } from '../../spec/spec.ts'

/**
 * By address, so that a group that gets another name keeps its port; port 0 stands for another port in
 * each group, so it is known by the group's name.
 * @returns null for a group without a listener.
 */
export function listenerKey({ address, name }: Pick<Spec, 'address' | 'name'>): string | null {
  if (!address) return null
  const key = addressKey(address)
  return hasAnyPort(address) ? `${key} of ${name}` : key
}
