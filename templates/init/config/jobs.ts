import { defineConfig, env, jobs } from 'waybill/config'

export default defineConfig({
  database: { url: env('WAYBILL_DATABASE_URL') },
  destinations: {
    // Each message becomes a job in the same database. webhook, rabbitmq and kafka are the other kinds.
    work: jobs({ queue: 'default' }),
  },
  routes: { 'order.*': 'work' },
})
