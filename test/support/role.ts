import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { applyRoles } from '../../src/db/roles.js'
import { onFileEnd } from './cleanup.js'
import type { TestDatabase } from './database.js'
import { withClient } from './with-client.js'

export interface OwnRole {
  readonly name: string
  readonly pool: pg.Pool
  /** For commands. */
  readonly url: string
}

/** A role of the test's own that may do what a dispatcher does, owns nothing and is no superuser. Gone when the file ends. */
export async function dispatcherRole(database: TestDatabase): Promise<OwnRole> {
  const suffix = randomBytes(5).toString('hex')
  const of = (kind: string): string => `wb_${kind}_${suffix}`
  const names = {
    publisher: of('pub'),
    dispatcher: of('dis'),
    observer: of('obs'),
    reader: of('rea'),
    consumer: of('con'),
  }
  await withClient(database.url, (client) => applyRoles(client, { names }))
  const url = new URL(database.url)
  url.searchParams.set('options', `-c role=${names.dispatcher}`)
  const pool = new pg.Pool({ connectionString: url.href, max: 8 })
  pool.on('error', () => undefined)
  onFileEnd(async () => {
    await pool.end()
    await withClient(database.url, async (client) => {
      for (const name of Object.values(names)) await client.query(`drop owned by ${name} cascade; drop role ${name}`)
    })
  })
  return { name: names.dispatcher, pool, url: url.href }
}
