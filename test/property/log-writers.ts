import pg from 'pg'
import { Queue } from '../../src/index.js'

/** What a random writer did; committed messages by id. */
export interface Written {
  readonly committed: Set<string>
  readonly rolledBack: Set<string>
}

export interface WriterOptions {
  readonly url: string
  readonly random: () => number
  readonly keys: number
  readonly prepared: boolean
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Publishes in transactions of every awkward kind until `running` says stop: xid drawn early, held open, rolled back,
 * rolled back to a savepoint, prepared and committed by another session, published many at once. Messages of a key are
 * serialised by a row lock taken before publishing and carry a version that counts up without gaps.
 */
export async function writeAtRandom(options: WriterOptions, running: () => boolean, written: Written): Promise<void> {
  const client = new pg.Client({ connectionString: options.url })
  await client.connect()
  const { random } = options
  try {
    for (let n = 0; running(); n++) await transaction(client, options, written, `w${Math.floor(random() * 1e9)}_${n}`)
  } finally {
    await client.end()
  }
}

/** Inserts plain messages itself, where the function would do it. */
const queue = new Queue({ prepared: true })

async function transaction(
  client: pg.Client,
  { random, keys, prepared }: WriterOptions,
  written: Written,
  gid: string,
): Promise<void> {
  const mine: string[] = []
  await client.query('begin')
  if (random() < 0.5) await client.query('select pg_current_xact_id()')
  if (random() < 0.1) await sleep(random() * 300)
  const key = `k${Math.floor(random() * keys)}`
  const { rows } = await client.query<{ version: number }>(
    'update aggregates set version = version + 1 where key = $1 returning version',
    [key],
  )
  const version = rows[0]?.version as number
  if (random() < 0.2) await sleep(random() * 30)
  mine.push(
    random() < 0.5
      ? await publish(client, key, version)
      : await queue.publish('order.changed', { version }, { tx: client, key }),
  )
  if (random() < 0.15) {
    await client.query('savepoint s')
    written.rolledBack.add(await publish(client, 'savepoint', 0))
    await client.query('rollback to savepoint s')
    mine.push(await queue.publish('order.changed', { version: 0 }, { tx: client }))
  }
  if (random() < 0.1) {
    const { rows: many } = await client.query<{ ids: string[] }>(
      `select waybill.publish_many(array_fill('many'::text, array[20]), array_fill('{}'::json, array[20]), array_fill(null::text, array[20]),
         array_fill(null::json, array[20]), array_fill(null::uuid, array[20]), array_fill(null::timestamptz, array[20]),
         array_fill(null::text, array[20]), array_fill(null::interval, array[20]), array_fill(null::json, array[20]), array_fill(false, array[20])) as ids`,
    )
    mine.push(...(many[0]?.ids ?? []))
  }
  if (random() < 0.2) await sleep(random() * 50)
  const keep = random() > 0.1
  if (prepared && random() < 0.1) {
    // a transaction that has notified can't be prepared: the documented way is to switch notifying off in it
    await client.query(`prepare transaction '${gid}'`)
    await sleep(random() * 60)
    await client.query(`${keep ? 'commit' : 'rollback'} prepared '${gid}'`)
  } else {
    await client.query(keep ? 'commit' : 'rollback')
  }
  for (const id of mine) (keep ? written.committed : written.rolledBack).add(id)
}

async function publish(client: pg.Client, key: string | null, version: number): Promise<string> {
  const { rows } = await client.query<{ id: string }>(
    `select waybill.publish('order.changed', json_build_object('version', $1::int), key => $2::text) as id`,
    [version, key],
  )
  return rows[0]?.id as string
}
