import { type Adapter } from '../../src/adapters/contract.js'
import { deliverySettings } from '../../src/config/destinations/delivery.js'
import { systemClock } from '../../src/core/clock.js'
import { type DeliverySettings } from '../../src/core/delivery-settings.js'
import { createPool } from '../../src/db/pool.js'
import { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import { type ServedDestination } from '../../src/dispatcher/served-destination.js'
import { type DispatcherHooks } from '../../src/dispatcher/hooks.js'
import { deploy } from '../../src/outbox/configuration-store.js'

export interface DispatchOptions {
  readonly url: string
  readonly destinations: Readonly<Record<string, Adapter>>
  readonly settings?: Partial<DeliverySettings>
  readonly hooks?: DispatcherHooks
  readonly leaseMs?: number
}

/** The defaults that a configuration file has. */
export const defaultSettings: DeliverySettings = { ...deliverySettings.parse({}), receipts: false, from: 'earliest' }
const defaultPageSize = 1000
const defaultPoolSize = 10

const complain = (fields: object, message?: string): void => console.error(message, fields)
const logger = { debug: () => undefined, info: () => undefined, warn: complain, error: complain }

/** A dispatcher as the service runs it, with the defaults of a configuration, for adapters of one's own. */
export async function dispatch(options: DispatchOptions): Promise<{ dispatcher: Dispatcher; stop(): Promise<void> }> {
  const pool = createPool({
    connectionString: options.url,
    max: defaultPoolSize,
    applicationName: 'waybill dispatcher',
  })
  const served: ServedDestination[] = Object.entries(options.destinations).map(([name, adapter]) => ({
    name,
    adapter,
    patterns: ['order.*'],
    settings: { ...defaultSettings, ...options.settings },
  }))
  const { generation } = await deploy(pool, {
    fingerprint: 'bench',
    generation: undefined,
    destinations: served.map(({ name, adapter, patterns, settings }) => ({
      name,
      kind: adapter.kind,
      settings: {},
      shards: settings.shards,
      order: settings.order,
      onDead: settings.onDead,
      from: settings.from,
      patterns,
    })),
  })
  const dispatcher = new Dispatcher({
    pool,
    listenUrl: options.url,
    name: 'bench',
    version: '0.0.0',
    generation,
    leaseMs: options.leaseMs ?? 15_000,
    pageSize: defaultPageSize,
    destinations: served,
    clock: systemClock,
    logger,
    hooks: options.hooks ?? {},
  })
  return {
    dispatcher,
    async stop() {
      await dispatcher.stop()
      await pool.end()
    },
  }
}

/** Delivers nowhere, at once: what is left is the reading and the committing. */
export const noopAdapter: Adapter = {
  kind: 'noop',
  capabilities: { ordered: true, maxBatch: 1000, concurrency: 1, transactional: false },
  async deliver(batch, { settle }) {
    for (let i = 0; i < batch.length; i++) settle(i, delivered)
  },
  async close() {},
}

const delivered = { kind: 'delivered' } as const
