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
export { type Transaction } from './transactions/transaction.js'
export { type DrizzleTransaction } from './transactions/drizzle.js'
export { type KnexTransaction } from './transactions/knex.js'
export { type KyselyTransaction } from './transactions/kysely.js'
export { type MikroOrmTransaction } from './transactions/mikro-orm.js'
export { type PostgresJsTransaction } from './transactions/postgres-js.js'
export { type PrismaTransaction } from './transactions/prisma.js'
export { type QueryTransaction } from './transactions/query.js'
export { type SequelizeTransaction } from './transactions/sequelize.js'
