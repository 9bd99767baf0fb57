import { runSide } from '../lib/child.js'
import { type BenchDatabase, createDatabase, fillLog, idSql, keySql, payloadSql } from '../lib/database.js'
import { peer } from '../lib/peers.js'
import { type Bench, type BenchContext, type Run, type Side } from '../lib/types.js'

const batch = 500
/** Its cost for a batch grows with the table, and each message is a transaction of its own. */
const fewer = 20

/** Delivering nowhere: what reading and acknowledging cost. */
export const drain: Bench = {
  name: 'drain',
  unit: 'messages/s',
  about:
    '200,000 messages to an adapter that does nothing, one process, against job queues and a bare SKIP LOCKED loop',
  rounds: 5,
  goals: [
    { side: 'waybill', than: 'graphile-worker', least: 4 },
    { side: 'waybill', than: 'skip-locked', least: 2 },
  ],
  async sides(context) {
    const messages = context.options.messages ?? 200_000
    const few = Math.max(1, Math.round(messages / fewer))
    context.note(`pg-transactional-outbox drains ${few} messages a round, the others ${messages}`)
    return [
      side(context, 'waybill', messages, { schema: true, fill: (database) => fillLog(database, messages) }),
      side(context, 'graphile-worker', messages, { fill: (database) => fillGraphileWorker(database, messages) }),
      side(context, 'pg-boss', messages, {
        fill: (database) => fillPgBoss(database, messages),
        input: { batch, loops: 2 },
      }),
      side(context, 'pg-transactional-outbox', few, {
        fill: (database) => fillTransactionalOutbox(database, few),
        input: { batch },
      }),
      side(context, 'skip-locked', messages, {
        fill: (database) => fillOutbox(database, messages),
        input: { batch },
      }),
    ]
  },
}

interface SideOptions {
  readonly schema?: boolean
  readonly fill: (database: BenchDatabase) => Promise<void>
  readonly input?: object
}

function side(context: BenchContext, name: string, messages: number, options: SideOptions): Side {
  return {
    name,
    async run(round): Promise<Run> {
      const database = await createDatabase(context.server, { schema: options.schema ?? false })
      try {
        await options.fill(database)
        await database.settle()
        const measured = await runSide({
          node: context.node,
          build: context.build,
          side: `drain-${name}`,
          input: { url: database.url, messages, ...options.input },
          profile: name === 'waybill' && round === 1 ? context.options.profile : undefined,
        })
        if (measured.messages < messages) throw new Error(`${name} drained ${measured.messages} of ${messages}`)
        return {
          value: measured.messages / measured.seconds,
          cpuMicros: measured.cpuMicros,
          maxRssMiB: measured.maxRssMiB,
        }
      } finally {
        await database.drop()
      }
    },
  }
}

async function fillOutbox(database: BenchDatabase, messages: number): Promise<void> {
  await database.query(
    `create table outbox (seq bigint generated always as identity primary key, id uuid not null, topic text not null,
       key text, payload json not null, headers json, created_at timestamptz not null default clock_timestamp())`,
  )
  await database.query(
    `insert into outbox (id, topic, key, payload)
     select ${idSql}, 'order.created', ${keySql}, ${payloadSql}::json from generate_series(1, $1::bigint) g`,
    [messages],
  )
}

async function fillGraphileWorker(database: BenchDatabase, messages: number): Promise<void> {
  const { runMigrations } = await peer<{ runMigrations(options: object): Promise<void> }>('graphile-worker')
  await runMigrations({ connectionString: database.url, preset: {} })
  // no queue_name: it would keep order, and one job of a queue would run at a time
  await database.query(
    `select count(*) from graphile_worker.add_jobs(array(
       select json_populate_record(null::graphile_worker.job_spec,
                json_build_object('identifier', 'order_created', 'payload', ${payloadSql}::json))
         from generate_series(1, $1::bigint) g))`,
    [messages],
  )
}

async function fillPgBoss(database: BenchDatabase, messages: number): Promise<void> {
  interface Boss {
    start(): Promise<unknown>
    stop(options: object): Promise<void>
    createQueue(name: string): Promise<void>
    insert(name: string, jobs: object[]): Promise<unknown>
  }
  const { PgBoss } = await peer<{ PgBoss: new (options: object) => Boss }>('pg-boss')
  const boss = new PgBoss({ connectionString: database.url, supervise: false, schedule: false })
  await boss.start()
  await boss.createQueue('orders')
  const { rows } = await database.query(
    `select ${idSql} as id, ${payloadSql} as data from generate_series(1, $1::bigint) g`,
    [messages],
  )
  for (let at = 0; at < rows.length; at += 5000) {
    const jobs = rows.slice(at, at + 5000).map(({ id, data }) => ({ id, data: JSON.parse(data as string) as object }))
    await boss.insert('orders', jobs)
  }
  await boss.stop({ graceful: false })
}

async function fillTransactionalOutbox(database: BenchDatabase, messages: number): Promise<void> {
  interface Setup {
    DatabaseSetup: Record<'dropAndCreateTable' | 'createPollingFunction' | 'setupPollingIndexes', (o: object) => string>
  }
  const { DatabaseSetup } = await peer<Setup>('pg-transactional-outbox')
  const config = {
    outboxOrInbox: 'outbox',
    database: 'bench',
    schema: 'public',
    table: 'outbox',
    listenerRole: 'postgres',
    nextMessagesName: 'next_outbox_messages',
  }
  await database.query(DatabaseSetup.dropAndCreateTable(config))
  await database.query(DatabaseSetup.createPollingFunction(config))
  await database.query(DatabaseSetup.setupPollingIndexes(config))
  await database.query(
    `insert into outbox (id, aggregate_type, aggregate_id, message_type, segment, concurrency, payload)
     select ${idSql}, 'order', ${keySql}, 'order.created', null, 'parallel', ${payloadSql}::jsonb
       from generate_series(1, $1::bigint) g`,
    [messages],
  )
}
