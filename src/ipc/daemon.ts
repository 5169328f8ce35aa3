/** What the launcher hands to the daemon it starts, in its environment; the daemon removes it at once. */

export const DAEMON_VARIABLE = 'SHIFTWORK_DAEMON'

export interface DaemonSettings {
  stateDir: string
  logFile: string
  stdoutFile: string
  /** `--watch` was typed. */
  watch: boolean
}
