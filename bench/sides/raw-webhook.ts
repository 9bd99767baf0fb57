import { createHmac, createSecretKey } from 'node:crypto'
import { Pool } from 'undici'
import { samples } from '../lib/sample.js'
import { serveSide } from '../lib/side.js'

interface Input {
  readonly endpoint: string
  readonly secret: string
  readonly messages: number
  readonly concurrency: number
}

/** undici alone: signed POSTs (Standard Webhooks), as many at once, answers read. */
await serveSide<Input>(async ({ endpoint, secret, messages, concurrency }) => {
  const all = samples(messages)
  const url = new URL(endpoint)
  const pool = new Pool(url.origin, { connections: concurrency })
  const signingKey = createSecretKey(Buffer.from(secret.slice('whsec_'.length), 'base64'))
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < all.length) {
      const { id, payload } = all[next++] as (typeof all)[number]
      const body = Buffer.from(payload)
      const timestamp = Math.floor(Date.now() / 1000)
      const signature = createHmac('sha256', signingKey).update(`${id}.${timestamp}.`).update(body).digest('base64')
      const answer = await pool.request({
        method: 'POST',
        path: url.pathname,
        body,
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          'webhook-signature': `v1,${signature}`,
        },
      })
      await answer.body.text()
      if (answer.statusCode !== 204) throw new Error(`status ${answer.statusCode}`)
    }
  }
  return {
    async run() {
      await Promise.all(Array.from({ length: concurrency }, worker))
      return { messages }
    },
    close: () => pool.close(),
  }
})
