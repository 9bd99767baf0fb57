import { readFile } from 'node:fs/promises'
import pg from 'pg'

/** The application's own tables. Waybill's are made by "waybill migrate", in a schema of their own. */
const client = new pg.Client({ connectionString: process.env.DATABASE_URL })
await client.connect()
await client.query(await readFile(new URL('../schema.sql', import.meta.url), 'utf8'))
await client.end()
