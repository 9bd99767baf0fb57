/** The package's root: publishing. Importing it loads no driver, ORM, broker client or schema library. */
export { InputError, WaybillError, type ErrorCode, type Problem } from './core/errors.js'
export { Queue } from './queue-facade/queue.js'
export { rawJson, type RawJson } from './queue-facade/raw-json.js'
export {
  defineTopics,
  type AnyTopics,
  type JsonLike,
  type PayloadOf,
  type StoredPayloadOf,
  type TopicMap,
  type TopicOf,
} from './queue-facade/topics.js'
export {
  type Message,
  type MessageOptions,
  type PublishOptions,
  type PublishPool,
  type QueueOptions,
  type TransactionOption,
} from './queue-facade/options.js'
export { type PrismaTransaction, type QueryTransaction, type Transaction } from './queue-facade/transaction.js'
