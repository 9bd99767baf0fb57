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
export { type Transaction } from './queue-facade/transaction.js'
export { type DrizzleTransaction } from './queue-facade/transactions/drizzle.js'
export { type KnexTransaction } from './queue-facade/transactions/knex.js'
export { type KyselyTransaction } from './queue-facade/transactions/kysely.js'
export { type MikroOrmTransaction } from './queue-facade/transactions/mikro-orm.js'
export { type PostgresJsTransaction } from './queue-facade/transactions/postgres-js.js'
export { type PrismaTransaction } from './queue-facade/transactions/prisma.js'
export { type QueryTransaction } from './queue-facade/transactions/query.js'
export { type SequelizeTransaction } from './queue-facade/transactions/sequelize.js'
