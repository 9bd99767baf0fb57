import { runSide } from '../lib/child.js'
import { fillLog } from '../lib/database.js'
import { childOptions, databaseSide, rate } from '../lib/round.js'
import type { Bench, Side } from '../lib/types.js'
import { concurrency, secret, startEndpoint } from '../lib/webhook-endpoint.js'

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
    const { url: endpoint, settings } = await startEndpoint(context)
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
