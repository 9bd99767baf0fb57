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

/** What Waybill gives a request from its start to the end of its answer. */
const timeoutMs = 10_000

/**
 * undici alone: the same signed POSTs (Standard Webhooks) with the same headers, as many at once, over connections that
 * are kept as long, each with a time limit, its status looked at and its answer read.
 */
await serveSide<Input>(async ({ endpoint, secret, messages, concurrency }) => {
  const all = samples(messages)
  const url = new URL(endpoint)
  const pool = new Pool(url.origin, {
    connections: concurrency,
    pipelining: 1,
    keepAliveTimeout: 4000,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })
  const signingKey = createSecretKey(Buffer.from(secret.slice('whsec_'.length), 'base64'))
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < all.length) {
      const { id, key, payload } = all[next++] as (typeof all)[number]
      const body = Buffer.from(payload)
      const timestamp = Math.floor(Date.now() / 1000)
      const signature = createHmac('sha256', signingKey).update(`${id}.${timestamp}.`).update(body).digest('base64')
      const answer = await pool.request({
        method: 'POST',
        path: url.pathname,
        body,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'bench/0.0.0',
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          'webhook-topic': 'order.created',
          'webhook-attempt': '1',
          'webhook-key': key,
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
