/** One worker on `http://` that these lines set up: the shortest start file there is. */
import { Project, type Running } from './project.ts'

export interface Web {
  readonly project: Project
  readonly running: Running
  readonly target: { port: number }
}

/** @param setUp code in which `worker` is the group, or its process. @param files more files of the project. */
export async function startWeb(
  setUp: string,
  { options = {}, files = {} }: { options?: Record<string, unknown>; files?: Record<string, string> } = {},
): Promise<Web> {
  const start = `
import { setCookie, Worker } from 'shiftwork'
const worker = new Worker('http://127.0.0.1:0', ${JSON.stringify({ name: 'web', bakeMs: 50, ...options })})
${setUp}
Worker.runAll()
`
  const project = Project.create({ ...files, 'start.js': start })
  const running = await project.start()
  return { project, running, target: { port: await project.port() } }
}
