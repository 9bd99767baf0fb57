import type pg from 'pg'

/** What the log looks like, and what the planner is made to believe of it. */
export interface BigLog {
  /** Ranges of the log that have messages. Default 58; two empty ones and the tail follow. */
  readonly full?: number
  /** Messages that are really in each of them. Default 2,000: more than anything should read at once. */
  readonly rows?: number
  /** Seqs of a range; the planner is told that each has a message. Default 833,333: 50,000,000 in 60. */
  readonly width?: number
}

/**
 * - `known`: as after ANALYZE, of 50,000,000 messages, and other tables as large as they get
 * - `none`: never analyzed
 * - `stale`: analyzed while there was next to nothing
 */
export type Statistics = 'known' | 'none' | 'stale'

const destinations = 40
const shards = 5

/**
 * A log of 60 ranges with 200 lanes: most stand at the tip, 30 somewhere within, 15 behind a tick in which a transaction
 * ran that has written a whole range since, 5 at the beginning. Everything else that statements meet is there too.
 */
export async function fillBigLog(
  client: pg.ClientBase,
  { full = 58, rows = 2000, width = 833_333 }: BigLog = {},
): Promise<void> {
  await client.query(`set synchronous_commit = off`)
  await client.query(`
    drop table waybill.messages_p1, waybill.messages_p1000001, waybill.messages_p2000001, waybill.messages_tail`)
  for (let i = 0; i < full + 2; i++) {
    const [lower, upper] = [i === 0 ? 'minvalue' : i * width + 1, (i + 1) * width + 1]
    await client.query(
      `create table waybill.messages_p${i * width + 1} partition of waybill.messages for values from (${lower}) to (${upper})
         with (autovacuum_enabled = off)`,
    )
  }
  await client.query(
    `create table waybill.messages_tail partition of waybill.messages for values from (${(full + 2) * width + 1}) to (maxvalue)`,
  )
  await client.query(`create temp table ticks (i int primary key, xid xid8, snapshot pg_snapshot, floor bigint)`)
  for (let i = 0; i < full; i++) {
    // what an old transaction wrote, and what several short ones did
    await client.query(
      `insert into waybill.messages (seq, id, topic, key, payload, destinations, created_at)
       select $1::bigint + 1 + g * $3::bigint / $2::int, gen_random_uuid(), 'order.' || (array['created','paid','cancelled'])[1 + g % 3],
              'k' || (g % 2000), json_build_object('orderId', 'o-' || g, 'note', repeat('x', 80)), null,
              now() - ($4::int - $5::int) * interval '1 day' + g * interval '1 ms'
         from generate_series(0, $2::int - 1) g`,
      [i * width, rows, width, full, i],
    )
    await client.query(
      `insert into ticks select $1, m.xid, pg_current_snapshot(), m.seq from waybill.messages m where m.seq > $2 order by m.seq desc limit 1`,
      [i, i * width],
    )
  }
  await client.query(`select setval('waybill.message_seq', (select max(floor) from ticks))`)
  await fillLanes(client, full)
  await fillRest(client, full)
}

async function fillLanes(client: pg.ClientBase, full: number): Promise<void> {
  await client.query(`insert into waybill.incarnation (nonce) values (gen_random_uuid()) on conflict do nothing`)
  await client.query(`insert into waybill.configurations (fingerprint, generation) values ('test', 1)`)
  await client.query(
    `insert into waybill.destinations (name, kind, shards, topic_regex, generation)
     select 'd' || g, 'webhook', $2, case when g % 10 = 0 then '^never\\..*$' else '^order\\..*$' end, 1
       from generate_series(1, $1::int) g`,
    [destinations, shards],
  )
  await client.query(`insert into waybill.routes select 'order.**', name from waybill.destinations`)
  await client.query(
    `insert into waybill.dispatchers (id, name, host, pid, version, generation, lease_ms)
     select gen_random_uuid(), 'dispatcher ' || g, 'host', g, '0', 1, 5000 from generate_series(1, 10) g`,
  )
  await client.query(
    `insert into waybill.lanes (destination, shard, shards, epoch, holder, dispatcher, acquired_at)
     select x.name, s, $1, 1, gen_random_uuid(), (select d.id from waybill.dispatchers d order by d.name limit 1), now()
       from waybill.destinations x cross join generate_series(0, $1::int - 1) s order by x.name, s`,
    [shards],
  )
  // where each lane stands: i of the tick that it reads up to
  await client.query(
    `create temp table stands as
     select l.id, row_number() over (order by l.id) as k,
            case when row_number() over (order by l.id) % 40 = 0 then 1
                 when row_number() over (order by l.id) % 13 = 0 then (row_number() over (order by l.id) % ($1::int - 10))::int + 2
                 when row_number() over (order by l.id) % 7 = 0 then ($1::int / 2)
                 else $1::int - 1 end as tick
       from waybill.lanes l`,
    [full],
  )
  await client.query(
    `insert into waybill.deltas (lane_id, n, from_snapshot, from_floor, running, running_floors, to_snapshot, to_floor, ceiling, generation)
     select s.id, n, f.snapshot, f.floor, case when s.k % 13 = 0 then array[old.xid, t.xid] else '{}' end,
            case when s.k % 13 = 0 then array[old.floor, f.floor] else '{}' end,
            -- every seventh: its tick was taken while the range was still being written
            case when s.k % 7 = 0 then format('%s:%s:%s', t.xid, t.xid::text::bigint + 1, t.xid)::pg_snapshot else t.snapshot end,
            case when s.k % 7 = 0 then f.floor else t.floor end, t.floor, 1
       from stands s cross join generate_series(0, 49) n
       join ticks t on t.i = s.tick join ticks f on f.i = s.tick - 1
       -- began long ago, and has written nothing yet
       cross join (select pg_current_xact_id() as xid, k.floor from ticks k where k.i = 0) old`,
  )
  await client.query(
    `insert into waybill.positions (lane_id, n, delta, after, epoch, delivered, committed_at)
     select d.lane_id, d.n * 4 + q, d.n,
            case when d.n < 49 or q < 3 or s.k % 13 <> 0 then d.ceiling else (d.from_floor + d.ceiling) / 2 end, 1, d.n * 1000,
            now() - (49 - d.n) * interval '1 second'
       from waybill.deltas d join stands s on s.id = d.lane_id cross join generate_series(0, 3) q`,
  )
}

async function fillRest(client: pg.ClientBase, full: number): Promise<void> {
  await client.query(
    `insert into waybill.deliveries (destination, lane_id, seq, message_id, topic, key, state, attempt, next_attempt_at, error_code, error, fingerprint)
     select l.destination, l.id, m.seq, m.id, m.topic, m.key, (array['retrying','held','dead'])[1 + m.seq % 3], 3,
            now() + interval '1 hour', 'HTTP_500', 'HTTP 500', 'f' || (m.seq % 10)
       from waybill.lanes l cross join lateral (
         select * from waybill.messages m where m.seq <= (select floor from ticks where i = $1) order by m.seq desc limit 50 offset l.shard * 50) m`,
    [full - 2],
  )
  await client.query(
    `insert into waybill.dropped (lane_id, seq, message_id, dropped_at)
     select l.id, m.seq, m.id, now() - interval '2 days' from waybill.lanes l cross join lateral (
       select * from waybill.messages m where m.seq > (select floor from ticks where i = 1) order by m.seq limit 20) m`,
  )
  for (const table of ['attempts', 'receipts']) {
    await client.query(`alter table waybill.${table} detach partition waybill.${table}_tail`)
    for (let d = 30; d >= -3; d--)
      await client.query(
        `do $$ begin execute format('create table waybill.${table}_p%s partition of waybill.${table} for values from (%L) to (%L)',
           to_char(current_date - ${d}, 'YYYYMMDD'), current_date - ${d}, current_date - ${d} + 1); end $$`,
      )
    await client.query(
      `do $$ begin execute format('alter table waybill.${table} attach partition waybill.${table}_tail for values from (%L) to (maxvalue)', current_date + 4); end $$`,
    )
  }
  await client.query(
    `insert into waybill.attempts (at, destination, message_id, seq, attempt, outcome)
     select now() - (g % 30) * interval '1 day', 'd1', gen_random_uuid(), g, 1, 'retry' from generate_series(1, 3000) g`,
  )
  await client.query(
    `insert into waybill.receipts (at, destination, message_id, seq, attempt)
     select now() - (g % 30) * interval '1 day', 'd1', gen_random_uuid(), g, 1 from generate_series(1, 3000) g`,
  )
  await client.query(
    `insert into waybill.dedupe_keys select 'order.created', 'k' || g, gen_random_uuid(), now() + (g - 100) * interval '1 second' from generate_series(1, 5000) g`,
  )
  await client.query(
    `insert into waybill.scheduled (id, run_at, topic, payload)
     select gen_random_uuid(), now() + g * interval '1 minute', 'order.created', '{}' from generate_series(1, 5000) g`,
  )
  await client.query(
    `insert into waybill.unrouted select 'nowhere', 1, now() - g * interval '1 minute' from generate_series(1, 1000) g`,
  )
  await client.query(
    `insert into waybill.unrouted_cursor (seq) select floor - 200000 from ticks order by i desc limit 1`,
  )
  await client.query(
    `insert into waybill.workers (id, name, host, pid, version, queues, names, lease_ms)
     select gen_random_uuid(), 'worker ' || g, 'host', g, '0', '{default}', '{mail}', 5000 from generate_series(1, 10) g`,
  )
  await client.query(
    `insert into waybill.jobs (id, message_id, queue, priority, name, args, state, attempt, run_at, claim, worker, finished_at)
     select gen_random_uuid(), gen_random_uuid(), (array['default','mail','slow'])[1 + g % 3], g % 4, (array['mail','other'])[1 + g % 2], '{}',
            case when g % 100 = 0 then 'executing' when g % 20 = 1 then 'available' when g % 20 = 2 then 'discarded' else 'completed' end, 1,
            now() - g * interval '1 second', case when g % 100 = 0 then gen_random_uuid() end,
            case when g % 100 = 0 then (select w.id from waybill.workers w order by w.name limit 1) end,
            case when g % 100 <> 0 and g % 20 <> 1 then now() - g * interval '1 second' end
       from generate_series(1, 20000) g`,
  )
  await client.query(
    `insert into waybill.inbox (consumer, id, generation) select 'c', g::text, 1 from generate_series(1, 5000) g`,
  )
}

/** How many rows the planner is to believe in, where there are fewer. */
const believed: Readonly<Record<string, number>> = {
  'messages_p%': 833_333,
  'attempts_p%': 1_000_000,
  'receipts_p%': 1_600_000,
  jobs: 10_000_000,
  inbox_p1: 20_000_000,
  deliveries: 200_000,
  positions: 200_000,
  deltas: 20_000,
  dedupe_keys: 2_000_000,
  scheduled: 1_000_000,
  audit: 100_000,
  unrouted: 100_000,
}

/** Makes the planner believe. Autovacuum is off for these tables, or it would put things right. */
export async function setStatistics(client: pg.ClientBase, statistics: Statistics): Promise<void> {
  const tables = (pattern: string) =>
    client.query<{ oid: number; name: string }>(
      `select c.oid, c.relname as name from pg_class c where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p') and c.relname like $1`,
      [pattern],
    )
  for (const { name } of (await tables('%')).rows) {
    const partitioned = ['messages', 'attempts', 'receipts', 'inbox'].includes(name)
    if (!partitioned) await client.query(`alter table waybill.${name} set (autovacuum_enabled = off)`)
    if (statistics === 'known')
      await client.query(`${name === 'messages' ? 'vacuum (analyze)' : 'analyze'} waybill.${name}`)
  }
  if (statistics === 'known') {
    // as VACUUM does for each 128 pages that are full: these ranges have fewer
    await client.query(
      `select brin_summarize_new_values(c.oid) from pg_class c join pg_am a on a.oid = c.relam
        where a.amname = 'brin' and c.relkind = 'i' and c.relnamespace = 'waybill'::regnamespace`,
    )
    for (const [pattern, rows] of Object.entries(believed))
      await client.query(
        `update pg_class c set reltuples = greatest($2::real, c.reltuples)
          where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p') and c.relname like $1 and c.relpages > 0`,
        [pattern, rows],
      )
    return
  }
  await client.query(
    `delete from pg_statistic s using pg_class c where c.oid = s.starelid and c.relnamespace = 'waybill'::regnamespace`,
  )
  await client.query(
    `update pg_class c set reltuples = $1::real, relpages = $2::int where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p', 'i')`,
    statistics === 'none' ? [-1, 0] : [1, 1],
  )
}
