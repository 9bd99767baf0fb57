import { WaybillError } from '../core/errors.js'
import { explainDatabaseError, failedTransaction, type Explanations } from '../core/database-error.js'
import { textAnswer, type RunStatement, type Statement } from '../core/statement.js'
import type { PublishedMessage } from './message.js'

/** From where on a recorder looks: what was published later in the same transaction. */
export interface Baseline {
  /** Of the transaction. */
  readonly xid: string
  readonly seq: string
  readonly ordinal: string
}

// What a transaction has written is what it sees although it is still in progress: nobody else's rows are both. That
// holds under savepoints too, whose rows have an xmin of their own, above the transaction's. Asked of rows that can be
// ours alone: pg_xact_status refuses an xid of the future. A row's xmin has 32 bits; the transaction's has 64.
const offset = (xmin: string): string => `((${xmin}::text::bigint - (t.xid & 4294967295) + 4294967296) % 4294967296)`
const isOurs = (xmin: string): string =>
  `case when ${offset(xmin)} < 2147483648
        then pg_xact_status((t.xid + ${offset(xmin)})::text::xid8) = 'in progress' else false end`

// Drivers give rows in forms of their own; one column of text is the same in all. No FROM or WHERE at the outside: some
// handles' statements get one added (transactions/scope.ts).
const openText = `select (
  select json_build_object('xid', t.xid::text,
    'seq', coalesce((select max(m.seq) from waybill.messages m where m.xid = t.xid::text::xid8), 0)::text,
    'ordinal', coalesce((select max(s.ordinal) from waybill.scheduled s), 0)::text)::text
    from (select pg_current_xact_id()::text::bigint as xid) t) as recorded`

const readText = `select (
  select json_build_object('xid', t.xid::text,
    'messages', (select coalesce(json_agg(json_build_object('id', m.id, 'topic', m.topic, 'key', m.key,
        'payload', m.payload::text, 'headers', m.headers, 'to', m.destinations, 'at', null, 'delay', null)
        order by m.seq), '[]')
      from waybill.messages m
     where m.xid = t.xid::text::xid8 and m.seq > $1::text::bigint and ${isOurs('m.xmin')}),
    'scheduled', (select coalesce(json_agg(json_build_object('id', s.id, 'topic', s.topic, 'key', s.key,
        'payload', s.payload::text, 'headers', s.headers, 'to', s.destinations,
        'at', extract(epoch from s.run_at) * 1000,
        'delay', extract(epoch from s.run_at - s.created_at) * 1000) order by s.run_at, s.ordinal), '[]')
      from waybill.scheduled s
     where s.ordinal > $2::text::bigint and ${isOurs('s.xmin')}))::text
    from (select pg_current_xact_id_if_assigned()::text::bigint as xid) t) as recorded`

/** Everything of the transaction from now on. */
export async function takeBaseline(run: RunStatement): Promise<Baseline> {
  return (await ask(run, { name: 'waybill_testing_open', text: openText, values: [] })) as Baseline
}

/** Everything that this transaction published. */
export const fromItsBeginning = { seq: '0', ordinal: '0' } as const

interface Row {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly headers: Readonly<Record<string, string>> | null
  readonly to: readonly string[] | null
  readonly at: number | null
  readonly delay: number | null
}

/**
 * What the transaction published after `since` and has not taken back, as it would be delivered: the log in its order,
 * then what is scheduled, by when it is due. `xid` is null where nothing was written yet.
 */
export async function readPublished(
  run: RunStatement,
  since: Pick<Baseline, 'seq' | 'ordinal'>,
): Promise<{ readonly xid: string | null; readonly messages: PublishedMessage[] }> {
  const statement = { name: 'waybill_testing_read', text: readText, values: [since.seq, since.ordinal] }
  const found = (await ask(run, statement)) as { xid: string | null; messages: Row[]; scheduled: Row[] }
  return { xid: found.xid, messages: [...found.messages, ...found.scheduled].map(message) }
}

function message({ id, topic, key, payload, headers, to, at, delay }: Row): PublishedMessage {
  return {
    ...{ id, topic, key, payload: JSON.parse(payload) as unknown, payloadText: payload, headers: headers ?? {}, to },
    at: at === null ? null : new Date(Math.round(at)),
    delayMs: delay === null ? null : Math.round(delay),
  }
}

async function ask(run: RunStatement, statement: Statement): Promise<unknown> {
  const rows = await run(statement).then(undefined, (error: unknown) => {
    throw explainDatabaseError(error, explanations)
  })
  return JSON.parse(textAnswer(rows, 'recorded'))
}

const schemaMissing: Explanations[string] = ({ message }, options) =>
  new WaybillError(
    'WAYBILL_SCHEMA_MISSING',
    `Waybill's schema is missing from this database (${message}); run: waybill migrate`,
    options,
  )

const explanations: Explanations = {
  // insufficient_privilege
  '42501': ({ message }, options) =>
    new WaybillError(
      'WAYBILL_PERMISSION_DENIED',
      `the database's role may publish, and not read what was published (${message}); run the tests as the schema's owner, or grant them waybill_reader (waybill migrate --roles makes that role)`,
      options,
    ),
  '3F000': schemaMissing, // invalid_schema_name
  '42P01': schemaMissing, // undefined_table
  '25P02': failedTransaction('it has published nothing; look for the first error, or keep it in a savepoint'),
}
