import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { migrate } from '../../src/db/migrate.js'

export interface BenchDatabase {
  readonly url: string
  query(text: string, values?: unknown[]): Promise<pg.QueryResult<Record<string, string>>>
  /** VACUUM, ANALYZE and CHECKPOINT, so that no round pays for the one before. */
  settle(): Promise<void>
  drop(): Promise<void>
}

/** A fresh database; `schema`: with Waybill's tables in it. */
export async function createDatabase(server: string, { schema }: { schema: boolean }): Promise<BenchDatabase> {
  const name = `waybill_bench_${randomBytes(5).toString('hex')}`
  await asAdmin(server, (admin) => admin.query(`create database ${name} template template0 encoding 'UTF8'`))
  const url = new URL(server)
  url.pathname = `/${name}`
  const client = new pg.Client({ connectionString: url.href })
  client.on('error', () => undefined)
  await client.connect()
  if (schema) await migrate(client)
  return {
    url: url.href,
    query: (text, values) => client.query(text, values),
    async settle() {
      await client.query('vacuum (analyze)')
      await client.query('checkpoint')
    },
    async drop() {
      await client.end().catch(() => undefined)
      await asAdmin(server, (admin) => admin.query(`drop database if exists ${name} with (force)`))
    },
  }
}

/** Databases that an interrupted run left behind. */
export async function dropLeftovers(server: string): Promise<void> {
  await asAdmin(server, async (admin) => {
    const { rows } = await admin.query<{ datname: string }>(
      `select d.datname from pg_database d
        where d.datname like 'waybill\\_bench\\_%'
          and not exists (select from pg_stat_activity a where a.datname = d.datname)`,
    )
    for (const { datname } of rows) await admin.query(`drop database if exists ${datname} with (force)`)
  })
}

export async function asAdmin<T>(server: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: server })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** The payload of message `g` in SQL: the same text in every side's table, about 200 bytes. */
export const payloadSql = `format('{"orderId":%s,"customer":"customer-%s","total":"129.90","currency":"EUR","note":"%s"}', g, g % 1000, repeat('x', 120))`
/**
 * Its identity, the same in every side's table: like those that publishers draw, a uuid v7 that goes up with time, here one
 * a millisecond. A receipt with its index entry costs the database 3.9 µs where ids are in order, 6.2 at random.
 */
export const idSql = `overlay(md5('waybill bench ' || g) placing lpad(to_hex(1764547200000 + g), 12, '0') || '7' from 1 for 13)::uuid`
export const keySql = `'customer-' || g % 1000`

/** Fills the log with `count` messages. */
export async function fillLog(database: BenchDatabase, count: number, from = 0): Promise<void> {
  await database.query(
    `insert into waybill.messages (id, topic, key, payload)
     select ${idSql}, 'order.created', ${keySql}, ${payloadSql}::json
       from generate_series($1::bigint + 1, $1::bigint + $2::bigint) g`,
    [from, count],
  )
}
