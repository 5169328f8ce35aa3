/** An Express application is a request listener: there is no app.listen, the worker's server calls it. */
import express from 'express'

export const app = express()

app.use(express.json())

app.get('/', (_request, response) => {
  response.json({ hello: 'express', pid: process.pid })
})

app.post('/echo', (request, response) => {
  response.json({ received: request.body })
})
