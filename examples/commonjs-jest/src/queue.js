const { defineTopics, Queue } = require('waybill')
const { z } = require('zod')

const topics = defineTopics({
  'order.created': z.object({ id: z.uuid(), customer: z.string(), cents: z.number().int() }),
  'order.paid': z.object({ id: z.uuid() }),
  'webhook.refused': z.object({ error: z.string() }),
})
// The queue's own connection is for what is published outside of any transaction: `tx: null`.
const queue = new Queue({ topics, connectionString: process.env.DATABASE_URL })

module.exports = { queue, topics }
