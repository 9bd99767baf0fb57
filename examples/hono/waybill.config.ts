import { defineConfig, env, webhook } from 'waybill/config'

export default defineConfig({
  database: { url: env('DATABASE_URL') },
  destinations: {
    crm: webhook({
      url: process.env.CRM_URL ?? 'http://127.0.0.1:4000/hooks',
      secrets: [env('CRM_SECRET')],
      // Waybill connects to nothing private that is not named: this is a program on your own machine
      allowNetworks: ['127.0.0.1'],
    }),
  },
  routes: { 'order.*': 'crm' },
})
