import pg from 'pg'
import { createApp } from './app.js'
import { queue } from './orders.js'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const app = createApp({ pool, paymentsSecret: process.env.PAYMENTS_SECRET ?? '' })
const server = app.listen(Number(process.env.PORT ?? 3000), () => console.log('listening', server.address()))

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)

/** Takes no more requests, waits for those under way, and then lets go of the database. */
function stop(): void {
  server.close(() => void queue.close().then(() => pool.end()))
  server.closeIdleConnections()
}
