import type pg from 'pg'
import type { Adapter, Capabilities, DeliverContext, Outcome, OutboundMessage } from '../../src/adapters/contract.js'
import { systemClock, type Clock } from '../../src/core/clock.js'
import type { DeliverySettings } from '../../src/core/delivery-settings.js'
import { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import type { ServedDestination } from '../../src/dispatcher/served-destination.js'
import type { DispatcherHooks, DispatcherLogger } from '../../src/dispatcher/hooks.js'
import { deploy, type Deployment, isDeployedAs } from '../../src/outbox/configuration-store.js'
import { createLogger, silentLogger } from '../../src/telemetry/logger.js'

/** An adapter whose answers a test decides; it records what was handed to it, in order. */
export class ScriptedAdapter implements Adapter {
  readonly kind = 'scripted'
  readonly capabilities: Capabilities
  readonly delivered: OutboundMessage[] = []
  readonly attempts: OutboundMessage[] = []
  answer: (message: OutboundMessage, context: DeliverContext) => Outcome | undefined | Promise<Outcome | undefined> =
    () => ({
      kind: 'delivered',
    })

  constructor(capabilities: Partial<Capabilities> = {}) {
    this.capabilities = { ordered: false, maxBatch: 100, concurrency: 4, transactional: false, ...capabilities }
  }

  async deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
    await Promise.all(
      batch.map(async (message, index) => {
        this.attempts.push(message)
        const outcome = await this.answer(message, context)
        if (!outcome) return
        if (outcome.kind === 'delivered') this.delivered.push(message)
        context.settle(index, outcome)
      }),
    )
  }

  async close(): Promise<void> {}

  ids(): string[] {
    return this.delivered.map((m) => m.id)
  }
}

export const testSettings: DeliverySettings = {
  shards: 1,
  order: 'key',
  onDead: 'hold',
  maxAttempts: 3,
  backoff: { baseMs: 20, capMs: 200 },
  probe: { baseMs: 20, capMs: 200 },
  window: 500,
  slowAfterMs: 2000,
  maxParked: 1000,
  receipts: false,
  from: 'earliest',
}

export interface TestDispatcherOptions {
  readonly pool: pg.Pool
  readonly destinations: Record<string, { adapter: Adapter; patterns?: string[]; settings?: Partial<DeliverySettings> }>
  readonly listenUrl?: string
  readonly leaseMs?: number
  readonly pageSize?: number
  readonly clock?: Clock
  readonly hooks?: DispatcherHooks
  readonly fingerprint?: string
  readonly generation?: number
  readonly logger?: DispatcherLogger
  /** Name of a stand-by that must have flushed what is sent. */
  readonly standby?: string
  /** Deploys its configuration again where no dispatcher of a newer one is left. Default false. */
  readonly redeploys?: boolean
}

/** Deploys a configuration and starts a dispatcher on it. Stop it yourself. */
export async function startDispatcher(options: TestDispatcherOptions): Promise<Dispatcher> {
  const dispatcher = await makeDispatcher(options)
  await dispatcher.start()
  return dispatcher
}

/** Deploys a configuration; the dispatcher for it is yours to start. */
export async function makeDispatcher(options: TestDispatcherOptions): Promise<Dispatcher> {
  const served: ServedDestination[] = Object.entries(options.destinations).map(([name, d]) => ({
    name,
    adapter: d.adapter,
    patterns: d.patterns ?? ['**'],
    settings: { ...testSettings, ...d.settings },
  }))
  const deployment: Deployment = {
    fingerprint: options.fingerprint ?? served.map((s) => `${s.name}:${s.patterns.join()}`).join(';'),
    generation: options.generation,
    destinations: served.map((s) => ({
      name: s.name,
      kind: s.adapter.kind,
      settings: {},
      shards: s.settings.shards,
      order: s.settings.order,
      onDead: s.settings.onDead,
      from: s.settings.from,
      patterns: s.patterns,
    })),
  }
  const { generation } = await deploy(options.pool, deployment)
  return new Dispatcher({
    pool: options.pool,
    listenUrl: options.listenUrl,
    name: 'test',
    version: '0.0.0',
    generation,
    leaseMs: options.leaseMs ?? 15_000,
    pageSize: options.pageSize ?? 100,
    standby: options.standby,
    isOurs: (generation) => isDeployedAs(options.pool, deployment.fingerprint, generation),
    redeploy: options.redeploys ? () => deploy(options.pool, { ...deployment, supersedes: true }) : undefined,
    destinations: served,
    clock: options.clock ?? systemClock,
    logger: options.logger ?? (process.env['WAYBILL_TEST_LOG'] ? createLogger({ level: 'debug' }) : silentLogger),
    hooks: options.hooks ?? {},
  })
}

/** Publishes through SQL; resolves to the id. */
export async function publish(
  db: Pick<pg.Pool, 'query'>,
  topic: string,
  payload: unknown,
  options: { key?: string | null; headers?: Record<string, string>; id?: string; to?: string[] } = {},
): Promise<string> {
  const { rows } = await db.query<{ id: string }>(
    `select waybill.publish($1::text, $2::json, key => $3::text, headers => $4::json, id => $5::uuid, destinations => $6::text[]) as id`,
    [
      topic,
      JSON.stringify(payload),
      options.key ?? null,
      options.headers ? JSON.stringify(options.headers) : null,
      options.id ?? null,
      options.to ?? null,
    ],
  )
  return rows[0]?.id as string
}
