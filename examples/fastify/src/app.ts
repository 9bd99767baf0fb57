import { drizzle } from 'drizzle-orm/node-postgres'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type pg from 'pg'
import { waybillFastify, type InProcessDispatcher } from 'waybill/fastify'
import { orderRoutes } from './order-routes.js'
import { paymentHooks } from './payment-hooks.js'
import { topics } from './topics.js'

export interface AppOptions {
  readonly pool: pg.Pool
  /** What the payment service signs its webhooks with. */
  readonly paymentsSecret: string
  readonly logger?: FastifyServerOptions['logger']
  /** Left out where another process dispatches, and in tests. */
  readonly dispatcher?: InProcessDispatcher | undefined
}

export async function buildApp({
  pool,
  paymentsSecret,
  logger = false,
  dispatcher,
}: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger })
  const db = drizzle(pool)
  await app.register(waybillFastify, { topics, pool, dispatcher })
  await app.register(orderRoutes, { db })
  await app.register(paymentHooks, { db, secret: paymentsSecret })
  app.get('/health', async () => ({ dispatcher: app.waybillDispatcher?.healthy ?? 'elsewhere' }))
  return app
}
