import { fileURLToPath } from 'node:url'
import postgres from 'postgres'

/** The application's own tables. Waybill's are made by "waybill migrate", in a schema of their own. */
const sql = postgres(process.env.DATABASE_URL ?? '', { onnotice: () => undefined })
await sql.file(fileURLToPath(new URL('../schema.sql', import.meta.url)))
await sql.end()
