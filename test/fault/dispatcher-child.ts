/** A dispatcher in a process of its own, to be killed or frozen. `WAYBILL_CHILD`: JSON of { url, receiver, leaseMs, shards }. */
import { createDispatcher } from '../../src/app/index.js'
import { webhook } from '../../src/config/index.js'
import { silentLogger } from '../../src/telemetry/logger.js'

interface ChildSettings {
  readonly url: string
  readonly receiver: string
  readonly leaseMs: number
  readonly shards: number
}

const settings = JSON.parse(process.env['WAYBILL_CHILD'] ?? '') as ChildSettings
const dispatcher = createDispatcher(
  {
    database: { url: settings.url },
    destinations: {
      crm: webhook({
        url: settings.receiver,
        allowNetworks: ['127.0.0.0/8'],
        concurrency: 8,
        shards: settings.shards,
        window: 200,
        probe: { base: 50, cap: 200 },
      }),
    },
    routes: { '**': 'crm' },
    dispatcher: { leaseMs: settings.leaseMs, pageSize: 100 },
  },
  { logger: silentLogger },
)
process.on('SIGTERM', () => void dispatcher.stop().then(() => process.exit(0)))
await dispatcher.start()
console.log(JSON.stringify({ started: true }))
