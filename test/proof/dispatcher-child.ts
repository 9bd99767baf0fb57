/** One of the dispatchers of the proof. `WAYBILL_PROOF`: JSON of `DispatcherSettings`. */
import dns from 'node:dns'
import { createInterface } from 'node:readline'
import { setImmediate } from 'node:timers/promises'
import { createDispatcher } from '../../src/app/index.js'
import type { DeliveryOptions } from '../../src/config/destinations/delivery.js'
import { type DestinationConfig, jobs, kafka, rabbitmq, webhook } from '../../src/config/index.js'
import { createLogger } from '../../src/telemetry/logger.js'
import type { DispatcherSettings } from './fleet.js'

// a parsed map of each file that an error came from would look like growth
process.setSourceMapsEnabled(false)
const settings = JSON.parse(process.env['WAYBILL_PROOF'] ?? '') as DispatcherSettings
const { shards, window } = settings
dns.setServers([settings.nameServer])
// nothing is given up, and nothing waits for long: the proof ends when all is delivered
const patience = {
  ...{ shards, window, maxAttempts: 1000 },
  backoff: { base: '50ms', cap: '1s' },
  probe: { base: '100ms', cap: '1s' },
}
const { wants, options = {}, hosts = {}, generation, jobMaxAttempts } = settings.configuration
const optionsOf = (name: string): DeliveryOptions => ({ ...patience, ...options[name] })
const routes: Record<string, string[]> = {}
for (const [name, patterns] of Object.entries(wants)) {
  for (const pattern of patterns) (routes[pattern] ??= []).push(name)
}
const dispatcher = createDispatcher(
  {
    database: { url: settings.databaseUrl },
    generation,
    destinations: Object.fromEntries(Object.keys(wants).map((name) => [name, destination(name)])),
    routes,
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

function destination(name: string): DestinationConfig {
  const delivery = optionsOf(name)
  if (name === 'work') return jobs({ ...delivery, queue: 'proof', jobMaxAttempts })
  if (name === 'bus') {
    const { amqpUrl: url, queue: key } = settings
    return rabbitmq({ ...delivery, url, exchange: '', routingKey: key, confirmTimeout: '3s', heartbeat: '2s' })
  }
  if (name === 'lake') {
    const where = { brokers: [...settings.brokers], topic: settings.kafkaTopic }
    return kafka({ ...delivery, ...where, requestTimeout: '3s', connectionTimeout: '2s' })
  }
  const url = new URL(name, settings.webhookUrl)
  url.hostname = hosts[name] ?? url.hostname
  return webhook({ ...delivery, url: url.href, allowNetworks: ['127.0.0.0/8'], concurrency: 8, timeoutMs: 2000 })
}
