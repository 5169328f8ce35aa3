/** What `connections` prints with `--json`, and what workers and the control socket carry of it: rows, a page at a time. */

/** What a process knows of one of its open connections. */
export interface ConnectionFacts {
  /** Unique in the fleet; the same as `connection.id` in the worker. */
  id: string
  /** The word before `://`; for a server that user code has opened, what can be told of it. */
  protocol: string
  /** `upgraded`: user code has taken it over by an HTTP upgrade. */
  state: 'opening' | 'open' | 'parting' | 'closing' | 'upgraded'
  /** `host:port`; null on a unix socket. */
  remote: string | null
  local: string | null
  bytesRead: number
  bytesWritten: number
  /** Sent, and not yet taken by the kernel. */
  bufferedBytes: number
  ageMs: number
  /** For how long nothing has come; null: that is not known. */
  idleMs: number | null
}

export interface ConnectionRow extends ConnectionFacts {
  group: string
  slot: number
  pid: number
}

export interface ConnectionList {
  version: 1
  connections: ConnectionRow[]
  /** Processes that did not answer: their connections are not listed, or not all of them. */
  missing: number[]
}

/** A page of a worker's list. `rest` lost: the list was not asked on in time, and is forgotten. */
export interface ConnectionPage {
  facts: ConnectionFacts[]
  rest: 'more' | 'none' | 'lost'
}

/** So many rows are about 60 kB: half a millisecond to read and write again for the master in between. */
export const PAGE_ROWS = 250
/** A worker forgets a list that nobody asks on for so long. The master gives up sooner. */
export const LIST_LIFETIME_MS = 20_000
