import { createServer } from 'node:net'
import { isDefaultSet } from './paths.js'

const handedOut = new Set<number>()

/** The standard port, if given, where it is free (in the default set of services), else a random free one. */
export async function pickPort(standard?: number): Promise<number> {
  if (standard !== undefined && isDefaultSet() && (await take(standard))) return standard
  for (let attempt = 0; attempt < 100; attempt++) {
    // Below the ephemeral range, so that no outgoing connection takes it before the service does.
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await take(port)) return port
  }
  throw new Error('no free TCP port found between 20000 and 32000')
}

async function take(port: number): Promise<boolean> {
  if (handedOut.has(port)) return false
  handedOut.add(port)
  return isFree(port)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    // All interfaces: a server on 0.0.0.0 or :: must count as taken too.
    server.listen(port, () => server.close(() => resolve(true)))
  })
}
