/** One of the dispatchers of the proof. `WAYBILL_PROOF`: JSON of `DispatcherSettings`. */
import { createInterface } from 'node:readline'
import { setImmediate } from 'node:timers/promises'
import { createDispatcher } from '../../src/app/index.js'
import { jobs, kafka, rabbitmq, webhook } from '../../src/config/index.js'
import { createLogger } from '../../src/telemetry/logger.js'
import type { DispatcherSettings } from './fleet.js'

// a parsed map of each file that an error came from would look like growth
process.setSourceMapsEnabled(false)
const settings = JSON.parse(process.env['WAYBILL_PROOF'] ?? '') as DispatcherSettings
const { shards, window } = settings
// nothing is given up, and nothing waits for long: the proof ends when all is delivered
const patience = {
  ...{ shards, window, maxAttempts: 1000 },
  backoff: { base: '50ms', cap: '1s' },
  probe: { base: '100ms', cap: '1s' },
}
const dispatcher = createDispatcher(
  {
    database: { url: settings.databaseUrl },
    destinations: {
      crm: webhook({
        ...patience,
        ...{ url: settings.webhookUrl, allowNetworks: ['127.0.0.0/8'], concurrency: 8, timeoutMs: 2000 },
      }),
      bus: rabbitmq({
        ...patience,
        ...{ url: settings.amqpUrl, exchange: '', routingKey: settings.queue, confirmTimeout: '3s', heartbeat: '2s' },
      }),
      lake: kafka({
        ...patience,
        ...{
          brokers: [...settings.brokers],
          topic: settings.kafkaTopic,
          requestTimeout: '3s',
          connectionTimeout: '2s',
        },
      }),
      work: jobs({ ...patience, queue: 'proof' }),
    },
    routes: { '**': ['crm', 'bus', 'lake', 'work'] },
    dispatcher: { leaseMs: settings.leaseMs, pageSize: 100, maintenance: settings.maintenance },
  },
  { logger: createLogger({ level: 'warn' }) },
)
// a terminal's Ctrl-C comes here too; the proof ends its dispatchers itself, and they end with it
process.on('SIGINT', () => undefined)
createInterface({ input: process.stdin })
  .on('line', (line) => void tellMemory((JSON.parse(line) as { ask: number }).ask))
  .on('close', () => process.exit(1))
process.on('SIGTERM', () => void dispatcher.stop().then(() => process.exit(0)))
await dispatcher.start()
console.log(JSON.stringify({ started: true }))

async function tellMemory(ask: number): Promise<void> {
  // what the first round finalizes, the second can collect
  for (let round = 0; round < 2; round++) {
    globalThis.gc?.()
    await setImmediate()
  }
  console.log(JSON.stringify({ ask, memory: process.memoryUsage() }))
}
