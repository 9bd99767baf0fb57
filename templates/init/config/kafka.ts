import { defineConfig, env, kafka } from 'waybill/config'

export default defineConfig({
  database: { url: env('WAYBILL_DATABASE_URL') },
  destinations: {
    // Each message is a record, under its own key. Make the topic "events" first: Waybill creates none.
    stream: kafka({ brokers: (process.env.KAFKA_BROKERS ?? 'localhost:9092').split(','), topic: 'events' }),
  },
  routes: { 'order.*': 'stream' },
})
