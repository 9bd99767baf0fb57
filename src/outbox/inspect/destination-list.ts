import type pg from 'pg'
import { loadSql } from '../../db/sql.js'

/** A destination as last deployed. */
export interface DestinationReport {
  readonly name: string
  readonly kind: string
  /** False: the configuration last deployed does not name it. */
  readonly configured: boolean
  readonly shards: number
  readonly order: 'key' | 'none'
  readonly onDead: 'hold' | 'release'
  /** Secrets redacted. */
  readonly settings: unknown
  readonly generation: number
  readonly createdAt: Date
  /** Topic patterns of its routes. */
  readonly patterns: readonly string[]
  /** Open ones. */
  readonly lanes: number
  /** Of the lane that is furthest behind; an upper bound. */
  readonly lagMessages: number
  /** In flight ones included. */
  readonly retrying: number
  readonly held: number
  readonly dead: number
}

const listSql = loadSql(import.meta.url, './destination_list.sql')

export async function listDestinations(db: pg.Pool | pg.ClientBase): Promise<DestinationReport[]> {
  return (await db.query<DestinationReport>(listSql)).rows
}

export async function destinationNames(db: pg.Pool | pg.ClientBase): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>('select name from waybill.destinations order by name')
  return rows.map((row) => row.name)
}
