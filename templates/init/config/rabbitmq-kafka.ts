import { defineConfig, env, kafka, rabbitmq } from 'waybill/config'

export default defineConfig({
  database: { url: env('WAYBILL_DATABASE_URL') },
  destinations: {
    // Published with a confirm, the topic as its routing key. A message that no queue is bound for waits.
    bus: rabbitmq({
      url: env('AMQP_URL'),
      exchange: 'events',
      declare: {
        exchanges: [{ name: 'events' }],
        queues: [{ name: 'orders' }],
        bindings: [{ exchange: 'events', queue: 'orders', routingKey: 'order.*' }],
      },
    }),
    // Each message is a record, under its own key. Make the topic "events" first: Waybill creates none.
    stream: kafka({ brokers: (process.env.KAFKA_BROKERS ?? 'localhost:9092').split(','), topic: 'events' }),
  },
  routes: { 'order.*': ['bus', 'stream'] },
})
