import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import { webhookReceiver, type WebhookReceiverOptions } from '../../src/receiver/fastify.js'
import { webhookPublicKey } from '../../src/receiver/index.js'
import { onFileEnd } from '../support/cleanup.js'
import { secondsNow, signedWebhook } from '../support/signed-webhook.js'
import { otherSecret, post, privateKey, secret, seenIn, type Seen, statusAfterWriting } from './receiver-fixture.js'
import { brief, closeAdapters, createWebhook, deliverOne, failureText, outbound } from './webhook-fixture.js'

afterEach(closeAdapters)

/** A server with the receiver in a scope of its own, and an ordinary JSON route beside it. */
async function server(
  options: Partial<WebhookReceiverOptions> = {},
  inner: (scope: FastifyInstance) => void = () => undefined,
) {
  const seen: Seen[] = []
  const bodies: unknown[] = []
  const app = Fastify()
  await app.register(async (scope) => {
    await scope.register(webhookReceiver, { secrets: secret, ...options })
    scope.post('/hooks', async (request, reply) => {
      seen.push(seenIn(request.webhook))
      bodies.push(request.body)
      return reply.code(204).send()
    })
    inner(scope)
  })
  app.post('/orders', async (request) => ({ body: request.body, webhook: request.webhook as unknown }))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  onFileEnd(() => app.close())
  return { root: url, url: `${url}/hooks`, seen, bodies }
}

describe('what the webhook adapter sends', () => {
  test('arrives verified, with everything that it carries; the body is the payload', async () => {
    const { url, seen, bodies } = await server()
    const payload = '{"text":"żółw \\u0000 🐢","n":1.10,  "list":[1,2]}'
    const message = outbound({ payload, key: 'żółw/ü %', attempt: 3, headers: { 'x-city': 'Łódź' } })
    expect(brief(await deliverOne(createWebhook({ url, secrets: [secret] }), message))).toBe('delivered')
    const { id, topic, key, attempt } = message
    expect(seen).toEqual([{ id, topic, key, attempt, payload: JSON.parse(payload) as unknown, city: 'Łódź' }])
    expect(bodies).toEqual([JSON.parse(payload)])
  })

  test('is taken under the old, the new and the public key while they are rotated', async () => {
    const { url, seen } = await server({ secrets: [otherSecret, webhookPublicKey(privateKey)] })
    for (const secrets of [[otherSecret], [secret, otherSecret], [privateKey], [secret, privateKey]]) {
      expect(brief(await deliverOne(createWebhook({ url, secrets })))).toBe('delivered')
    }
    expect(seen).toHaveLength(4)
  })

  test('pauses the lane, and is not charged, when the secrets differ or nothing is signed', async () => {
    const { url, seen } = await server()
    const wrong = await deliverOne(createWebhook({ url, secrets: [otherSecret] }))
    expect(brief(wrong)).toBe('misconfigured HTTP_401')
    expect(failureText(wrong)).toContain('WAYBILL_WEBHOOK_SIGNATURE_MISMATCH')
    expect(brief(await deliverOne(createWebhook({ url })))).toBe('misconfigured HTTP_401')
    expect(seen).toEqual([])
  })

  test.each([1, 7])('of more than the limit is told so, also when it is %i MiB longer', async (more) => {
    const { url, seen } = await server()
    const webhook = createWebhook({ url, secrets: [secret] })
    const outcome = await deliverOne(webhook, outbound({ payload: JSON.stringify('x'.repeat(more * 1_048_576)) }))
    expect(brief(outcome)).toBe('retry HTTP_413')
    expect(failureText(outcome)).toContain('WAYBILL_WEBHOOK_BODY_TOO_LARGE')
    const fits = JSON.stringify('x'.repeat(1_048_576 - 2))
    expect(brief(await deliverOne(webhook, outbound({ payload: fits })))).toBe('delivered')
    expect(seen).toHaveLength(1)
  })

  test('who writes 64 MiB before reading sees the answer, not a connection that is cut', async () => {
    const { url } = await server()
    expect(await statusAfterWriting(url, 64 * 1_048_576)).toBe('HTTP/1.1 413 Payload Too Large')
  })
})

test('a refusal is answered by Fastify with status, code and message', async () => {
  const { url, seen } = await server({ limit: 100 })
  const good = signedWebhook(secret)
  const { 'webhook-id': _, ...nameless } = good.headers
  const cases: [request: Parameters<typeof post>[1], status: number, code: string][] = [
    [{ ...good, headers: nameless }, 400, 'HEADER_MISSING'],
    [signedWebhook(secret, { timestamp: secondsNow() - 900 }), 401, 'TOO_OLD'],
    [{ ...good, rawBody: '{"n":2}' }, 401, 'SIGNATURE_MISMATCH'],
    [{ ...good, rawBody: '' }, 401, 'SIGNATURE_MISMATCH'],
    [signedWebhook(secret, { body: JSON.stringify('x'.repeat(99)) }), 413, 'BODY_TOO_LARGE'],
  ]
  for (const [request, status, code] of cases) {
    const { status: got, answer } = await post(url, request)
    expect([got, (answer as { code: string }).code]).toEqual([status, `WAYBILL_WEBHOOK_${code}`])
  }
  // nothing but the signature counts: neither the type of the body nor whether there is one
  for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-type': 'text/plain' }]) {
    expect((await post(url, { headers })).status).toBe(401 - 1)
    expect(await post(url, { ...good, headers: { ...good.headers, ...headers } })).toEqual({ status: 204, answer: '' })
  }
  expect(seen).toHaveLength(3)
})

test('a request without a body, of any method, does not pass by the verification', async () => {
  const { root } = await server({}, (scope) => {
    scope.all('/any', async (request) => ({ id: request.webhook.id }))
  })
  for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS', 'PUT']) {
    expect((await fetch(`${root}/any`, { method })).status, method).toBe(400)
  }
  const { headers } = signedWebhook(secret, { body: '' })
  const signed = await fetch(`${root}/any`, { method: 'POST', headers })
  expect([signed.status, await signed.json()]).toEqual([200, { id: 'msg_1' }])
})

test('other scopes keep their parsers, and are not verified', async () => {
  const { root } = await server()
  const order = await post(`${root}/orders`, { headers: { 'content-type': 'application/json' }, rawBody: '{"o":1}' })
  expect(order).toEqual({ status: 200, answer: { body: { o: 1 } } })
})

test('a schema of the route validates the payload', async () => {
  const { root } = await server({}, (scope) => {
    const schema = { body: { type: 'object', required: ['n'], properties: { n: { type: 'number' } } } }
    scope.post('/typed', { schema }, async (request) => ({ n: (request.body as { n: number }).n }))
  })
  expect(await post(`${root}/typed`, signedWebhook(secret))).toEqual({ status: 200, answer: { n: 1 } })
  expect((await post(`${root}/typed`, signedWebhook(secret, { body: '{"m":1}' }))).status).toBe(400)
  // verified first: who has no signature learns nothing of the schema
  expect((await post(`${root}/typed`, { ...signedWebhook(secret), rawBody: '{"m":1}' })).status).toBe(401)
})

test('a body that is not JSON stays bytes', async () => {
  const { url, bodies } = await server({}, (scope) => {
    scope.post('/raw', async (request) => ({ bytes: Buffer.isBuffer(request.body) }))
  })
  expect(await post(url.replace('/hooks', '/raw'), signedWebhook(secret, { body: 'not JSON' }))).toEqual({
    status: 200,
    answer: { bytes: true },
  })
  expect(bodies).toEqual([])
})

test('where another parser of an inner scope took the raw body, the error says what to do', async () => {
  const { root } = await server({}, (scope) => {
    scope.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
      done(null, JSON.parse(body as string))
    })
    scope.post('/parsed', async () => ({}))
  })
  const outcome = await deliverOne(createWebhook({ url: `${root}/parsed`, secrets: [secret] }))
  expect(brief(outcome)).toBe('retry HTTP_500')
  expect(failureText(outcome)).toContain('keep the raw body')
})

test('two scopes have secrets of their own, and one may be within the other', async () => {
  const app = Fastify()
  await app.register(async (outer) => {
    await outer.register(webhookReceiver, { secrets: secret })
    outer.post('/outer', async (request) => ({ id: request.webhook.id }))
  })
  await app.register(async (sibling) => {
    await sibling.register(webhookReceiver, { secrets: otherSecret })
    sibling.post('/sibling', async (request) => ({ id: request.webhook.id }))
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  onFileEnd(() => app.close())
  const signed = signedWebhook(otherSecret)
  expect((await post(`${url}/outer`, signed)).status).toBe(401)
  expect((await post(`${url}/sibling`, signed)).status).toBe(200)
})

test.each([
  [{ secrets: '' }, 'must not be empty'],
  [{ secrets: secret, limit: -1 }, 'limit: must be a whole number'],
  [{ secrets: secret, tolerance: 'x' }, 'tolerance'],
])('registering with %j fails', async (options, said) => {
  const app = Fastify()
  await expect(app.register(webhookReceiver, options).then(() => app.ready())).rejects.toThrow(said)
})
