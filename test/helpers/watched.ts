/** A project whose master watches its files: what it tells of changes, and how its reloads end. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { app, webStart } from './apps.ts'
import { until } from './processes.ts'
import { Project, type Running } from './project.ts'

/** A project that watches, and what its log has told of changes and reloads. */
export class Watched {
  readonly project: Project
  readonly running: Running
  #seen = 0

  private constructor(project: Project, running: Running) {
    this.project = project
    this.running = running
  }

  static async start(
    files: Record<string, string>,
    how: { startFile?: string; flavour?: 'tsx-import' } = {},
  ): Promise<Watched> {
    const options = how.startFile === undefined ? {} : { startFile: how.startFile }
    const project = Project.create({ 'start.js': webStart(), 'app.js': app('1'), ...files }, options)
    return new Watched(project, await project.start(how.flavour ?? 'js', ['--watch']))
  }

  at(name: string): string {
    return join(this.project.dir, name)
  }

  /** As careful editors do: at no moment is the file half written, so it is one change. */
  save(name: string, text: string): void {
    this.project.write(`${name}.tmp`, text)
    renameSync(this.at(`${name}.tmp`), this.at(name))
  }

  /** What was told to have changed, a burst each, since the last call. */
  changes(): string[] {
    const all = [...this.running.stdout.matchAll(/^\S+ (.*) changed: reload$/gm)].map((match) => match[1] ?? '')
    const fresh = all.slice(this.#seen)
    this.#seen = all.length
    return fresh
  }

  get reloads(): number {
    return this.running.stdout.match(/ reload of /g)?.length ?? 0
  }

  get ends(): number {
    return this.running.stdout.match(/ reload (done|rejected) after /g)?.length ?? 0
  }

  /** Until so many reloads have ended. */
  async ended(count: number): Promise<void> {
    await until(`${count} reloads have ended`, () => this.ends >= count, 30_000)
  }

  /** Does something, and waits until this file is told to have changed. */
  async tells(file: string, act: () => void): Promise<void> {
    const before = this.running.stdout.length
    act()
    const line = new RegExp(`^\\S+ ${file}( and \\d+ more)? changed: reload$`, 'm')
    await until(`${file} is told`, () => line.test(this.running.stdout.slice(before)), 30_000)
  }

  /**
   * Writes one more file, which is told before all others of its burst, and waits for its reload: what
   * was not told by then never is. Returns what was told besides it since the last look.
   */
  async settle(): Promise<string[]> {
    const name = `!${this.reloads}.js`
    writeFileSync(this.at(name), '')
    await this.running.line(new RegExp(`${name}( and \\d+ more)? changed: reload\n[\\s\\S]* reload of `))
    await until('every reload has ended', () => this.ends === this.reloads, 30_000)
    return this.changes().filter((files) => files !== name)
  }
}
