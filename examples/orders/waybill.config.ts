import { defineConfig, env, jobs, kafka, rabbitmq, webhook } from 'waybill/config'

const { CRM_URL, BANK_URL, AMQP_URL, KAFKA_BROKERS } = process.env

// Receivers on this machine: Waybill connects to nothing private that is not named.
const local = { allowNetworks: ['127.0.0.0/8'] }
// Short waits, for people who watch. The defaults (1 s to 1 h) suit partners better.
const patience = { backoff: { base: '250ms', cap: '3s' }, probe: { base: '250ms', cap: '2s' } }

export default defineConfig({
  database: { url: env('DATABASE_URL') },
  destinations: {
    crm: webhook({
      url: CRM_URL ?? 'http://127.0.0.1:4001/hooks',
      secrets: [env('CRM_SIGNING_SECRET')],
      ...local,
      ...patience,
    }),
    bank: webhook({
      url: BANK_URL ?? 'http://127.0.0.1:4002/hooks',
      secrets: [env('BANK_SIGNING_SECRET')],
      concurrency: 4,
      ...local,
      ...patience,
    }),
    mail: jobs({ queue: 'mail' }),
    // Only where there are brokers.
    ...(AMQP_URL && {
      bus: rabbitmq({
        url: AMQP_URL,
        exchange: process.env['AMQP_EXCHANGE'] ?? 'orders',
        declare: {
          exchanges: [{ name: process.env['AMQP_EXCHANGE'] ?? 'orders', type: 'topic' }],
          queues: [{ name: process.env['AMQP_QUEUE'] ?? 'orders', type: 'quorum' }],
          bindings: [
            { exchange: process.env['AMQP_EXCHANGE'] ?? 'orders', queue: process.env['AMQP_QUEUE'] ?? 'orders' },
          ],
        },
        ...patience,
      }),
    }),
    ...(KAFKA_BROKERS && {
      lake: kafka({
        brokers: KAFKA_BROKERS.split(','),
        topic: process.env['KAFKA_TOPIC'] ?? 'orders',
        ...patience,
      }),
    }),
  },
  routes: {
    'order.*': 'crm',
    'payment.*': ['crm', 'bank', 'mail'],
    'order.created': 'mail',
    ...((AMQP_URL || KAFKA_BROKERS) && {
      '**': [...(AMQP_URL ? ['bus' as const] : []), ...(KAFKA_BROKERS ? ['lake' as const] : [])],
    }),
  },
})
