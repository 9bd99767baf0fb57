import { hostname } from 'node:os'
import type pg from 'pg'
import type { Adapter } from '../adapters/contract.js'
import { defaultRegistry } from '../adapters/default-registry.js'
import type { AdapterRegistry } from '../adapters/registry.js'
import {
  type Environment,
  fingerprintConfig,
  type ResolvedConfig,
  type ResolvedDestination,
  redact,
  resolveConfig,
  type WaybillConfig,
} from '../config/index.js'
import { systemClock, type Clock } from '../core/clock.js'
import { version } from '../core/version.js'
import { createPool, endPool } from '../db/pool.js'
import { Dispatcher } from '../dispatcher/dispatcher.js'
import type { ServedDestination } from '../dispatcher/served-destination.js'
import type { DispatcherHooks, LaneName } from '../dispatcher/hooks.js'
import { deploy, type Deployed, type Deployment, isDeployedAs } from '../outbox/configuration-store.js'
import { createLogger, guardLogger, type GivenLogger } from '../telemetry/logger.js'
import { requireSchema } from './database.js'

export interface CreateDispatcherOptions {
  /**
   * A pino logger, or anything alike. Default: JSON lines on standard output at the configured level. What it throws or
   * rejects with changes nothing, and is told once as a warning of the process (`WAYBILL_LOGGER_FAILED`).
   */
  readonly logger?: GivenLogger
  readonly hooks?: DispatcherHooks
  /** Stops the dispatcher, in two stages, when it aborts. */
  readonly signal?: AbortSignal
  readonly clock?: Clock
  /** Kinds of destination. Default: the four that Waybill brings. */
  readonly registry?: AdapterRegistry
  /** What `env('NAME')` reads. Default: the environment of the process. */
  readonly environment?: Environment
}

export type LaneState = ReturnType<Dispatcher['lanes']>[number]

/** A dispatcher with everything it needs. It connects to nothing before `start`. */
export interface DispatcherService extends AsyncDisposable {
  /** Writes the configuration down, takes its share of lanes, and delivers. Safe to call twice. */
  start(): Promise<Deployed>
  /**
   * Two stages: waits for what is under way up to `drainMs` (default: as configured), then aborts it. Safe to call twice:
   * called again with a `drainMs` that ends sooner, it waits no longer than that.
   */
  stop(options?: { readonly drainMs?: number }): Promise<void>
  /** Resolves when everything committed before the call is delivered, or parked. */
  drain(signal?: AbortSignal): Promise<void>
  readonly id: string | undefined
  /** The last heartbeat went through in time. */
  readonly healthy: boolean
  readonly asleep: boolean
  /** How often scheduled messages could not be moved into the log; the log has the reason. */
  readonly stagingFailures: number
  lanes(): LaneState[]
  readonly name: string
  /** Its own sessions; for reading the state of the lanes. */
  readonly pool: pg.Pool
}

export type { LaneName }

/**
 * Builds a dispatcher from a configuration.
 *
 * @throws InputError `WAYBILL_CONFIG_INVALID` with every problem of the configuration.
 */
export function createDispatcher(
  config: WaybillConfig | ResolvedConfig,
  options: CreateDispatcherOptions = {},
): DispatcherService {
  const resolved = isResolved(config) ? config : resolveConfig(config, options.environment ?? process.env)
  return new Service(resolved, options)
}

function standbyOf(durability: ResolvedConfig['dispatcher']['durability']): string | undefined {
  return durability === 'local' ? undefined : durability.replicated
}

function isResolved(config: WaybillConfig | ResolvedConfig): config is ResolvedConfig {
  return 'warnings' in config && Array.isArray(config.routes)
}

class Service implements DispatcherService {
  readonly name: string
  readonly pool: pg.Pool
  readonly #config: ResolvedConfig
  readonly #options: CreateDispatcherOptions
  readonly #logger: ReturnType<typeof guardLogger>
  readonly #adapters: Adapter[] = []
  #dispatcher: Dispatcher | undefined
  #starting: Promise<Deployed> | undefined
  #stopping: Promise<void> | undefined
  #drainMs: number

  constructor(config: ResolvedConfig, options: CreateDispatcherOptions) {
    this.#config = config
    this.#options = options
    this.#drainMs = config.dispatcher.drainMs
    this.#logger = guardLogger(options.logger ?? createLogger({ level: config.log.level }))
    this.name = config.dispatcher.name ?? `${hostname()}:${process.pid}`
    this.pool = createPool({
      connectionString: config.database.url.reveal(),
      max: config.database.poolSize,
      applicationName: 'waybill dispatcher',
      onError: (error) => this.#logger.warn({ err: error }, 'an idle connection was lost'),
    })
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  get id(): string | undefined {
    return this.#dispatcher?.id
  }

  get healthy(): boolean {
    return this.#dispatcher?.healthy ?? false
  }

  get asleep(): boolean {
    return this.#dispatcher?.asleep ?? false
  }

  get stagingFailures(): number {
    return this.#dispatcher?.stagingFailures ?? 0
  }

  lanes(): LaneState[] {
    return this.#dispatcher?.lanes() ?? []
  }

  start(): Promise<Deployed> {
    this.#starting ??= this.#startOnce()
    return this.#starting
  }

  async drain(signal?: AbortSignal): Promise<void> {
    await this.start()
    await this.#dispatcher?.drain(signal)
  }

  stop({ drainMs }: { readonly drainMs?: number } = {}): Promise<void> {
    if (drainMs !== undefined) {
      this.#drainMs = this.#stopping ? Math.min(drainMs, this.#drainMs) : drainMs
      if (this.#stopping) void this.#dispatcher?.stop({ drainMs }) // the same promise that is waited for below
    }
    this.#stopping ??= this.#stopOnce()
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  readonly #onAbort = (): void => {
    this.stop().catch((error: unknown) => this.#logger.error({ err: error }, 'could not stop cleanly'))
  }

  async #startOnce(): Promise<Deployed> {
    const config = this.#config
    await requireSchema(this.pool)
    const patternsOf = (name: string): string[] =>
      config.routes.filter((route) => route.destinations.includes(name)).map((route) => route.pattern)
    const registry = this.#options.registry ?? defaultRegistry()
    const served = config.destinations.map((d) => this.#serve(d, patternsOf(d.name), registry))
    const shown = redact(config) as { destinations?: readonly { name: string; settings?: unknown }[] }
    const deployment: Deployment = {
      fingerprint: fingerprintConfig(config),
      generation: config.generation,
      destinations: config.destinations.map((d) => ({
        name: d.name,
        kind: d.kind,
        settings: shown.destinations?.find((s) => s.name === d.name)?.settings ?? {},
        shards: d.delivery.shards,
        order: d.delivery.order,
        onDead: d.delivery.onDead,
        from: d.delivery.from,
        patterns: patternsOf(d.name),
      })),
    }
    const deployed = await deploy(this.pool, deployment)
    this.#tell(deployed)
    this.#dispatcher = new Dispatcher({
      pool: this.pool,
      listenUrl: this.#listenUrl(),
      name: this.name,
      version,
      generation: deployed.generation,
      leaseMs: config.dispatcher.leaseMs,
      pageSize: config.dispatcher.pageSize,
      redeploy: () => deploy(this.pool, { ...deployment, supersedes: true }),
      isOurs: (generation) => isDeployedAs(this.pool, deployment.fingerprint, generation),
      standby: standbyOf(config.dispatcher.durability),
      destinations: served,
      clock: this.#options.clock ?? systemClock,
      logger: this.#logger,
      hooks: this.#options.hooks ?? {},
      maintenance: config.dispatcher.maintenance
        ? { retentionMs: config.retentionMs, ...(config.maxHoldMs !== undefined && { maxHoldMs: config.maxHoldMs }) }
        : undefined,
    })
    await this.#dispatcher.start()
    return deployed
  }

  #serve(d: ResolvedDestination, patterns: readonly string[], registry: AdapterRegistry): ServedDestination {
    const factory = registry.get(d.kind)
    const adapter = factory.create(d.settings, {
      destination: d.name,
      logger: this.#logger.child({ destination: d.name }),
    })
    this.#adapters.push(adapter)
    const settings = { ...d.delivery, receipts: d.delivery.receipts ?? factory.receiptsByDefault }
    return { name: d.name, adapter, patterns, settings }
  }

  #listenUrl(): string | undefined {
    const { database, dispatcher } = this.#config
    return dispatcher.listen ? (database.directUrl ?? database.url).reveal() : undefined
  }

  #tell({ stale, generation, added, changed, orphaned, resharding, rebased }: Deployed): void {
    for (const { path, message } of this.#config.warnings) this.#logger.warn({ path }, message)
    if (stale) this.#logger.warn({ generation }, 'a newer configuration is deployed: this one is not written down')
    if (rebased) {
      this.#logger.warn(
        { ...rebased },
        'the database was restored or switched over: lanes find their way from there (docs/operations.md)',
      )
    }
    for (const destination of changed)
      this.#logger.info({ destination }, 'its routes or its order changed: its lanes change over at a barrier')
    for (const destination of resharding) this.#logger.info({ destination }, 'on its way to another number of shards')
    for (const destination of added) this.#logger.info({ destination }, 'destination added')
    for (const destination of orphaned) {
      this.#logger.warn(
        { destination },
        'no longer configured: its lanes wait; "waybill destinations remove" ends them',
      )
    }
  }

  async #stopOnce(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    await this.#starting?.catch(() => undefined)
    await this.#dispatcher?.stop({ drainMs: this.#drainMs })
    await Promise.all(this.#adapters.map((adapter) => adapter.close()))
    await endPool(this.pool)
  }
}
