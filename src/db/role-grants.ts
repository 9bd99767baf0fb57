import type pg from 'pg'

export type RoleKind = 'publisher' | 'dispatcher' | 'observer' | 'reader' | 'consumer'

/** They run with the owner's rights (SECURITY DEFINER). `wake_dispatchers` is part of the default of `messages.xid`. */
const publishing = ['publish', 'publish_many', 'cancel', 'wake_dispatchers']
/**
 * For what a plain publish inserts itself. `xid` and `seq` are not among the columns: only their defaults write them, in
 * the order that readers rely on, and a seq that is drawn by hand is only left out. Nobody is woken or silenced by a look.
 */
const inserting = [
  'grant insert (id, topic, key, payload, headers) on waybill.messages',
  'grant usage on sequence waybill.message_seq',
  'grant select on sequence waybill.asleep, waybill.awake, waybill.server_start',
]
/** Likewise. Of a consumer's own inbox, it may do the upkeep too: the retention is not its to set. */
const consuming = ['inbox_claim', 'inbox_forget', 'inbox_maintain']

/** What the views over the log call, as whoever asks the view; they read with the owner's rights. */
const looking = ['lane_figures', 'first_pending']

/** The statements that give a role what it needs. Of `client`, only catalogs are read. */
export async function grantsFor(client: pg.ClientBase, kind: RoleKind, name: string): Promise<string[]> {
  const role = client.escapeIdentifier(name)
  const later = 'alter default privileges in schema waybill grant'
  switch (kind) {
    case 'publisher':
      return [...(await callers(client, role, publishing)), ...inserting.map((grant) => `${grant} to ${role}`)]
    case 'consumer':
      return callers(client, role, consuming)
    case 'dispatcher':
      return [
        usage(role),
        `grant select, insert, update, delete on all tables in schema waybill to ${role}`,
        `grant usage, select, update on all sequences in schema waybill to ${role}`,
        `grant execute on all functions in schema waybill to ${role}`,
        ...(await recorded(client, role)),
        `${later} select, insert, update, delete on tables to ${role}`,
        `${later} usage, select, update on sequences to ${role}`,
        `${later} execute on functions to ${role}`,
      ]
    case 'observer':
      return observing(client, role)
    case 'reader':
      return [
        usage(role),
        `grant select on all tables in schema waybill to ${role}`,
        `${later} select on tables to ${role}`,
        ...(await execute(client, role, looking)),
      ]
  }
}

/** What messages and jobs carry: for readers, and who delivers. */
const contents: Readonly<Record<string, readonly string[]>> = {
  messages: ['payload', 'headers'],
  scheduled: ['payload', 'headers'],
  jobs: ['args', 'headers'],
}

/**
 * All tables and views, but for contents. Partitions have no grant, as they would give away what the log keeps; nor has what
 * later migrations bring, until roles are applied again.
 */
async function observing(client: pg.ClientBase, role: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string; columns: string[] }>(
    `select c.relname as name, array(select quote_ident(a.attname) from pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns
       from pg_class c where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
      order by 1`,
  )
  const grants = rows.map(({ name, columns }) => {
    const hidden = contents[name]
    const seen = hidden === undefined ? '' : ` (${columns.filter((column) => !hidden.includes(column)).join(', ')})`
    return `grant select${seen} on waybill.${client.escapeIdentifier(name)} to ${role}`
  })
  return [
    usage(role),
    `alter default privileges in schema waybill revoke select on tables from ${role}`,
    `revoke select on all tables in schema waybill from ${role}`,
    ...grants,
    ...(await execute(client, role, looking)),
  ]
}

/** Who acts is written down once, under the login's name; what was migrated is the owner's to write. */
async function recorded(client: pg.ClientBase, role: string): Promise<string[]> {
  const { rows } = await client.query<{ audited: boolean }>(
    `select to_regclass('waybill.audit') is not null as audited`,
  )
  const migrations = `revoke insert, update, delete, truncate on waybill.migrations from ${role}`
  if (rows[0]?.audited !== true) return [migrations]
  return [
    migrations,
    `revoke insert, delete, truncate on waybill.locks from ${role}`,
    `revoke insert, update, delete, truncate on waybill.audit from ${role}`,
    `grant insert (on_behalf_of, action, target, reason) on waybill.audit to ${role}`,
  ]
}

const usage = (role: string): string => `grant usage on schema waybill to ${role}`

/** Of a role that calls these functions; and sees, at its start, that the schema is there. */
async function callers(client: pg.ClientBase, role: string, functions: readonly string[]): Promise<string[]> {
  return [usage(role), `grant select on waybill.migrations to ${role}`, ...(await execute(client, role, functions))]
}

async function execute(client: pg.ClientBase, role: string, functions: readonly string[]): Promise<string[]> {
  return (await signatures(client, functions)).map((signature) => `grant execute on function ${signature} to ${role}`)
}

async function signatures(client: pg.ClientBase, names: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ signature: string }>(
    `select p.oid::regprocedure::text as signature from pg_proc p
      where p.pronamespace = 'waybill'::regnamespace and p.proname = any($1::text[]) order by 1`,
    [names],
  )
  return rows.map((row) => row.signature)
}
