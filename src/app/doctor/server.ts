import { loadSql } from '../../db/sql.js'
import { type Check, error, type Finding, formatAge, formatBytes, ok, warn } from './finding.js'

interface Settings {
  readonly version: string
  readonly versionNumber: number
  readonly inRecovery: boolean
  readonly encoding: string
  readonly synchronousCommit: string
  readonly fsync: string
  readonly fullPageWrites: string
  readonly autovacuum: string
  readonly isolation: string
  readonly readOnly: string
  readonly statementTimeoutMs: number | null
  readonly idleTimeoutMs: number | null
  readonly transactionTimeoutMs: number | null
  readonly preparedTransactions: number
  readonly maxConnections: number
  readonly connections: number
  readonly nowMs: number
}

const settingsSql = loadSql(import.meta.url, '../../outbox/inspect/server_settings.sql')

/** Settings of the server, the database and the user that hurt. */
export const settingsCheck: Check = {
  name: 'settings',
  needsSchema: false,
  async run({ pool }) {
    const { rows } = await pool.query<Settings>(settingsSql)
    const settings = rows[0]
    if (!settings) return []
    const findings = judge(settings)
    return findings.length === 0 ? [ok(`PostgreSQL ${settings.version}: nothing that hurts`)] : findings
  },
}

/** Timeouts below this end what Waybill means to do, milliseconds. */
const shortTimeoutMs = 10_000

/** Pure, so that settings which no test server can be given are judged too. */
export function judge(s: Settings): Omit<Finding, 'check'>[] {
  const findings: Omit<Finding, 'check'>[] = []
  const add = (wrong: boolean, finding: Omit<Finding, 'check'>): void => {
    if (wrong) findings.push(finding)
  }
  const set = (name: string, value: string): string => `set ${name} = ${value} for the server, the database or the user`
  add(s.versionNumber < 140_000, error(`PostgreSQL ${s.version}`, 'Waybill needs 14 or later', 'upgrade the server'))
  add(
    s.inRecovery,
    error('this is a stand-by', 'it can be neither published to nor dispatched from', 'connect to the primary'),
  )
  add(
    s.encoding !== 'UTF8',
    error(
      `the database's encoding is ${s.encoding}`,
      'payloads are not kept byte for byte',
      'use a database with UTF8',
    ),
  )
  add(
    s.fsync === 'off',
    error(
      'fsync is off',
      'a crash of the machine can take back what was delivered and corrupt the database',
      set('fsync', 'on'),
    ),
  )
  add(
    s.fullPageWrites === 'off',
    error('full_page_writes is off', 'a crash of the machine can corrupt the database', set('full_page_writes', 'on')),
  )
  add(
    s.synchronousCommit === 'off',
    warn(
      'synchronous_commit is off by default',
      'a crash takes back publishes that were reported as committed; dispatchers wait until a message is on disk, so none that was delivered is taken back',
      set('synchronous_commit', 'on'),
    ),
  )
  add(s.autovacuum === 'off', warn('autovacuum is off', 'tables grow and reads slow down', set('autovacuum', 'on')))
  add(
    s.isolation !== 'read committed',
    warn(
      `default_transaction_isolation is ${s.isolation}`,
      'Waybill says READ COMMITTED in its own transactions; yours fail with serialization errors where they need not',
      set('default_transaction_isolation', "'read committed'"),
    ),
  )
  add(
    s.readOnly === 'on',
    error(
      'default_transaction_read_only is on',
      'nothing can be published or dispatched',
      set('default_transaction_read_only', 'off'),
    ),
  )
  const timeouts = [
    ['statement_timeout', s.statementTimeoutMs],
    ['transaction_timeout', s.transactionTimeoutMs],
    ['idle_in_transaction_session_timeout', s.idleTimeoutMs],
  ] as const
  for (const [name, ms] of timeouts) {
    add(
      ms !== null && ms > 0 && ms < shortTimeoutMs,
      warn(
        `${name} is ${ms ?? 0} ms`,
        'it ends commits of lanes and maintenance when the database is slow; lanes then start again, with duplicates',
        `${set(name, `'30s'`)} that dispatches`,
      ),
    )
  }
  add(
    s.connections > s.maxConnections * 0.9,
    warn(
      `${s.connections} of ${s.maxConnections} connections are in use`,
      'a dispatcher that can not connect loses its lanes',
      'use a pooler, lower database.poolSize, or raise max_connections',
    ),
  )
  add(
    s.preparedTransactions > 0,
    ok('prepared transactions are on: who publishes in one says: set local waybill.notify = off'),
  )
  return findings
}

const oldestSql = loadSql(import.meta.url, '../../outbox/inspect/transaction_oldest.sql')

/** Transactions that were left open. */
export const transactionsCheck: Check = {
  name: 'transactions',
  needsSchema: false,
  async run({ pool }) {
    const { rows } = await pool.query<{ kind: 'session' | 'prepared' | 'slot'; who: string; age: number }>(oldestSql)
    const findings = rows.flatMap(({ kind, who, age }) => {
      if (kind === 'slot') {
        if (age < 1_000_000_000) return []
        const what = `${who}, keeps ${formatBytes(age)} of WAL`
        return [warn(what, 'the disk fills', 'start its consumer, or drop it: select pg_drop_replication_slot(…)')]
      }
      if (age < 600) return []
      const what = `${who} has been open for ${formatAge(age)}`
      const why = 'rows that were deleted or changed since can not be cleared, and no old partition can be dropped'
      const end = kind === 'session' ? 'select pg_terminate_backend(pid)' : `commit prepared or rollback prepared`
      const remedy = `end it: ${end}; idle_in_transaction_session_timeout does it by itself for sessions`
      return [age < 86_400 ? warn(what, why, remedy) : error(what, why, remedy)]
    })
    return findings.length === 0 ? [ok('no transaction has been open for ten minutes')] : findings
  },
}

/** The database's clock against this machine's. */
export const clockCheck: Check = {
  name: 'clock',
  needsSchema: false,
  async run({ pool }) {
    await pool.query('select 1') // so that no connect is timed
    const before = Date.now()
    const { rows } = await pool.query<{ ms: number }>(
      'select to_json(extract(epoch from clock_timestamp()) * 1000) as ms',
    )
    const after = Date.now()
    const difference = (rows[0]?.ms ?? 0) - (before + after) / 2
    const shown = `${Math.round(Math.abs(difference))} ms ${difference < 0 ? 'behind' : 'ahead of'} this machine's`
    // what the round trip leaves open is not the clock's fault
    if (Math.abs(difference) - (after - before) / 2 < 2000) return [ok(`the database's clock is ${shown}`)]
    return [
      warn(
        `the database's clock is ${shown}`,
        'receivers refuse webhooks signed at the wrong time, and messages for later come early or late; leases do not depend on it',
        'synchronise both clocks (chrony, systemd-timesyncd)',
      ),
    ]
  },
}
