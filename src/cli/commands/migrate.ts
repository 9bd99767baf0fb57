import type pg from 'pg'
import type { MigrationSubject, RebaseReport } from '../../app/migrations.js'
import { codeOf } from '../../core/errors.js'
import { type CommandContext, defineCommand, type ExitCode, option, usageError } from '../command.js'

/** `waybill migrate`: brings the database to this version's schema. */
export const register = defineCommand({
  name: 'migrate',
  summary: 'Bring the database to the schema of this version',
  description: [
    'Safe to run any number of times and from several processes at once. Takes the direct URL where one is configured.',
    '--check changes nothing and exits with 1 when something is pending. --sql prints what would run, for psql; without',
    'a configured database it prints all of it. --adopt is for tables without their history, as a dump of the schema alone',
    'leaves them: it looks that all are there, and writes the history down. --roles makes waybill_publisher, waybill_dispatcher,',
    'waybill_observer, waybill_reader and waybill_consumer as well, and grants them what they need; what takes an administrator is',
    'printed as SQL, and then it exits with 1. --only inbox is for the database of a consumer: the inbox and nothing',
    'else, with waybill_observer and waybill_consumer as its roles.',
  ].join('\n'),
  options: {
    check: option.flag({ summary: 'only say what is pending' }),
    adopt: option.flag({ summary: 'write down the history of tables that are there without it' }),
    sql: option.flag({ summary: 'print SQL, change nothing' }),
    roles: option.flag({ summary: 'also make the group roles and their grants' }),
    only: option.choice(['inbox'], { summary: 'this subject alone', value: 'subject' }),
    wait: option.duration({ summary: 'how long to try for locks, for each migration', default: 120_000 }),
  },
  async run(ctx, _args, { check, sql, adopt, roles: withRoles, only, wait }): Promise<ExitCode> {
    if ([check, sql, adopt, withRoles].filter(Boolean).length > 1)
      throw usageError('give one of --check, --sql, --adopt and --roles')
    if (sql) return printSql(ctx, only)
    const {
      adoptRemedy,
      adoptSchema,
      isWithoutHistory,
      applyRoles,
      disableSql,
      migrate,
      pendingMigrations,
      rebaseRestored,
      securedTables,
    } = await import('../../app/migrations.js')
    const pool = await ctx.directPool()
    if (check) {
      const pending = await onOne(pool, (client) => pendingMigrations(client, undefined, only))
      const untold = pending.length > 0 && (await onOne(pool, (client) => isWithoutHistory(client, pending)))
      const remark = untold ? `\n${adoptRemedy}` : ''
      const text = pending.length === 0 ? 'nothing is pending' : `pending: ${pending.join(', ')}${remark}`
      ctx.out.value({ pending, ...(untold && { adopt: true }) }, text)
      return pending.length === 0 ? 0 : 1
    }
    if (adopt) {
      const adopted = await onOne(pool, (client) => adoptSchema(client, only))
      if (only === undefined) await rebaseRestored(pool)
      ctx.out.value({ adopted }, adopted.length === 0 ? 'nothing was lacking' : `written down: ${adopted.join(', ')}`)
      return 0
    }
    const result = await onOne(pool, (client) =>
      migrate(client, {
        ...(only && { only }),
        waitMs: wait,
        signal: ctx.io.signal,
        onProgress: ({ migration, state, detail }) => {
          if (state === 'waiting') ctx.io.stderr.write(`${migration} waits: ${detail ?? ''}\n`)
        },
      }),
    )
    const rebased = only === undefined ? await rebaseRestored(pool) : null
    const said = [result.applied.length === 0 ? 'nothing was pending' : `applied ${result.applied.join(', ')}`]
    if (rebased) said.push(rebaseText(rebased))
    const secured = await securedTables(pool)
    if (secured.length > 0) {
      said.push(
        `row-level security is on for ${secured.join(', ')}: dispatchers, workers and commands whose role does not own them refuse to work. Run: ${disableSql(secured)}; and keep what switches it on away from the schema waybill`,
      )
    }
    const report = { ...result, ...(rebased && { rebased }), ...(secured.length > 0 && { secured }) }
    if (!withRoles) {
      ctx.out.value(report, said.join('\n'))
      return 0
    }
    const settings = only
      ? { only }
      : { standby: (await ctx.loadSettings(['dispatcher'])).dispatcher.durability !== 'local' }
    const roles = await onOne(pool, (client) => applyRoles(client, settings))
    said.push(`granted to ${roles.granted.join(', ') || 'nobody'}`)
    if (roles.adminSql !== null) said.push('-- for an administrator:', roles.adminSql.trimEnd())
    ctx.out.value({ ...report, roles }, said.join('\n'))
    return roles.adminSql === null ? 0 : 1
  },
})

// The pool may be one connection wide: nothing is asked of it while this client is out.
async function onOne<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  return work(client).finally(() => client.release())
}

function rebaseText({ lanes, fromStart }: RebaseReport): string {
  const rest =
    fromStart.length === 0 ? '' : `; ${fromStart.length} of them read all of the log again, as seqs were used again`
  return `the database was restored or switched over: ${lanes.length} lanes find their way from there${rest}`
}

async function printSql(ctx: CommandContext, only: MigrationSubject | undefined): Promise<ExitCode> {
  const script = await pendingSql(ctx, only)
  ctx.out.value({ sql: script }, script === '' ? '-- nothing is pending' : script.trimEnd())
  return 0
}

async function pendingSql(ctx: CommandContext, only: MigrationSubject | undefined): Promise<string> {
  const { migrationSql } = await import('../../app/migrations.js')
  let pool
  try {
    pool = await ctx.directPool()
  } catch (error) {
    if (codeOf(error) !== 'WAYBILL_CONFIG_NOT_FOUND') throw error
    ctx.io.stderr.write('no database is configured: this is everything, for a database that has nothing yet\n')
    return migrationSql(only && { only })
  }
  const client = await pool.connect()
  return migrationSql({ pendingFor: client, ...(only && { only }) }).finally(() => client.release())
}
