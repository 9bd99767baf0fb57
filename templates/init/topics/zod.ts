import { defineTopics } from 'waybill'
import { z } from 'zod'

/** What this application tells others: each topic, and the shape of its payload. */
export const topics = defineTopics({
  'order.created': z.object({ orderId: z.string(), cents: z.number().int() }),
})
