/** The short form of `npm run soak`: what a master holds after many reloads. Group E. */
import { expect, it } from 'vitest'
import { descriptorsOf, emptyStart, heaps, reloadOnce, startMeasured } from '../helpers/leaks.ts'
import { Project } from '../helpers/project.ts'

const LOOKS = [20, 40, 60]
/**
 * Between reloads 20 and 60, a leak of 10 KB a reload was measured as 444 KB (Node 20) and 484 KB (Node 24);
 * without one the heap grew by 31 and 73 KB, most of it what the engine learns of code that has run often.
 */
const BOUND_BYTES = 200 * 1024

it('E10 E11 after 20, 40 and 60 reloads the master holds the same descriptors, and its heap has not grown', {
  timeout: 400_000,
}, async () => {
  const project = Project.create({ 'start.js': emptyStart() })
  const { pid } = await startMeasured(project)
  // what it needs for an answer it has before its heap is looked at
  await descriptorsOf(pid, project)
  const descriptors: number[] = []
  for (let reload = 1; reload <= 60; reload++) {
    const { result, error } = await reloadOnce(project)
    expect({ reload, result, error }).toEqual({ reload, result: 'done', error: null })
    if (LOOKS.includes(reload)) descriptors.push(await descriptorsOf(pid, project))
  }
  expect(new Set(descriptors).size, descriptors.join()).toBe(1)
  const [at20 = 0, , at60 = Number.POSITIVE_INFINITY] = LOOKS.map((look) => heaps(project)[look - 1])
  expect(at60 - at20).toBeLessThan(BOUND_BYTES)
})
