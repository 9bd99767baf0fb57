import type { ConfigurableModuleAsyncOptions, ConfigurableModuleOptionsFactory } from '@nestjs/common'
import type { CreateDispatcherOptions } from '../app/create-dispatcher.js'
import type { ResolvedConfig, WaybillConfig } from '../config/index.js'
import type { JobPool, QueueOptions as JobQueueOptions, StopOptions, WorkerOptions } from '../jobs/types.js'
import type { PublishPool, QueueOptions } from '../queue-facade/options.js'
import type { TopicMap } from '../queue-facade/topics.js'
import type { Logger } from '../telemetry/logger.js'

/** A pool of the application's, which stays open; a `pg.Pool` is one. */
export type WaybillPool = PublishPool & JobPool

/** What the module is made of: the options of `Queue`, and what else runs in this process. */
export interface WaybillModuleOptions extends Omit<QueueOptions<TopicMap>, 'pool'> {
  /** For the worker, and for what is published with `tx: null`. Excludes `connectionString`. */
  readonly pool?: WaybillPool | undefined
  /** Run a dispatcher in this process. Default: none; one runs elsewhere. */
  readonly dispatcher?: WaybillDispatcherOptions | undefined
  /**
   * Perform jobs in this process, with the methods that `@OnMessage` stands on. Needs `pool` or `connectionString`.
   * Default: none; the methods are checked all the same.
   */
  readonly worker?: WaybillWorkerOptions | undefined
  /** A pino logger, or anything alike, for the dispatcher and the worker. Default: Nest's own, with the context `Waybill`. */
  readonly logger?: Logger | undefined
}

export interface WaybillDispatcherOptions extends Pick<CreateDispatcherOptions, 'hooks'> {
  /**
   * What `defineConfig` or `loadConfig` gave; the module's `connectionString` stands in for `database.url` where a
   * `defineConfig` has none. Default: the file that `waybill dispatch` would read.
   */
  readonly config?: WaybillConfig | ResolvedConfig | undefined
  /** How long a shutdown waits for deliveries under way. Milliseconds; default: the configuration's (30,000). */
  readonly drainMs?: number | undefined
}

type WorkerSetting = 'leaseMs' | 'pollMs' | 'listenUrl' | 'backoff' | 'retentionMs' | 'name'

/** Settings of a worker of `waybill/jobs`, and how it stops. */
export interface WaybillWorkerOptions extends Pick<WorkerOptions, WorkerSetting>, StopOptions {
  /**
   * Only these queues are worked on in this process, and their `concurrency` goes before that of `@OnMessage`. Default:
   * every queue that an `@OnMessage` names.
   */
  readonly queues?: Readonly<Record<string, JobQueueOptions>>
}

/** What Nest has to know before the options are made: given to `forRoot` and `forRootAsync` themselves. */
export interface WaybillModuleExtras {
  /** Every module may inject the queue without importing this one. Default false. */
  readonly isGlobal?: boolean | undefined
  /** Tells modules of several databases apart: `@InjectQueue('billing')`. Default: none. */
  readonly name?: string | undefined
}

export type WaybillModuleAsyncOptions = ConfigurableModuleAsyncOptions<WaybillModuleOptions, 'createWaybillOptions'> &
  WaybillModuleExtras

/** What a class given as `useClass` or `useExisting` has: `createWaybillOptions()`. */
export type WaybillOptionsFactory = ConfigurableModuleOptionsFactory<WaybillModuleOptions, 'createWaybillOptions'>
