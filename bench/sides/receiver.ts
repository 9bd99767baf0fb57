import { createServer } from 'node:http'
import { serveSide } from '../lib/side.js'

/** An endpoint that reads a request whole and answers 204 at once. */
await serveSide<{ port: number }>(async ({ port }) => {
  const server = createServer((request, response) => {
    request.resume()
    request.once('end', () => {
      response.writeHead(204)
      response.end()
    })
  })
  server.keepAliveTimeout = 0
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return { run: () => new Promise(() => undefined) }
})
