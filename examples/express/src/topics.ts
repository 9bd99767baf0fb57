import { defineTopics } from 'waybill'
import { z } from 'zod'

export const topics = defineTopics({
  'order.created': z.object({ orderId: z.uuid(), customer: z.string(), cents: z.int() }),
  'order.paid': z.object({ orderId: z.uuid(), cents: z.int() }),
})
