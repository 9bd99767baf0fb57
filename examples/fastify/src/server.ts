import pg from 'pg'
import { loadConfig } from 'waybill/config'
import { buildApp } from './app.js'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const app = await buildApp({
  pool,
  paymentsSecret: process.env.PAYMENTS_SECRET ?? '',
  logger: true,
  dispatcher: { config: await loadConfig(), drainMs: 10_000 },
})
app.addHook('onClose', () => pool.end())
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close())

await app.listen({ port: Number(process.env.PORT ?? 3000) })
