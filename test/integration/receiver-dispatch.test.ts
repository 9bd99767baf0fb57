import express from 'express'
import Fastify from 'fastify'
import { expect, test } from 'vitest'
import { createDispatcher } from '../../src/app/index.js'
import { defineConfig, webhook } from '../../src/config/index.js'
import { webhookReceiver as expressReceiver } from '../../src/receiver/express.js'
import { webhookReceiver as fastifyReceiver } from '../../src/receiver/fastify.js'
import { createWebhookVerifier, webhookPublicKey } from '../../src/receiver/index.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { otherSecret, privateKey, secret, seenIn, type Seen, serve } from '../contract/receiver-fixture.js'
import { onFileEnd } from '../support/cleanup.js'
import { useDatabase } from '../support/database.js'
import { publish } from '../support/dispatching.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'

const database = useDatabase()
const local = { allowNetworks: ['127.0.0.0/8'], probe: { base: '50ms', cap: '200ms' } }

async function start(destinations: Parameters<typeof defineConfig>[0]['destinations']): Promise<void> {
  const config = defineConfig({
    database: { url: database().url },
    destinations,
    routes: { '**': Object.keys(destinations ?? {}) },
  })
  const dispatcher = createDispatcher(config, { logger: silentLogger })
  await dispatcher.start()
  onFileEnd(() => dispatcher.stop())
}

async function expressApp(secrets: string): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = []
  const app = express()
  app.post('/hooks', expressReceiver({ secrets }), (request, response) => {
    if (request.webhook) seen.push(seenIn(request.webhook))
    response.sendStatus(204)
  })
  return { url: `${await serve(app)}/hooks`, seen }
}

async function fastifyApp(secrets: string): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = []
  const app = Fastify()
  await app.register(fastifyReceiver, { secrets })
  app.post('/hooks', async (request, reply) => {
    seen.push(seenIn(request.webhook))
    return reply.code(204).send()
  })
  onFileEnd(() => app.close())
  return { url: `${await app.listen({ port: 0, host: '127.0.0.1' })}/hooks`, seen }
}

test('what is published arrives verified at Express and Fastify, in order for each key; a wrong secret waits until it is mended', async () => {
  const [viaExpress, viaFastify] = await Promise.all([expressApp(secret), fastifyApp(webhookPublicKey(privateKey))])
  // a receiver that has the wrong secret at first
  let verify = createWebhookVerifier({ secrets: otherSecret })
  const mended: Seen[] = []
  const late = await startHttpReceiver(({ headers, body }) => {
    try {
      mended.push(seenIn(verify({ headers, rawBody: body })))
      return { status: 204 }
    } catch (error) {
      return { status: (error as { status: number }).status }
    }
  })
  await start({
    express: webhook({ url: viaExpress.url, secrets: [secret], ...local }),
    fastify: webhook({ url: viaFastify.url, secrets: [privateKey], ...local }),
    late: webhook({ url: late.url, secrets: [secret], ...local }),
  })

  const published: Pick<Seen, 'id' | 'topic' | 'key' | 'payload' | 'city'>[] = []
  for (let n = 0; n < 60; n++) {
    const [topic, key, payload] = [
      'order.created',
      n % 7 === 0 ? null : `klucz/${n % 3} ż%`,
      { n, text: '🐢 \u2028' },
    ] as const
    const id = await publish(database().pool, topic, payload, { key, headers: { 'x-city': 'Łódź' } })
    published.push({ id, topic, key: key ?? undefined, payload, city: 'Łódź' })
  }
  await waitFor(() => viaExpress.seen.length >= 60 && viaFastify.seen.length >= 60, { what: 'all webhooks' })
  const paused = async () => {
    const { rows } = await database().pool.query<{ kind: string; reason: string }>(
      `select pause_kind as kind, pause_reason as reason from waybill.lane_status where destination = 'late' and state = 'paused'`,
    )
    return rows[0]
  }
  const pause = await waitFor(paused, { what: 'the pause' })
  expect(pause.kind).toBe('misconfigured')
  expect(pause.reason).toContain('HTTP_401')
  expect(mended).toEqual([])
  verify = createWebhookVerifier({ secrets: [otherSecret, secret] })
  await waitFor(() => mended.length >= 60, { what: 'all webhooks after the secret was mended' })

  for (const seen of [viaExpress.seen, viaFastify.seen, mended]) {
    const byId = new Map(seen.map((one) => [one.id, one]))
    for (const one of published) expect(byId.get(one.id)).toEqual({ ...one, attempt: 1 })
    for (const key of new Set(published.flatMap((one) => one.key ?? []))) {
      const numbers = (list: readonly Pick<Seen, 'id' | 'key'>[]) =>
        list.filter((one) => one.key === key).map(({ id }) => id)
      expect(numbers([...byId.values()])).toEqual(numbers(published))
    }
  }
})
