import { request as httpRequest } from 'node:http'
import express, { type ErrorRequestHandler, type RequestHandler } from 'express'
import { afterEach, describe, expect, test } from 'vitest'
import { webhookReceiver, type WebhookReceiverOptions } from '../../src/receiver/express.js'
import { type WebhookError, webhookPublicKey } from '../../src/receiver/index.js'
import { secondsNow, signedWebhook } from '../support/signed-webhook.js'
import { waitFor } from '../support/wait-for.js'
import {
  otherSecret,
  post,
  privateKey,
  secret,
  seenIn,
  type Seen,
  serve,
  statusAfterWriting,
} from './receiver-fixture.js'
import { brief, closeAdapters, createWebhook, deliverOne, failureText, outbound } from './webhook-fixture.js'

afterEach(closeAdapters)

/** An application with `before`, then the receiver, then a handler that keeps what it was given. */
async function application(options: Partial<WebhookReceiverOptions> = {}, ...before: RequestHandler[]) {
  const seen: Seen[] = []
  const refused: WebhookError[] = []
  const failed: unknown[] = []
  const app = express()
  for (const one of before) app.use(one)
  const receiver = webhookReceiver({ secrets: secret, onRefused: (error) => void refused.push(error), ...options })
  app.post('/hooks', receiver, (request, response) => {
    if (request.webhook) seen.push(seenIn(request.webhook))
    response.sendStatus(204)
  })
  const onError: ErrorRequestHandler = (error: { status?: number; code?: string }, _request, response, _next) => {
    failed.push(error)
    response.status(error.status ?? 500).json({ failed: error.code })
  }
  app.use(onError)
  return { url: `${await serve(app)}/hooks`, seen, refused, failed }
}

describe('what the webhook adapter sends', () => {
  test('arrives verified, with everything that it carries', async () => {
    const { url, seen } = await application()
    const payload = '{"text":"żółw \\u0000 🐢","n":1.10,  "list":[1,2]}'
    const message = outbound({ payload, key: 'żółw/ü %', attempt: 3, headers: { 'x-city': 'Łódź' } })
    expect(brief(await deliverOne(createWebhook({ url, secrets: [secret] }), message))).toBe('delivered')
    const { id, topic, key, attempt } = message
    expect(seen).toEqual([{ id, topic, key, attempt, payload: JSON.parse(payload) as unknown, city: 'Łódź' }])
  })

  test('is taken under the old, the new and the public key while they are rotated', async () => {
    const { url, seen } = await application({ secrets: [otherSecret, webhookPublicKey(privateKey)] })
    for (const secrets of [[otherSecret], [secret, otherSecret], [privateKey], [secret, privateKey]]) {
      expect(brief(await deliverOne(createWebhook({ url, secrets })))).toBe('delivered')
    }
    expect(seen).toHaveLength(4)
  })

  test('pauses the lane, and is not charged, when the secrets differ or nothing is signed', async () => {
    const { url, seen, refused } = await application()
    const wrong = await deliverOne(createWebhook({ url, secrets: [otherSecret] }))
    expect(brief(wrong)).toBe('misconfigured HTTP_401')
    expect(failureText(wrong)).toContain('WAYBILL_WEBHOOK_SIGNATURE_MISMATCH')
    expect(failureText(await deliverOne(createWebhook({ url })))).toContain('WAYBILL_WEBHOOK_HEADER_MISSING')
    expect(refused.map(({ code }) => code)).toEqual([
      'WAYBILL_WEBHOOK_SIGNATURE_MISMATCH',
      'WAYBILL_WEBHOOK_HEADER_MISSING',
    ])
    expect(seen).toEqual([])
  })

  test.each([1, 7])('of more than the limit is told so, also when it is %i MiB longer', async (more) => {
    const { url, seen } = await application()
    const webhook = createWebhook({ url, secrets: [secret] })
    const payload = JSON.stringify('x'.repeat(more * 1_048_576))
    const outcome = await deliverOne(webhook, outbound({ payload }))
    expect(brief(outcome)).toBe('retry HTTP_413')
    expect(failureText(outcome)).toContain('WAYBILL_WEBHOOK_BODY_TOO_LARGE')
    const fits = JSON.stringify('x'.repeat(1_048_576 - 2))
    expect(brief(await deliverOne(webhook, outbound({ payload: fits })))).toBe('delivered')
    expect(seen).toHaveLength(1)
  })
})

describe('a refusal', () => {
  test('is answered with a status, a code and the header', async () => {
    const { url, seen } = await application({ limit: 100 })
    const good = signedWebhook(secret)
    const { 'webhook-id': _, ...nameless } = good.headers
    const cases: [request: Parameters<typeof post>[1], status: number, code: string, header?: string][] = [
      [{ ...good, headers: nameless }, 400, 'HEADER_MISSING', 'webhook-id'],
      [
        { ...good, headers: { ...good.headers, 'webhook-timestamp': 'now' } },
        400,
        'HEADER_INVALID',
        'webhook-timestamp',
      ],
      [signedWebhook(secret, { timestamp: secondsNow() - 900 }), 401, 'TOO_OLD', 'webhook-timestamp'],
      [signedWebhook(secret, { timestamp: secondsNow() + 900 }), 401, 'TOO_NEW', 'webhook-timestamp'],
      [{ ...good, rawBody: '{"n":2}' }, 401, 'SIGNATURE_MISMATCH', 'webhook-signature'],
      [signedWebhook(secret, { body: JSON.stringify('x'.repeat(99)) }), 413, 'BODY_TOO_LARGE'],
    ]
    for (const [request, status, code, header] of cases) {
      const error = `WAYBILL_WEBHOOK_${code}`
      expect(await post(url, request)).toEqual({ status, answer: { error, ...(header && { header }) } })
    }
    expect(seen).toEqual([])
    expect(await post(url, good)).toEqual({ status: 204, answer: '' })
  })

  test('of a body that breaks off is told to the application', async () => {
    const { url, refused } = await application()
    const { headers } = signedWebhook(secret)
    const request = httpRequest(url, { method: 'POST', headers: { ...headers, 'content-length': '100' } })
    request.on('error', () => undefined)
    request.write('{"n":')
    await new Promise((resolve) => setImmediate(resolve))
    request.once('socket', (socket) => socket.destroySoon())
    request.socket?.destroySoon()
    await waitFor(() => refused.length > 0, { what: 'the refusal' })
    expect(refused[0]).toMatchObject({ code: 'WAYBILL_WEBHOOK_BODY_INCOMPLETE', status: 400 })
  })

  test('that cannot be told because the log throws is answered all the same', async () => {
    const { url, failed } = await application({
      onRefused: () => {
        throw new Error('the log is full')
      },
    })
    expect((await post(url, {})).status).toBe(400)
    expect(failed).toEqual([])
  })

  test('who writes 64 MiB before reading sees the answer, not a connection that is cut', async () => {
    const { url } = await application()
    expect(await statusAfterWriting(url, 64 * 1_048_576)).toBe('HTTP/1.1 413 Payload Too Large')
  })
})

describe('beside body parsers', () => {
  test('behind express.json() the raw body is gone: the error says what to do, and it is not the sender’s', async () => {
    const { url, seen, refused, failed } = await application({}, express.json())
    const outcome = await deliverOne(createWebhook({ url, secrets: [secret] }))
    expect(brief(outcome)).toBe('retry HTTP_500')
    expect(failed).toMatchObject([{ code: 'WAYBILL_WEBHOOK_BODY_PARSED', status: 500 }])
    expect(String(failed[0])).toContain('must be text or bytes, not an object; keep the raw body')
    expect([seen, refused]).toEqual([[], []])
  })

  test.each([
    ['express.raw()', express.raw({ type: '*/*' })],
    ['express.text()', express.text({ type: '*/*' })],
    [
      'express.json() that keeps rawBody',
      express.json({ verify: (request, _, bytes) => void Object.assign(request, { rawBody: bytes }) }),
    ],
    ['express.json() for other types', express.json({ type: 'application/vnd.other' })],
  ])('behind %s it works', async (_, parser) => {
    const { url, seen } = await application({ limit: 60 }, parser)
    const webhook = createWebhook({ url, secrets: [secret] })
    expect(brief(await deliverOne(webhook, outbound({ payload: '{"ż":1}' })))).toBe('delivered')
    expect(seen).toMatchObject([{ payload: { ż: 1 } }])
    const long = outbound({ payload: JSON.stringify({ text: 'ż'.repeat(31) }) })
    expect(brief(await deliverOne(webhook, long))).toBe('retry HTTP_413')
  })

  test('before express.json() it leaves other routes alone', async () => {
    const app = express()
    app.use('/hooks', webhookReceiver({ secrets: secret }))
    app.use(express.json())
    app.post(['/hooks', '/orders'], (request, response) => {
      response.json({ id: request.webhook?.id, body: request.body as unknown })
    })
    const url = await serve(app)
    const hook = await post(`${url}/hooks`, signedWebhook(secret))
    expect(hook).toEqual({ status: 200, answer: { id: 'msg_1' } })
    const order = await post(`${url}/orders`, { headers: { 'content-type': 'application/json' }, rawBody: '{"o":1}' })
    expect(order).toEqual({ status: 200, answer: { body: { o: 1 } } })
  })
})

test('what cannot work is an error before the first request', () => {
  expect(() => webhookReceiver({ secrets: '' })).toThrow('must not be empty')
  expect(() => webhookReceiver({ secrets: secret, limit: 0.5 })).toThrow('limit: must be a whole number of bytes')
  expect(() => webhookReceiver({ secrets: secret, tolerance: 'x' })).toThrow('tolerance')
})

test('a handler that throws is not taken for a refusal', async () => {
  const app = express()
  app.post('/hooks', webhookReceiver({ secrets: secret }), () => {
    throw new Error('mine')
  })
  const onError: ErrorRequestHandler = (error: Error, _request, response, _next) => {
    response.status(503).json({ said: error.message })
  }
  app.use(onError)
  const url = await serve(app)
  expect(await post(`${url}/hooks`, signedWebhook(secret))).toEqual({ status: 503, answer: { said: 'mine' } })
})
