import type pg from 'pg'

export type RoleKind = 'publisher' | 'dispatcher' | 'observer' | 'consumer'

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
        `${later} select, insert, update, delete on tables to ${role}`,
        `${later} usage, select, update on sequences to ${role}`,
        `${later} execute on functions to ${role}`,
      ]
    case 'observer':
      return [
        usage(role),
        `grant select on all tables in schema waybill to ${role}`,
        `${later} select on tables to ${role}`,
        ...(await execute(client, role, looking)),
      ]
  }
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
