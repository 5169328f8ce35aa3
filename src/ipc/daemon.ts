/** What the launcher hands to the daemon it starts, in its environment. */
export interface DaemonSettings {
  stateDir: string
  logFile: string
  stdoutFile: string
  /** `--watch` was typed. */
  watch: boolean
}
