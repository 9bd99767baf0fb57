import type pg from 'pg'
import { codeOf, messageOf, WaybillError } from '../../core/errors.js'
import { loadSql } from '../../db/sql.js'

/** Statements that make the three roles and grant them what they need; safe to run again. */
export const rolesSql: string = loadSql(import.meta.url, './roles_grant.sql')

export const roles = ['waybill_publisher', 'waybill_dispatcher', 'waybill_observer'] as const

/**
 * Makes the group roles where they are missing, and grants. All or nothing.
 * @throws WaybillError WAYBILL_PERMISSION_DENIED
 */
export async function grantRoles(client: pg.ClientBase | pg.Pool): Promise<void> {
  try {
    await client.query(rolesSql)
  } catch (error) {
    if (codeOf(error) !== '42501') throw error
    throw new WaybillError(
      'WAYBILL_PERMISSION_DENIED',
      `${messageOf(error)}: making roles takes CREATEROLE, granting takes the owner of the schema "waybill"; run \`waybill migrate --roles\` as that user, or give \`waybill migrate --sql --roles\` to an administrator`,
      { cause: error },
    )
  }
}
