import { defineConfig, env, webhook } from 'waybill/config'

export default defineConfig({
  database: { url: env('WAYBILL_DATABASE_URL') },
  destinations: {
    // Each message is a signed POST. Private addresses are blocked, unless allowNetworks names them.
    partner: webhook({ url: env('PARTNER_WEBHOOK_URL'), secrets: [env('PARTNER_WEBHOOK_SECRET')] }),
  },
  routes: { 'order.*': 'partner' },
})
