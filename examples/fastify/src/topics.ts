import { defineTopics } from 'waybill'
import { z } from 'zod'

export const topics = defineTopics({
  'order.created': z.object({ orderId: z.uuid(), customer: z.string(), cents: z.int() }),
  'order.paid': z.object({ orderId: z.uuid(), cents: z.int() }),
})

// app.waybill knows them in every file
declare module 'waybill/fastify' {
  interface WaybillTypes {
    topics: typeof topics
  }
}
