/** A master that is the first process of a process namespace, as in a container. Needs root and util-linux. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import { BIN, type Project, type Result, type Running } from './project.ts'

const UNSHARE = ['--fork', '--pid', '--mount-proc', '--kill-child']

/** Why there can be none here; null: there can. */
export function whyNoContainer(): string | null {
  try {
    execFileSync('unshare', [...UNSHARE, 'true'], { stdio: 'pipe' })
    return null
  } catch (error) {
    return `process namespaces cannot be had here: ${String((error as { stderr?: unknown }).stderr ?? error).trim()}`
  }
}

export class Container {
  /** Of its first process, as we see it. */
  readonly pid: number
  readonly ended: Promise<Result>
  readonly #project: Project

  private constructor(project: Project, running: Running, pid: number) {
    this.#project = project
    this.pid = pid
    this.ended = running.ended
  }

  /** Resolves when every worker serves; its end is the end of the test. */
  static async start(project: Project): Promise<Container> {
    const running = Container.launch(project)
    await running.line(/^ready in /m)
    return new Container(project, running, childrenOf(running.pid)[0]?.pid ?? 0)
  }

  /** `start` as the first process of a namespace; ended with the test. */
  static launch(project: Project): Running {
    const running = project.launch('unshare', [...UNSHARE, process.execPath, project.startFile, 'start'])
    onTestFinished(async () => {
      running.kill('SIGKILL')
      await running.ended
    })
    return running
  }

  /** A command in a namespace of its own. */
  static exec(project: Project, command: string, ...args: string[]): Promise<Result> {
    return project.exec('unshare', [...UNSHARE, process.execPath, BIN, command, project.startFile, ...args])
  }

  /** As when the machine takes it down: nobody in there has a last word. */
  async kill(): Promise<void> {
    process.kill(this.pid, 'SIGKILL')
    await this.ended
  }

  /** A command, typed inside. */
  shiftwork(command: string, ...args: string[]): Promise<Result> {
    const inside = ['--target', String(this.pid), '--pid', '--mount']
    return this.#project.exec('nsenter', [...inside, process.execPath, BIN, command, this.#project.startFile, ...args])
  }

  /** Children of the first process that have ended and were not looked after. */
  get zombies(): number[] {
    return childrenOf(this.pid)
      .filter(({ state }) => state === 'Z')
      .map(({ pid }) => pid)
  }
}

function childrenOf(parent: number): { pid: number; state: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), stat: statOf(name) }))
    .filter(({ stat }) => stat[1] === String(parent))
    .map(({ pid, stat }) => ({ pid, state: stat[0] ?? '' }))
}

/** State, parent, and what else proc(5) has behind the name. */
function statOf(pid: string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    // gone
    return []
  }
}
