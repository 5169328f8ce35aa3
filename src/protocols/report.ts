/**
 * A line of a worker's own output: what its code has failed at, and what became of its connections. It begins
 * with whose it is, as everywhere else, since many processes write to one file. Without a time: the output has
 * what the user's code prints, and that has none.
 */

/** Who writes it. */
export interface Reporting {
  readonly name: string
  readonly id: number
}

/** Writes `shiftwork: web/0 (pid 4711): …` to stderr. */
export function report({ name, id }: Reporting, what: string): void {
  console.error(`shiftwork: ${name}/${id} (pid ${process.pid}): ${what}`)
}
