import type pg from 'pg'
import { WaybillError } from '../core/errors.js'
import { loadSql } from './sql.js'

const strangersSql = loadSql(import.meta.url, './strangers.sql')

/**
 * Rejects where the schema, or what is in it, is another role's: `create … if not exists` takes what is there, and its
 * triggers and functions would run with the rights of whoever migrates. A login with CREATE on the database made itself
 * superuser so.
 * @throws WaybillError WAYBILL_SCHEMA_FOREIGN
 */
export async function refuseStrangers(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ what: string; owner: string }>(strangersSql)
  if (rows.length === 0) return
  const owners = [...new Set(rows.map(({ owner }) => owner))]
  const found = rows.map(({ what, owner }) => `${what} (${owner})`).join(', ')
  throw new WaybillError(
    'WAYBILL_SCHEMA_FOREIGN',
    `the schema "waybill" has what this user does not own, and is not a member of the owner: ${found}${rows.length === 10 ? ', …' : ''}. A migration would run code of ${owners.join(', ')} with this user's rights. Nothing was changed: migrate as the owner; or, where nobody of yours made it, drop it or give it to this user (alter … owner to …) once you have looked at its triggers and functions`,
  )
}

/** The same for a script that psql runs. */
export const refuseStrangersScript = `do $waybill$
declare
  found text;
begin
  select string_agg(s.what || ' (' || s.owner || ')', ', ') into found from (
${strangersSql.trimEnd()}
  ) s;
  if found is not null then
    raise exception using errcode = '42501', message = 'the schema "waybill" has what this user does not own: ' || found,
      hint = 'A migration would run their code with this user''s rights. Migrate as the owner.';
  end if;
end $waybill$;`
