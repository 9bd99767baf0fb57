import { Webhook } from 'standardwebhooks'
import { afterEach, describe, expect, test } from 'vitest'
import { version } from '../../src/core/version.js'
import { type Answer, startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'
import { brief, closeAdapters, createWebhook, deliverOne, failureText, outbound } from './webhook-fixture.js'

const receiver = await startHttpReceiver()

afterEach(async () => {
  await closeAdapters()
  receiver.respondWith({})
  receiver.forget()
})

async function answered(answer: Answer, options: Partial<Parameters<typeof createWebhook>[0]> = {}) {
  receiver.respondWith(answer)
  return deliverOne(createWebhook({ url: receiver.url, ...options }))
}

describe('the request', () => {
  test('is a POST of exactly the payload with the headers of Standard Webhooks', async () => {
    const payload = `{"text":"żółw \\u0000 🐢 \u2028","n":1.10,  "big":12345678901234567890}`
    const message = outbound({ payload, key: 'żółw/ü %', attempt: 3 })
    const outcome = await deliverOne(createWebhook({ url: `${receiver.url}/hooks?tenant=a%20b` }), message)
    expect(outcome).toEqual({ kind: 'delivered', receipt: { status: 200, durationMs: expect.any(Number) as number } })
    const [request] = receiver.received()
    expect(request?.method).toBe('POST')
    expect(request?.url).toBe('/hooks?tenant=a%20b')
    expect(request?.body).toEqual(Buffer.from(payload))
    expect(request?.headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': `waybill/${version}`,
      'webhook-id': message.id,
      'webhook-topic': 'order.created',
      'webhook-attempt': '3',
    })
    expect(decodeURIComponent(String(request?.headers['webhook-key']))).toBe('żółw/ü %')
    expect(Math.abs(Number(request?.headers['webhook-timestamp']) - Date.now() / 1000)).toBeLessThan(30)
    expect(request?.headers).not.toHaveProperty('webhook-signature')
  })

  test('of 1 MiB arrives byte for byte, and its signature holds', async () => {
    const secret = `whsec_${Buffer.from('a secret of some length').toString('base64')}`
    const payload = JSON.stringify({ text: '🐢ż'.repeat(180_000) })
    await deliverOne(createWebhook({ url: receiver.url, secrets: [secret] }), outbound({ payload }))
    const [request] = receiver.received()
    expect(request?.body.length).toBeGreaterThan(1_048_576)
    expect(request?.body.equals(Buffer.from(payload))).toBe(true)
    new Webhook(secret).verify(payload, request?.headers as Record<string, string>)
  })

  test('carries a signature for the old and the new secret while they are rotated', async () => {
    const secrets = ['whsec_bmV3IHNlY3JldCB0aGF0IGlzIGxvbmc=', 'a raw old secret']
    await deliverOne(createWebhook({ url: receiver.url, secrets }))
    const [request] = receiver.received()
    const headers = request?.headers as Record<string, string>
    const body = String(request?.body)
    const fresh = new Webhook(secrets[0] ?? '')
    const old = new Webhook(secrets[1] ?? '', { format: 'raw' })
    fresh.verify(body, headers)
    old.verify(body, headers)
    expect(headers['webhook-signature']).toBe(
      [fresh, old]
        .map((one) =>
          one.sign(headers['webhook-id'] ?? '', new Date(Number(headers['webhook-timestamp']) * 1000), body),
        )
        .join(' '),
    )
    expect(() => new Webhook('whsec_b3RoZXI=').verify(body, headers)).toThrow('No matching signature')
    expect(() => fresh.verify(`${body} `, headers)).toThrow('No matching signature')
  })

  test('has no key header when the message has no key', async () => {
    await deliverOne(createWebhook({ url: receiver.url }), outbound({ key: null }))
    expect(receiver.received()[0]?.headers).not.toHaveProperty('webhook-key')
  })

  test('passes application headers on, but not over its own', async () => {
    const headers = {
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'x-tenant': 'blue',
      'webhook-id': 'forged',
      'webhook-signature': 'v1,forged',
      'content-type': 'text/html',
      'content-length': '1',
      host: 'elsewhere.example',
      connection: 'close',
      'transfer-encoding': 'chunked',
      authorization: 'Bearer forged',
      cookie: 'forged=1',
      'user-agent': 'forged',
      'x-api-key': 'forged',
    }
    const message = outbound({ headers })
    await deliverOne(createWebhook({ url: receiver.url, headers: { 'X-Api-Key': 'ours' } }), message)
    const received = receiver.received()[0]
    expect(received?.headers).toMatchObject({
      traceparent: headers.traceparent,
      'x-tenant': 'blue',
      'x-api-key': 'ours',
      'webhook-id': message.id,
      host: `127.0.0.1:${receiver.port}`,
      'content-length': '7',
    })
    expect(JSON.stringify(received?.rawHeaders)).not.toContain('forged')
    expect(received?.headers).not.toHaveProperty('webhook-encoded-headers')
  })

  test('carries header text that HTTP cannot, encoded, and says which', async () => {
    const headers = { 'x-city': 'Łódź', 'x-note': 'a\r\nx-injected: 1', 'my name': 'v', 'x-rate': '100%' }
    expect(brief(await deliverOne(createWebhook({ url: receiver.url }), outbound({ headers, key: 'a\r\nb' })))).toBe(
      'delivered',
    )
    const received = receiver.received()[0]?.headers ?? {}
    expect(received).not.toHaveProperty('x-injected')
    expect(received['webhook-key']).toBe('a%0D%0Ab')
    expect(received['x-rate']).toBe('100%')
    const encoded = String(received['webhook-encoded-headers']).split(',')
    const decoded = encoded.map((name) => [decodeURIComponent(name), decodeURIComponent(String(received[name]))])
    expect(Object.fromEntries(decoded)).toEqual({ 'x-city': 'Łódź', 'x-note': headers['x-note'], 'my name': 'v' })
  })

  test('carries basic and bearer credentials', async () => {
    const basic = { type: 'basic', username: 'wałek', password: 'pä:ss' } as const
    await deliverOne(createWebhook({ url: receiver.url, auth: basic }))
    await deliverOne(createWebhook({ url: receiver.url, auth: { type: 'bearer', token: 'tok-123456' } }))
    const [first, second] = receiver.received().map((request) => request.headers.authorization)
    expect(first).toBe(`Basic ${Buffer.from('wałek:pä:ss').toString('base64')}`)
    expect(second).toBe('Bearer tok-123456')
  })
})

describe('the answer', () => {
  const table: [status: number, expected: string][] = [
    ...[200, 201, 202, 204, 299].map((status): [number, string] => [status, 'delivered']),
    ...[301, 308, 401, 403, 410].map((status): [number, string] => [status, `misconfigured HTTP_${status}`]),
    ...[302, 303, 304, 307, 400, 404, 405, 409, 413, 422, 500, 501, 505].map((status): [number, string] => [
      status,
      `retry HTTP_${status}`,
    ]),
    ...[408, 421, 429, 430, 502, 503, 504, 509, 521, 522, 523, 524, 525, 526, 527, 529, 530, 598, 599].map(
      (status): [number, string] => [status, `pause HTTP_${status}`],
    ),
  ]
  test.each(table)('%i → %s', async (status, expected) => {
    expect(brief(await answered({ status }))).toBe(expected)
    expect(receiver.received()).toHaveLength(1)
  })

  test.each([
    [403, 'retry'],
    [500, 'pause'],
    [503, 'retry'],
    [404, 'misconfigured'],
    [422, 'dead'],
  ] as const)('%i means %s where the settings say so', async (status, kind) => {
    expect(brief(await answered({ status }, { statuses: { [status]: kind } }))).toBe(`${kind} HTTP_${status}`)
    expect(brief(await answered({ status: 400 }, { statuses: { [status]: kind } }))).toBe('retry HTTP_400')
  })

  test('after 421 the next request gets another connection', async () => {
    const receiver = await startHttpReceiver(({ index }) => ({ status: index === 0 ? 421 : 200 }))
    const adapter = createWebhook({ url: receiver.url, concurrency: 1 })
    expect(brief(await deliverOne(adapter))).toBe('pause HTTP_421')
    await waitFor(() => receiver.openConnections() === 0, { what: 'the connection to be closed' })
    expect(brief(await deliverOne(adapter))).toBe('delivered')
  })

  test('a status in deadOn is dead at once, others are not', async () => {
    expect(brief(await answered({ status: 422 }, { deadOn: [422, 503] }))).toBe('dead HTTP_422')
    expect(brief(await answered({ status: 503 }, { deadOn: [422, 503] }))).toBe('dead HTTP_503')
    expect(brief(await answered({ status: 400 }, { deadOn: [422, 503] }))).toBe('retry HTTP_400')
  })

  test('a redirect is not followed', async () => {
    const elsewhere = await startHttpReceiver()
    const outcome = await answered({ status: 307, headers: { location: `${elsewhere.url}/?token=hidden` } })
    expect(brief(outcome)).toBe('retry HTTP_307')
    expect(failureText(outcome)).toContain('redirects are not followed')
    expect(failureText(outcome)).not.toContain('hidden')
    expect(elsewhere.received()).toHaveLength(0)
  })

  test('Retry-After is kept in seconds and as a date, within bounds', async () => {
    const asks = async (value: string, status = 503) => {
      const outcome = await answered({ status, headers: { 'retry-after': value } }, { maxRetryAfterMs: 60_000 })
      return outcome && 'retryAfterMs' in outcome ? outcome.retryAfterMs : undefined
    }
    expect(await asks('7')).toBe(7000)
    expect(await asks('7', 500)).toBe(7000)
    expect(await asks('86400')).toBe(60_000)
    expect(await asks('soon')).toBeUndefined()
    const inTime = await asks(new Date(Date.now() + 30_000).toUTCString())
    expect(inTime).toBeGreaterThan(25_000)
    expect(inTime).toBeLessThanOrEqual(30_000)
  })

  test('keeps a piece of its text, without secrets, controls or the rest of the URL', async () => {
    const token = 'very-secret-token'
    const body = `{"error":"bad\u0007 amount", "you sent": "Bearer ${token}", "rest": "${'x'.repeat(9000)}"}`
    const outcome = await answered(
      { status: 400, headers: { 'content-type': 'application/problem+json' }, body },
      { url: `${receiver.url}/hooks/path-token?q=query-token`, auth: { type: 'bearer', token } },
    )
    const text = failureText(outcome)
    expect(text).toContain('bad amount')
    expect(text).not.toContain(token)
    expect(text).not.toMatch(/path-token|query-token/)
    expect(text.length).toBeLessThan(700)
  })

  test.each([
    ['of a binary type', { 'content-type': 'image/png' }, 500],
    ['when none is wanted', { 'content-type': 'text/plain' }, 0],
  ])('keeps no text %s', async (_, headers, answerExcerpt) => {
    const outcome = await answered({ status: 500, headers, body: 'the text' }, { answerExcerpt })
    expect(failureText(outcome)).toBe(`POST ${receiver.url} answered 500`)
  })
})
