import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type pg from 'pg'
import type { PlanBounds } from './plan-watch.js'

const root = join(import.meta.dirname, '../..')

/** What statements are asked about: places in a log of `fillBigLog`. */
export interface Places {
  readonly nonce: string
  readonly tip: string
  readonly now: string
  readonly message: { readonly id: string; readonly seq: string; readonly xid: string; readonly topic: string }
  readonly range: { readonly lower: string; readonly upper: string }
  readonly job: string
  readonly worker: string
  /** A lane that reads what was just published, one within an old range, one far behind. */
  readonly lanes: readonly LanePlace[]
}

export interface LanePlace {
  readonly id: number
  readonly destination: string
  readonly epoch: string
  readonly holder: string
  readonly dispatcher: string
  readonly n: string
  readonly delta: string
  readonly after: string
  readonly from: string
  readonly fromFloor: string
  readonly running: readonly string[]
  readonly floors: readonly string[]
  readonly to: string
  readonly ceiling: string
}

export async function findPlaces(client: pg.Client): Promise<Places> {
  const one = async <T>(sql: string, values: unknown[] = []) => (await client.query<{ v: T }>(sql, values)).rows[0]!.v
  const lane = (which: string) =>
    one<LanePlace>(
      `select jsonb_build_object('id', l.id, 'destination', l.destination, 'epoch', l.epoch::text, 'holder', l.holder,
                'dispatcher', l.dispatcher, 'n', p.n::text, 'delta', p.delta::text, 'after', p.after::text,
                'from', d.from_snapshot::text, 'fromFloor', d.from_floor::text, 'running', d.running::text[],
                'floors', d.running_floors::text[], 'to', d.to_snapshot::text, 'ceiling', d.ceiling::text) as v
         from waybill.lanes l
        cross join lateral (select * from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p
         join waybill.deltas d on d.lane_id = l.id and d.n = p.delta
        where ${which} order by l.id limit 1`,
    )
  const tip = await one<string>('select max(seq)::text as v from waybill.messages')
  return {
    nonce: await one('select nonce as v from waybill.incarnation'),
    tip,
    now: await one('select pg_current_snapshot()::text as v'),
    message: await one(
      `select jsonb_build_object('id', id, 'seq', seq::text, 'xid', xid::text, 'topic', topic) as v
         from waybill.messages where seq > $1::bigint / 2 order by seq limit 1`,
      [tip],
    ),
    range: await one(
      `select jsonb_build_object('lower', b[1], 'upper', b[2]) as v from pg_class c
        cross join lateral regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''?(.+?)''?\\) TO \\(''?(.+?)''?\\)') b
        where c.oid = (select tableoid from waybill.messages where seq > $1::bigint / 3 order by seq limit 1)`,
      [tip],
    ),
    job: await one(`select id as v from waybill.jobs where state = 'available' limit 1`),
    worker: await one(`select worker as v from waybill.jobs where worker is not null limit 1`),
    lanes: [await lane('p.after >= d.ceiling'), await lane('p.after < d.ceiling'), await lane('d.ceiling < 3000000')],
  }
}

/** One statement with what it is asked, and what it may cost where the usual bounds are not enough. */
export interface Asked {
  readonly name: string
  readonly text: string
  readonly values: readonly unknown[]
  readonly bounds: PlanBounds
}

type Values = (places: Places, lane: LanePlace) => readonly unknown[]

/** All lanes, wherever they stand: a few probes for each of 200, and the 50 parked rows that each has. */
const everyLane: PlanBounds = { ranges: 200, blocks: 40_000, scans: 260 }
const nothing: Values = () => []
const anyDelivery: Values = () => [null, null, null, null, null, null]

/** What each `.sql` file of src is asked. Asked for three lanes where it names one. */
const files: Readonly<Record<string, readonly [Values, PlanBounds?]>> = {
  'src/db/strangers.sql': [nothing],
  'src/outbox/inspect/scheduled_overdue.sql': [() => [5000]],
  'src/outbox/inspect/destination_remove.sql': [() => ['none']],
  'src/db/hidden_tables.sql': [() => [['messages', 'lanes']]],
  'src/db/sessions_at_work.sql': [() => [[1, 2], 1000]],
  'src/db/sessions_end.sql': [() => [[0]]],
  'src/outbox/inspect/attempt_list.sql': [(p) => [p.message.id]],
  'src/outbox/inspect/delivery_count.sql': [anyDelivery],
  'src/outbox/inspect/delivery_list.sql': [() => [null, null, null, null, null, null, 101]],
  'src/outbox/inspect/delivery_retried.sql': [nothing, { blocks: 40_000 }],
  'src/outbox/inspect/destination_list.sql': [nothing, everyLane],
  'src/outbox/inspect/dispatcher_facts.sql': [(_p, lane) => [lane.dispatcher]],
  'src/outbox/inspect/dispatcher_list.sql': [nothing],
  'src/outbox/inspect/inbox_generations.sql': [nothing],
  'src/outbox/inspect/lane_list.sql': [() => [null], everyLane],
  'src/outbox/inspect/lane_pending.sql': [
    (p, lane) => [lane.id, lane.after, p.now, Number(lane.after) + 10_000, 1000, p.nonce],
    // a stretch of 10,000
    { rowsOfScan: 10_000 },
  ],
  'src/outbox/inspect/maintenance_state.sql': [nothing],
  // a uuid says nothing of its range: one probe for each
  'src/outbox/inspect/message_find.sql': [(p) => [p.message.id], { ranges: 61 }],
  'src/outbox/inspect/message_lanes.sql': [(p) => [p.message.seq, p.message.xid, p.message.topic], everyLane],
  'src/outbox/inspect/message_payload.sql': [(p) => [p.message.id], { ranges: 61 }],
  'src/outbox/inspect/pending_list.sql': [() => [null, null, null], everyLane],
  'src/outbox/inspect/receipt_list.sql': [(p) => [p.message.id]],
  'src/outbox/inspect/schema_objects.sql': [nothing, { blocks: 20_000 }],
  'src/outbox/inspect/server_settings.sql': [nothing],
  'src/outbox/inspect/transaction_oldest.sql': [nothing],
  'src/outbox/partitions/lock_holders.sql': [() => ['waybill.messages', '1 second']],
  'src/outbox/partitions/partition_list_seq.sql': [() => ['waybill.messages'], { ranges: 61 }],
  'src/outbox/partitions/partition_list_time.sql': [() => ['waybill.attempts']],
  'src/outbox/partitions/tip_measure.sql': [nothing],
  'src/outbox/retention/dedupe_sweep.sql': [() => ['-infinity', 1000], { blocks: 10_000 }],
  'src/outbox/retention/deltas_sweep.sql': [(_p, lane) => [lane.id, -1, 1000]],
  'src/outbox/retention/dropped_sweep.sql': [() => [1000], { blocks: 30_000, ranges: 61 }],
  // a range goes once, and everything in it is counted before
  'src/outbox/retention/expire_count.sql': [
    (p, lane) => [lane.id, p.range.lower, p.range.upper],
    { rowsOfScan: 2_000_000, blocks: 100_000, wholeRange: true, uncompiled: true },
  ],
  'src/outbox/retention/lane_floors.sql': [nothing, everyLane],
  'src/outbox/retention/log_trim.sql': [() => [0, 400_000, 3_600_000, 500]],
  'src/outbox/retention/partition_ended.sql': [(p) => ['messages_p1', p.range.upper]],
  'src/outbox/retention/partition_marks.sql': [(p) => [['messages_p1'], [p.range.upper]]],
  // by BRIN, or all of a range that is old enough to go
  'src/outbox/retention/partition_past.sql': [
    (p) => [p.range.lower, p.range.upper, 3_600_000],
    { rowsOfScan: 2_000_000, wholeRange: true },
  ],
  'src/outbox/retention/positions_sweep.sql': [(_p, lane) => [lane.id, -1, 100, 1000]],
  'src/outbox/sequence_check.sql': [nothing],
  'src/outbox/sequence_reused.sql': [nothing, { blocks: 60_000, ranges: 183, scans: 260, uncompiled: true }],
  'src/outbox/sql/identities_mend.sql': [nothing],
  'src/outbox/sql/lane_acquire.sql': [(p, l) => [l.id, l.epoch, l.holder, p.job, l.dispatcher, p.nonce, 1]],
  'src/outbox/sql/lane_await.sql': [(_p, l) => [l.id, l.epoch, l.holder, 'standby', 'why']],
  'src/outbox/sql/lane_dropped.sql': [(p, l) => [l.id, p.nonce]],
  'src/outbox/sql/lane_parked.sql': [(p, l) => [l.id, p.nonce]],
  'src/outbox/sql/lane_pause.sql': [(_p, l) => [l.id, l.epoch, l.holder, 'outage', 'why']],
  'src/outbox/sql/lane_plan.sql': [(p, l) => [l.id, l.delta, p.nonce]],
  'src/outbox/sql/lane_position.sql': [(p, l) => [l.id, p.nonce]],
  'src/outbox/sql/lane_release.sql': [(_p, l) => [[l.id], l.dispatcher, [l.holder]]],
  'src/outbox/sql/lane_renew.sql': [(p, l) => [l.id, l.epoch, l.holder, p.nonce]],
  'src/outbox/sql/lane_rest.sql': [(_p, l) => [l.id, l.epoch, l.holder]],
  'src/outbox/sql/message_load.sql': [
    (p) => [[p.message.seq], p.message.seq, p.message.seq, p.nonce, 8_388_608, 68_157_440],
  ],
  'src/outbox/sql/message_page.sql': [
    (p, l) => [
      l.after,
      l.ceiling,
      l.from,
      p.now,
      1000,
      '^order\\..*$',
      l.destination,
      1_000_000,
      p.nonce,
      l.fromFloor,
      l.running,
    ],
  ],
  'src/outbox/sql/message_stragglers.sql': [
    (p, l) => [0, l.fromFloor, l.running, l.floors, 1000, '^order\\..*$', l.destination, 1_000_000, p.nonce],
    // of one that began long ago: a probe for each range since
    { ranges: 61 },
  ],
  // after a restore, once: by BRIN where ranges have blocks enough for it (0.1 s for 58 of 100,000 rows)
  'src/outbox/sql/rebase_lanes.sql': [
    nothing,
    {
      blocks: 1_000_000,
      ranges: 61,
      wholeRange: true,
      rowsOfScan: 2_000_000,
      uncompiled: true,
      before: 'set local enable_indexscan = off; set local enable_seqscan = off',
    },
  ],
  'src/outbox/sql/reshard_open.sql': [nothing],
  'src/outbox/sql/standby_state.sql': [() => ['standby']],
  // 200,000 seqs at a time
  'src/outbox/sql/unrouted_count.sql': [(p) => [Number(p.tip) - 200_000, p.tip], { rowsOfScan: 200_000 }],
}

/** Every `.sql` file of src with what it is asked. Throws for one that nothing is said of above. */
export async function sqlFiles(places: Places): Promise<Asked[]> {
  const found = (await readdir(join(root, 'src'), { recursive: true })).filter((file) => file.endsWith('.sql')).sort()
  const asked: Asked[] = []
  for (const file of found) {
    const path = relative(root, join(root, 'src', file))
    const entry = files[path]
    if (!entry) throw new Error(`${path} is new: say in test/size/statements.ts what it is asked`)
    const text = (await readFile(join(root, path), 'utf8')).trim()
    const [values, bounds = {}] = entry
    places.lanes.forEach((lane, i) => {
      if (i > 0 && values.length < 2) return
      asked.push({ name: values.length < 2 ? path : `${path} (lane ${i})`, text, values: values(places, lane), bounds })
    })
  }
  return asked
}

/** Every view of the schema: all of it. */
export async function views(client: pg.Client): Promise<Asked[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('waybill.%I', viewname) as name from pg_views where schemaname = 'waybill' order by 1`,
  )
  return rows.map(({ name }) => ({ name, text: `select * from ${name}`, values: [], bounds: everyLane }))
}

/** What each function of the schema is asked. Those without a plan of their own, which touch no table, are named as such. */
const functions: Readonly<Record<string, readonly [string, Values, PlanBounds?] | 'touches no table'>> = {
  cancel: ['select waybill.cancel($1)', (p) => [p.job]],
  check_message: [`select waybill.check_message('a.b', '{}', null, '{"a":"b"}', '{d1}')`, nothing],
  dispatcher_beat: [
    `select waybill.dispatcher_beat($1, 'd', 'h', 1, '0', 1, 5000)`,
    (_p, lane) => [lane.dispatcher],
    { blocks: 10_000 },
  ],
  drop_deliveries: [
    `select waybill.drop_deliveries('why', $1)`,
    (p) => [p.message.id],
    { ranges: 183, blocks: 30_000 },
  ],
  first_pending: ['select * from waybill.first_pending()', nothing, everyLane],
  guard_sequence: [`select setval('waybill.server_start', 1), waybill.guard_sequence()`, nothing],
  inbox_check: 'touches no table',
  inbox_claim: [`select waybill.inbox_claim('c', '17')`, nothing],
  inbox_enter: [`select waybill.inbox_enter('c', 'new', true)`, nothing],
  inbox_forget: [`select waybill.inbox_forget('c', '17')`, nothing],
  inbox_maintain: ['select waybill.inbox_maintain(false)', nothing],
  is_guarded: 'touches no table',
  check_times: 'touches no table',
  is_time: 'touches no table',
  time_in: 'touches no table',
  max_header_bytes: 'touches no table',
  set_limits: 'touches no table',
  job_is_spent: 'touches no table',
  incarnation_drawn: 'touches no table',
  inbox_allows: [`select waybill.inbox_allows('c')`, nothing],
  is_key: 'touches no table',
  is_topic: 'touches no table',
  refuse_kept_out: 'touches no table',
  job_ack: [
    `select * from waybill.job_ack(array[$1::uuid], array[$1::uuid], '{complete}', '{0}', '{null}', '{null}')`,
    (p) => [p.job],
  ],
  job_cancel: ['select waybill.job_cancel($1)', (p) => [p.job]],
  job_error: 'touches no table',
  job_fetch: [
    `select * from waybill.job_fetch($1, gen_random_uuid(), 'mail', 100, array[null, null, null, null]::timestamptz[], '{mail}', '^x')`,
    (p) => [p.worker],
    { blocks: 20_000 },
  ],
  job_insert: [
    `select waybill.job_insert(array[null]::uuid[], '{mail}', '{0}', '{mail}', '{null}', array['{}'::json], array[null]::json[], '{20}', array[null]::timestamptz[])`,
    nothing,
  ],
  job_maintain: ['select waybill.job_maintain(1000, 500)', nothing, { blocks: 40_000 }],
  job_release: ['select waybill.job_release($1, array[$1::uuid])', (p) => [p.job]],
  job_retry: [`select waybill.job_retry($1)`, (p) => [p.job]],
  job_start: ['select * from waybill.job_start($1, array[$1::uuid])', (p) => [p.job]],
  job_state_after: 'touches no table',
  job_take_back: [
    `select waybill.job_take_back($1, null, 'infinity', 'c', 'm')`,
    (p) => [p.worker],
    { blocks: 20_000 },
  ],
  lane_command: ['select waybill.lane_command(array[$1::int])', (_p, lane) => [lane.id]],
  lanes_commit: [
    `select waybill.lanes_commit(false, array[$1::int], array[$2::bigint], array[$3::uuid], array[$4::uuid], array[$5::bigint],
       array[$6::bigint], array[$7::bigint], '{1}', null,
       jsonb_build_array('{"seq":1,"id":"01976d2e-0000-7000-8000-0000000000aa","topic":"a","state":"retrying","attempt":1,"in":5}'
         || jsonb_build_object('lane', $1::int)),
       jsonb_build_array('{"seq":2,"id":"01976d2e-0000-7000-8000-0000000000aa","was":1,"state":"dead","attempt":2}'
         || jsonb_build_object('lane', $1::int)),
       jsonb_build_array('{"seq":3,"id":"01976d2e-0000-7000-8000-0000000000aa","was":1}' || jsonb_build_object('lane', $1::int)),
       jsonb_build_array('{"id":"01976d2e-0000-7000-8000-0000000000aa","seq":1,"attempt":1,"outcome":"retry"}'
         || jsonb_build_object('lane', $1::int)),
       array[$1::int], array['01976d2e-0000-7000-8000-0000000000aa'::uuid], '{1}', '{1}', '{1}', 'null')`,
    (p, l) => [l.id, l.epoch, l.holder, p.nonce, Number(l.n) + 1, l.delta, l.after],
  ],
  lane_figures: ['select * from waybill.lane_figures()', nothing, everyLane],
  lanes_before: ['select * from waybill.lanes_before($1)', (p) => [p.message.id], { ranges: 61, blocks: 20_000 }],
  lock_lanes: ['select waybill.lock_lanes($1, null, null, null, null, null)', (p) => [p.message.id]],
  max_payload_bytes: 'touches no table',
  publish: [`select waybill.publish('order.created', '{}', 'k')`, nothing],
  publish_many: [
    `select waybill.publish_many('{order.created}', array['{}'::json], '{k}', array[null]::json[], array[null]::uuid[], array[null]::timestamptz[], '{a}', array[null]::interval[], array[null]::json[], '{t}')`,
    nothing,
  ],
  retry: [`select waybill.retry($1)`, (p) => [p.message.id]],
  stage_scheduled: ['select * from waybill.stage_scheduled(100)', nothing],
  uuid_v7: 'touches no table',
  wake_dispatchers: 'touches no table',
  worker_beat: ['select waybill.worker_beat($1)', (p) => [p.worker]],
  worker_end: [`select waybill.worker_end($1, null, 'c', 'm')`, (p) => [p.worker], { blocks: 20_000 }],
  worker_reconcile: ['select waybill.worker_reconcile($1, null)', (p) => [p.worker], { blocks: 20_000 }],
  worker_register: [`select waybill.worker_register($1, 'w', 'h', 1, '0', '{mail}', 5000)`, (p) => [p.job]],
}

/** Every function of the schema with what it is asked. Throws for one that nothing is said of above. */
export async function schemaFunctions(client: pg.Client, places: Places): Promise<Asked[]> {
  const { rows } = await client.query<{ name: string }>(
    `select p.proname as name from pg_proc p
      where p.pronamespace = 'waybill'::regnamespace and p.prorettype <> 'trigger'::regtype order by 1`,
  )
  return rows.flatMap(({ name }) => {
    const entry = functions[name]
    if (!entry) throw new Error(`the function waybill.${name} is new: say in test/size/statements.ts what it is asked`)
    if (entry === 'touches no table') return []
    const [text, values, bounds = {}] = entry
    const lanes = values.length < 2 ? places.lanes.slice(0, 1) : places.lanes
    return lanes.map((lane, i) => ({
      name: `waybill.${name}${lanes.length > 1 ? ` (lane ${i})` : ''}`,
      text,
      values: values(places, lane),
      bounds,
    }))
  })
}

/** Statements on the log within TypeScript, which are not run here: each is as said. */
const inline: Readonly<Record<string, string>> = {
  'src/outbox/tick.ts': 'one probe from the end of the log',
  'src/outbox/retention/held-back.ts': 'one probe within bounds on seq',
  'src/outbox/configuration-store.ts': 'a deployment with `from` a time searches the log for its first message',
  'src/testing/fake-destinations.ts': 'for tests of applications',
  'src/testing/published-rows.ts': 'for tests of applications',
}

/** Files of src with a statement on the log in TypeScript, where it is not held to its plan, that are not known above. */
export async function inlineStatements(): Promise<string[]> {
  const files = (await readdir(join(root, 'src'), { recursive: true })).filter((file) => file.endsWith('.ts')).sort()
  const found: string[] = []
  for (const file of files) {
    const text = await readFile(join(root, 'src', file), 'utf8')
    if (/\b(from|join|update|delete from)\s+waybill\.(messages|attempts|receipts)\b/i.test(text))
      found.push(`src/${file}`)
  }
  return found.filter((file) => !(file in inline))
}
