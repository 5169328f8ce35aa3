/** The environment variables that Shiftwork gives to the processes it starts. */

/**
 * The mark of a worker, which what it starts inherits. Whoever takes this variable out of the environment
 * of a process that a worker starts lets it live on (`env -u SHIFTWORK_WORKER …`, or `spawn` with an `env`
 * without it). To delete it once a process runs changes only what that one starts: the system shows the
 * environment that a process began with.
 */
export const WORKER_VARIABLE = 'SHIFTWORK_WORKER'

/** Tells a forked process who it is; the worker removes it at once. */
export const IDENTITY_VARIABLE = 'SHIFTWORK_IDENTITY'

/** What the launcher hands to the daemon it starts; the daemon removes it at once. */
export const DAEMON_VARIABLE = 'SHIFTWORK_DAEMON'

/** They say who one process is, and are nothing to hand on. */
export const OWN_VARIABLES: ReadonlySet<string> = new Set([WORKER_VARIABLE, IDENTITY_VARIABLE, DAEMON_VARIABLE])
