import { createServer, type AddressInfo } from 'node:net'
import { startSide } from './child.js'
import { childOptions } from './round.js'
import type { BenchContext } from './types.js'

export const secret = `whsec_${Buffer.from('waybill-benchmark-secret-of-32-b').toString('base64')}`
export const concurrency = 16

/** A receiver in a process of its own, until the bench ends; and the settings of a destination that sends to it. */
export async function startEndpoint(
  context: BenchContext,
): Promise<{ readonly url: string; readonly settings: object }> {
  const port = await freePort()
  const receiver = await startSide(childOptions(context, 'receiver', { port }))
  context.onEnd(() => receiver.kill())
  const url = `http://127.0.0.1:${port}/hook`
  return { url, settings: { url, secrets: [secret], concurrency, allowNetworks: ['127.0.0.0/8'] } }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
