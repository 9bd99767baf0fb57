import type { CreateDispatcherOptions } from '../app/index.js'
import type { ResolvedConfig, WaybillConfig } from '../config/index.js'
import type { QueueOptions } from '../queue-facade/options.js'
import type { Queue } from '../queue-facade/queue.js'
import type { AnyTopics, TopicMap } from '../queue-facade/topics.js'

/**
 * For the application to add its topics to, so that `app.waybill` knows them everywhere:
 *
 * ```ts
 * declare module 'waybill/fastify' {
 *   interface WaybillTypes {
 *     topics: typeof topics
 *   }
 * }
 * ```
 *
 * Until it does, any topic and any JSON can be published.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- filled in by the application
export interface WaybillTypes {}

/** The topics that the application declared. */
export type RegisteredTopics = TopicsIn<WaybillTypes>

type TopicsIn<Types> = Types extends { readonly topics: infer Topics extends TopicMap } ? Topics : AnyTopics
/** Topics that were declared have to be given too: a type checks nothing at run time. */
type TopicsGiven<Types> = Types extends { readonly topics: infer Topics } ? { readonly topics: Topics } : unknown

/** A dispatcher in the application's own process (docs/in-process.md says what that costs). */
export interface InProcessDispatcher extends Pick<CreateDispatcherOptions, 'hooks' | 'registry' | 'environment'> {
  /** What `loadConfig` gave, or what `defineConfig` gave. */
  readonly config: ResolvedConfig | WaybillConfig
  /** Milliseconds that `app.close()` waits for what is being delivered, before it aborts that. Default: as configured. */
  readonly drainMs?: number | undefined
}

interface WithDispatcher {
  /** Run a dispatcher in this process: started when the application is ready, stopped when it closes. Default: none. */
  readonly dispatcher?: InProcessDispatcher | undefined
}

/** A queue of the application's own, which closes it itself. */
export interface GivenQueue extends WithDispatcher {
  readonly queue: Queue<RegisteredTopics>
}

/** What a queue is made with; `app.close()` closes it. */
export type MadeQueue = QueueOptions<RegisteredTopics> &
  TopicsGiven<WaybillTypes> &
  WithDispatcher & { readonly queue?: undefined }

export type WaybillFastifyOptions = GivenQueue | MadeQueue
