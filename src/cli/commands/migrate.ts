import { applyRoles, migrate, migrationSql, pendingMigrations } from '../../app/migrations.js'
import { codeOf } from '../../core/errors.js'
import { type CommandContext, defineCommand, type ExitCode, option, usageError } from '../command.js'

/** `waybill migrate`: brings the database to this version's schema. */
export const register = defineCommand({
  name: 'migrate',
  summary: 'Bring the database to the schema of this version',
  description: [
    'Safe to run any number of times and from several processes at once. Takes the direct URL where one is configured.',
    '--check changes nothing and exits with 1 when something is pending. --sql prints what would run, for psql; without',
    'a configured database it prints all of it. --roles makes waybill_publisher, waybill_dispatcher and',
    'waybill_observer as well, and grants them what they need; what takes an administrator is printed as SQL, and then',
    'it exits with 1.',
  ].join('\n'),
  options: {
    check: option.flag({ summary: 'only say what is pending' }),
    sql: option.flag({ summary: 'print SQL, change nothing' }),
    roles: option.flag({ summary: 'also make the group roles and their grants' }),
    wait: option.duration({ summary: 'how long to try for locks, for each migration', default: 120_000 }),
  },
  async run(ctx, _args, { check, sql, roles: withRoles, wait }): Promise<ExitCode> {
    if ([check, sql, withRoles].filter(Boolean).length > 1) throw usageError('give one of --check, --sql and --roles')
    if (sql) return printSql(ctx)
    const pool = await ctx.directPool()
    const client = await pool.connect()
    try {
      if (check) {
        const pending = await pendingMigrations(client)
        const text = pending.length === 0 ? 'nothing is pending' : `pending: ${pending.join(', ')}`
        ctx.out.value({ pending }, text)
        return pending.length === 0 ? 0 : 1
      }
      const result = await migrate(client, {
        waitMs: wait,
        signal: ctx.io.signal,
        onProgress: ({ migration, state, detail }) => {
          if (state === 'waiting') ctx.io.stderr.write(`${migration} waits: ${detail ?? ''}\n`)
        },
      })
      const text = result.applied.length === 0 ? 'nothing was pending' : `applied ${result.applied.join(', ')}`
      if (!withRoles) {
        ctx.out.value(result, text)
        return 0
      }
      const roles = await applyRoles(client)
      const granted = `granted to ${roles.granted.join(', ') || 'nobody'}`
      const rest = roles.adminSql === null ? [] : ['-- for an administrator:', roles.adminSql.trimEnd()]
      ctx.out.value({ ...result, roles }, [text, granted, ...rest].join('\n'))
      return roles.adminSql === null ? 0 : 1
    } finally {
      client.release()
    }
  },
})

async function printSql(ctx: CommandContext): Promise<ExitCode> {
  const script = await pendingSql(ctx)
  ctx.out.value({ sql: script }, script === '' ? '-- nothing is pending' : script.trimEnd())
  return 0
}

async function pendingSql(ctx: CommandContext): Promise<string> {
  let pool
  try {
    pool = await ctx.directPool()
  } catch (error) {
    if (codeOf(error) !== 'WAYBILL_CONFIG_NOT_FOUND') throw error
    ctx.io.stderr.write('no database is configured: this is everything, for a database that has nothing yet\n')
    return migrationSql()
  }
  const client = await pool.connect()
  return migrationSql({ pendingFor: client }).finally(() => client.release())
}
