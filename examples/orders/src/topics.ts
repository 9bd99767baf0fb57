import { defineTopics } from 'waybill'
import { z } from 'zod'

/** What every message says: which order, and the how many-th message about it this is. */
const about = { orderId: z.uuid(), version: z.int().positive() }

/** The application's topics, for its publishers and, as types, for whoever consumes them. */
export const topics = defineTopics({
  'order.created': z.object({ ...about, customer: z.string(), sku: z.string(), quantity: z.int(), cents: z.int() }),
  'order.paid': z.object({ ...about, cents: z.int() }),
  'order.shipped': z.object(about),
  'order.cancelled': z.object({ ...about, reason: z.string() }),
  'payment.captured': z.object({ ...about, cents: z.int() }),
  'payment.refunded': z.object({ ...about, cents: z.int() }),
})
