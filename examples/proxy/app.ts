/** Business code: loaded in each new worker, so a reload brings its changes. */
import type { RequestListener } from 'shiftwork'

export const app: RequestListener = (_request, response) => {
  response.end(`hello from ${process.pid}\n`)
}
