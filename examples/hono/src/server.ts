import { serve } from '@hono/node-server'
import postgres from 'postgres'
import { createApp } from './app.js'
import { queue } from './orders.js'

const sql = postgres(process.env.DATABASE_URL ?? '')
const app = createApp({ sql, paymentsSecret: process.env.PAYMENTS_SECRET ?? '' })
const server = serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000) }, (address) => {
  console.log('listening', address)
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)

/** Takes no more requests, waits for those under way, and then lets go of the database. */
function stop(): void {
  server.close(() => void queue.close().then(() => sql.end()))
}
