import { defineTopics } from 'waybill'
import { z } from 'zod'

/** The application's topics, each with the schema of its payload. */
export const topics = defineTopics({
  'order.created': z.object({ orderId: z.uuid(), customer: z.string(), cents: z.int().positive() }),
  'order.cancelled': z.object({ orderId: z.uuid(), reason: z.string() }),
})
