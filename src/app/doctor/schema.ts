import type pg from 'pg'
import { codeOf, messageOf, WaybillError } from '../../core/errors.js'
import { assertRowsSeen, waybillTables } from '../../db/hidden-tables.js'
import { isOfSubject } from '../../db/migrate-files.js'
import { appliedMigrations, isWithoutHistory, pendingMigrations } from '../../db/migrate-history.js'
import { adoptRemedy } from '../../db/migrate-untold.js'
import { loadSql } from '../../db/sql.js'
import { checkSequence } from '../../outbox/sequence-guard.js'
import { type Check, error, type Finding, ok, warn } from './finding.js'

/** Whether the schema is this version's. The one check that runs first: without a schema few others have a meaning. */
export const migrationsCheck: Check = {
  name: 'schema',
  needsSchema: false,
  async run({ pool, only }) {
    const client = await pool.connect()
    try {
      const pending = await pendingMigrations(client, undefined, only)
      await assertRowsSeen(client, only === 'inbox' ? ['migrations'] : waybillTables)
      if (pending.length === 0) return [ok('no migration is pending')]
      if (only === 'inbox') {
        return [error('the inbox is not there', 'nothing can be claimed', 'run: waybill migrate --only inbox')]
      }
      if (await isWithoutHistory(client, pending)) {
        return [error('the history of migrations is not there', 'no command of this version works', adoptRemedy)]
      }
      if (await hasInboxAlone(client)) {
        return [
          error(
            'this database has the inbox and nothing else of Waybill',
            'nothing can be published or dispatched here',
            'run: waybill migrate; or, where the inbox is all that is wanted: waybill doctor --only inbox',
          ),
        ]
      }
      return [
        error(
          `${pending.length} migrations are pending: ${pending.join(', ')}`,
          'dispatchers of this version refuse to start',
          'run: waybill migrate',
        ),
      ]
    } catch (thrown) {
      if (!WaybillError.isInstance(thrown)) throw thrown
      if (thrown.code === 'WAYBILL_SCHEMA_NEWER') {
        return [warn(thrown.message, 'a later version migrated this database', 'run doctor with that version')]
      }
      if (thrown.code === 'WAYBILL_ROWS_HIDDEN') {
        const why = 'dispatchers and workers with this role refuse to start, and lanes of those that run stand still'
        return [error(thrown.message, why, 'run one of the statements that it names')]
      }
      if (thrown.code !== 'WAYBILL_MIGRATION_CHANGED') throw thrown
      return [
        error(thrown.message, 'what the database has is not what this version was tested with', 'restore the file'),
      ]
    } finally {
      client.release()
    }
  },
}

async function hasInboxAlone(client: pg.ClientBase): Promise<boolean> {
  const names = [...((await appliedMigrations(client))?.keys() ?? [])]
  return names.length > 0 && names.every((name) => isOfSubject(name, 'inbox'))
}

const objectsSql = loadSql(import.meta.url, '../../outbox/inspect/schema_objects.sql')

const driftKinds: Record<string, { readonly level: 'warn' | 'error'; readonly why: string; readonly remedy: string }> =
  {
    trigger: { level: 'warn', why: 'it runs with every publish or commit of a lane', remedy: 'drop it' },
    index: { level: 'error', why: 'reads of the log go without it', remedy: 'reindex it, concurrently' },
    unlogged: {
      level: 'error',
      why: 'a stand-by that is promoted before its next restartpoint has zeros there, which nothing repairs: no publish would go through',
      remedy: 'alter sequence … set logged',
    },
    default: {
      level: 'error',
      why: 'readers rely on xid and seq being drawn by their defaults, in this order: messages would be lost',
      remedy: 'set the default back to what prisma/migrations says',
    },
    security: {
      level: 'warn',
      why: 'whoever does not own it, and has not BYPASSRLS, is shown a part of it: such dispatchers and workers refuse to start',
      remedy: 'alter table … disable row level security, and keep what switches it on away from the schema waybill',
    },
    rule: { level: 'error', why: 'what is written there may never arrive, without an error', remedy: 'drop it' },
    privilege: {
      level: 'warn',
      why: 'a sequence that is set by hand, or a message that is given an xid or a seq, changed or deleted by hand, is lost to readers',
      remedy: 'revoke it; waybill migrate --roles grants what a publisher needs',
    },
  }

/** What was done to the schema besides migrating it, where it hurts. */
export const driftCheck: Check = {
  name: 'drift',
  needsSchema: true,
  async run({ pool }) {
    const { rows } = await pool.query<{ kind: string; what: string }>(objectsSql)
    if (rows.length === 0) return [ok('nothing was added to or taken from the schema where it hurts')]
    return rows.map(({ kind, what }): Omit<Finding, 'check'> => {
      const { level, why, remedy } = driftKinds[kind] ?? { level: 'warn', why: 'unknown', remedy: 'look at it' }
      return { level, what, why, remedy }
    })
  },
}

/** Sequences that can't be read: nothing that draws from them or looks at them goes through, publishes among it. */
async function unreadable(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c
      where c.relnamespace = 'waybill'::regnamespace
        and case c.relkind when 'S' then has_sequence_privilege(c.oid, 'SELECT') end order by 1`,
  )
  const broken: string[] = []
  for (const { name } of rows) {
    try {
      await pool.query('select pg_sequence_last_value($1::regclass)', [name])
    } catch (thrown) {
      // internal_error is what zeros in place of a page give
      if (!/^XX/.test(codeOf(thrown) ?? '')) throw thrown
      broken.push(`${name} can't be read: ${messageOf(thrown)}`)
    }
  }
  return broken
}

/** Whether the log's sequence is as readers need it, and all sequences can be read. */
export const sequenceCheck: Check = {
  name: 'sequence',
  needsSchema: true,
  async run({ pool }) {
    const broken = await unreadable(pool)
    if (broken.length > 0) {
      return broken.map((what) =>
        error(
          what,
          'nothing is published while it is so',
          'drop it and make it again as prisma/migrations does, with the defaults that draw from it',
        ),
      )
    }
    const check = await checkSequence(pool)
    if (check.ok) return [ok(`stands at ${check.last.toLocaleString('en-US')}`)]
    return check.problems.map(({ message }) =>
      error(
        message,
        'messages get sequence numbers at which no lane looks any more',
        'a dispatcher mends it at its next heartbeat, and reads again what it missed: start one, and look at its log',
      ),
    )
  },
}
