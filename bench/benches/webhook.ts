import { createServer, type AddressInfo } from 'node:net'
import { runSide, startSide } from '../lib/child.js'
import { fillLog } from '../lib/database.js'
import { childOptions, databaseSide, rate } from '../lib/round.js'
import type { Bench, Side } from '../lib/types.js'

const secret = `whsec_${Buffer.from('waybill-benchmark-secret-of-32-b').toString('base64')}`
const concurrency = 16

/** What Waybill adds to the requests' own cost. */
export const webhook: Bench = {
  name: 'webhook',
  unit: 'messages/s',
  about: 'from the log as signed POSTs, 16 at once, receipts kept, against undici alone with the same signature',
  rounds: 5,
  goals: [
    { side: 'waybill', than: 'undici', least: 0.7 },
    { side: 'waybill-no-receipts', than: 'undici', least: 0.7 },
  ],
  async sides(context) {
    const messages = context.options.messages ?? 20_000
    const port = await freePort()
    const receiver = await startSide(childOptions(context, 'receiver', { port }))
    context.onEnd(() => receiver.kill())
    const endpoint = `http://127.0.0.1:${port}/hook`
    const settings = { url: endpoint, secrets: [secret], concurrency, allowNetworks: ['127.0.0.0/8'] }
    const ours = (name: string, more: object): Side =>
      databaseSide(context, {
        name,
        side: 'deliver-waybill',
        schema: true,
        fill: (database) => fillLog(database, messages),
        input: () => ({ messages, kind: 'webhook', settings, ...more }),
      })
    return [
      ours('waybill', {}),
      ours('waybill-no-receipts', { receipts: false }),
      {
        name: 'undici',
        async run() {
          return rate(await runSide(childOptions(context, 'raw-webhook', { endpoint, secret, messages, concurrency })))
        },
      },
    ]
  },
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
