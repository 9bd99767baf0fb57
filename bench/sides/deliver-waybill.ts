import { defaultRegistry } from '../../src/adapters/default-registry.js'
import { kafkaSettings } from '../../src/config/destinations/kafka.js'
import { rabbitmqSettings } from '../../src/config/destinations/rabbitmq.js'
import { webhookSettings } from '../../src/config/destinations/webhook.js'
import { meterDatabase } from '../lib/database-cpu.js'
import { serveSide } from '../lib/side.js'
import { dispatch } from '../lib/waybill.js'

interface Input {
  readonly url: string
  readonly messages: number
  readonly kind: 'rabbitmq' | 'kafka' | 'webhook'
  /** As a configuration file has them. */
  readonly settings: object
  /** Default: as the kind of destination has it. */
  readonly receipts?: boolean
  /** Lanes of the destination. Default 1. */
  readonly shards?: number
}

const schemas = { rabbitmq: rabbitmqSettings, kafka: kafkaSettings, webhook: webhookSettings }
const complain = (fields: object, message?: string): void => console.error(message, fields)
const logger = { debug: () => undefined, info: () => undefined, warn: complain, error: complain }

/** From the log through a dispatcher to the real server, with the defaults of a configuration. */
await serveSide<Input>(async ({ url, messages, kind, settings, receipts, shards = 1 }) => {
  const factory = defaultRegistry().get(kind)
  const adapter = factory.create(schemas[kind].parse(settings), { destination: 'target', logger })
  let committed = 0
  let done: () => void = () => undefined
  const all = new Promise<void>((resolve) => (done = resolve))
  const { dispatcher, stop } = await dispatch({
    url,
    destinations: { target: adapter },
    settings: { receipts: receipts ?? factory.receiptsByDefault, shards },
    hooks: {
      onDelivered(_lane, count) {
        committed += count
        if (committed >= messages) done()
      },
    },
  })
  return {
    databaseCpu: await meterDatabase(url),
    async run() {
      await dispatcher.start()
      await all
      return { messages: committed }
    },
    async close() {
      await stop()
      await adapter.close()
    },
  }
})
