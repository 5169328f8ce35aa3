/**
 * A real terminal for a program: tmux keeps its screen, types its keys and changes its size. Each has
 * a server of its own, with its socket in the project's directory.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { until } from './processes.ts'
import type { Project } from './project.ts'

export const hasTmux = spawnSync('tmux', ['-V']).status === 0

export interface Size {
  columns: number
  rows: number
}

export class Tmux {
  static #opened = 0
  readonly #project: Project
  /** One that follows another must not meet its server on the way out. */
  readonly #socket: string
  #lastScreen = ''

  private constructor(project: Project) {
    this.#project = project
    this.#socket = join(project.root, `tmux-${++Tmux.#opened}`)
  }

  /** Runs a line of shell in a terminal: what it shows at last stays to be looked at. */
  static async open(project: Project, command: string, size: Size, env: Record<string, string> = {}): Promise<Tmux> {
    const terminal = new Tmux(project)
    onTestFinished(() => terminal.end())
    const words = ['-x', String(size.columns), '-y', String(size.rows), 'sh', '-c', `${command}\nexec cat`]
    await terminal.#run(['new-session', '-d', ...words], env)
    return terminal
  }

  /** The lines of the screen, the blanks at their ends cut off. */
  async screen(): Promise<string[]> {
    const lines = (await this.#run(['capture-pane', '-p'])).split('\n').slice(0, -1)
    this.#lastScreen = lines.join('\n')
    return lines
  }

  /** Looks until the screen is so. @returns its lines. */
  async shows(what: string, isSo: (screen: string) => boolean, timeoutMs = 30_000): Promise<string[]> {
    let lines: string[] = []
    try {
      await until(
        what,
        async () => {
          lines = await this.screen()
          return isSo(lines.join('\n'))
        },
        timeoutMs,
      )
    } catch (error) {
      throw new Error(`${String(error)}; the screen:\n${this.#lastScreen}`)
    }
    return lines
  }

  /** @param keys as tmux names them: `q`, `C-c`. */
  async type(...keys: string[]): Promise<void> {
    await this.#run(['send-keys', ...keys])
  }

  async resize({ columns, rows }: Size): Promise<void> {
    await this.#run(['resize-window', '-x', String(columns), '-y', String(rows)])
  }

  /** What the terminal was told of itself; as it comes: no alternate screen, a cursor, and lines that wrap. */
  async modes(): Promise<string> {
    const text = await this.#run(['display', '-p', '#{alternate_on} #{cursor_flag} #{wrap_flag}'])
    const [alternate, cursor, wrap] = text.trim().split(' ')
    return `alternate ${alternate}, cursor ${cursor}, wrap ${wrap}`
  }

  /** Takes the terminal away, as a connection that breaks does. */
  async end(): Promise<void> {
    await this.#project.exec('tmux', [...this.#words(), 'kill-server'])
  }

  async #run(words: readonly string[], env: Record<string, string> = {}): Promise<string> {
    const result = await this.#project.exec('tmux', [...this.#words(), ...words], {
      env: { LC_ALL: 'C.UTF-8', ...env },
    })
    if (result.code !== 0) throw new Error(`tmux ${words.join(' ')}: ${result.stderr}`)
    return result.stdout
  }

  #words(): string[] {
    return ['-u', '-f', '/dev/null', '-S', this.#socket]
  }
}
