import * as v from 'valibot'
import { defineTopics } from 'waybill'

const orderId = v.pipe(v.string(), v.uuid())
const cents = v.pipe(v.number(), v.integer())

export const topics = defineTopics({
  'order.created': v.object({ orderId, customer: v.string(), cents }),
  'order.paid': v.object({ orderId, cents }),
})
