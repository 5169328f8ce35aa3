/** Processes of a test, gone when it ends. */
import { spawn } from 'node:child_process'
import { expect, onTestFinished } from 'vitest'
import { environOf } from '../../../src/os/environ.ts'
import { type ProcessId, startTimeOf } from '../../../src/os/processes.ts'

export const OWN: ProcessId = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' }

/** One that does nothing and ends at any signal; its environment is shown by the system. */
export async function sleeper(env: Record<string, string> = {}): Promise<ProcessId> {
  const child = spawn('sleep', ['600'], { env: { ...process.env, ...env }, stdio: 'ignore' })
  onTestFinished(() => void child.kill('SIGKILL'))
  const pid = child.pid ?? 0
  const shown = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  await expect.poll(() => shown.every((text) => environOf(pid)?.includes(text))).toBe(true)
  return { pid, startTime: startTimeOf(pid) ?? '' }
}
