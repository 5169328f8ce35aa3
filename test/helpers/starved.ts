/** Fleets with too few file descriptors, and code that eats those there are when it is told to. */
import { Client } from './client.ts'
import type { Project, Running } from './project.ts'

/** `start` in the foreground, with room for so many descriptors in each process; resolves when every worker serves. */
export async function startStarved(project: Project, descriptors: number): Promise<Running> {
  const { command, args } = project.commandFor('js')
  const words = ['-c', `ulimit -n ${descriptors} && exec "$0" "$@"`, command, ...args, 'start']
  const running = project.launch('/bin/sh', words)
  await running.line(/^ready in /m)
  return running
}

/** JavaScript: at SIGWINCH a process opens files until their numbers reach `upTo`, or none is left; at the next it closes them. */
export function eats(upTo: number): string {
  return `
const eaten = []
process.on('SIGWINCH', () => {
  if (eaten.length > 0) for (const descriptor of eaten.splice(0)) closeSync(descriptor)
  else try { while ((eaten.at(-1) ?? 0) < ${upTo}) eaten.push(openSync('/dev/null')) } catch {}
})`
}

/** Answers with its pid, \`/slow\` after 0.8 s; at SIGWINCH it has 11 descriptors left of 256. */
export const EATER = `
import { closeSync, openSync } from 'node:fs'
${eats(245)}
export function createApp() {
  return (request, response) => {
    const reply = () => response.end(JSON.stringify({ pid: process.pid, version: '1' }))
    if (request.url === '/slow') setTimeout(reply, 800)
    else reply()
  }
}
`

/** Connections that say nothing. */
export function silent(port: number, count: number): Promise<Client[]> {
  return Promise.all(Array.from({ length: count }, () => Client.open({ port })))
}

export function logLines(project: Project, pattern: RegExp): string[] {
  return project.log.split('\n').filter((line) => pattern.test(line))
}
