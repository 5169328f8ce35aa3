/**
 * Rounds of a test in which a constant of the product decides who was slow: played again when it may have been the
 * machine. A product that never does what it should fails in the last of them.
 */
import type { Project } from './project.ts'

const MAX_ROUNDS = 3

/** @param wasLate whether the machine may have been too slow for what the round is about. */
export async function inTime<Round>(play: () => Promise<Round>, wasLate: (round: Round) => boolean): Promise<Round> {
  for (let played = 1; ; played++) {
    const round = await play()
    if (played === MAX_ROUNDS || !wasLate(round)) return round
  }
}

/**
 * Whether the master has killed a worker. It does so 2 s after a deadline, whatever has kept the worker from leaving by
 * then, and nothing is known of what that one would have said.
 */
export function hasKilled({ project }: { project: Project }): boolean {
  return / \(pid \d+\) killed: /.test(project.log)
}
