import { afterEach, describe, expect, test } from 'vitest'
import type { WebhookOptions } from '../../src/config/destinations/webhook.js'
import { makeCertificates } from '../support/certificates.js'
import { type HttpReceiver, type Reply, startHttpReceiver } from '../support/http-receiver.js'
import { brief, closeAdapters, createWebhook, deliverOne, failureText } from './webhook-fixture.js'

afterEach(closeAdapters)

describe('OAuth 2 client credentials', () => {
  const clientSecret = 'p:ä client secret'

  /** A token endpoint that gives `token-1`, `token-2`, …, and an endpoint that takes those in `accepted`. */
  async function servers(token: Reply | ((n: number) => Reply) = (n) => tokenAnswer(n)) {
    let fetched = 0
    const login = await startHttpReceiver(() => (typeof token === 'function' ? token(++fetched) : token))
    const accepted = new Set<string | undefined>()
    const endpoint = await startHttpReceiver(({ headers }) => ({
      status: accepted.size === 0 || accepted.has(headers.authorization) ? 200 : 401,
    }))
    return { login, endpoint, accepted }
  }

  const tokenAnswer = (n: number, expiresIn?: number): Reply => ({
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ access_token: `token-${n}`, token_type: 'Bearer', expires_in: expiresIn ?? 3600 }),
  })

  const withTokens = (
    endpoint: HttpReceiver,
    login: HttpReceiver,
    more: object = {},
    options: Partial<WebhookOptions> = {},
  ) =>
    createWebhook({
      url: endpoint.url,
      auth: { type: 'oauth2', tokenUrl: `${login.url}/token`, clientId: 'waybill app', clientSecret, ...more },
      ...options,
    })

  test('fetches one token for many messages, and sends it', async () => {
    const { login, endpoint } = await servers()
    const adapter = withTokens(endpoint, login, { scope: 'a b', audience: 'https://crm' })
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => deliverOne(adapter)))
    expect(outcomes.map(brief)).toEqual(outcomes.map(() => 'delivered'))
    expect(login.received()).toHaveLength(1)
    const [request] = login.received()
    expect(request).toMatchObject({ method: 'POST', url: '/token' })
    expect(Object.fromEntries(new URLSearchParams(String(request?.body)))).toEqual({
      grant_type: 'client_credentials',
      scope: 'a b',
      audience: 'https://crm',
    })
    const pair = Buffer.from(String(request?.headers.authorization).slice('Basic '.length), 'base64').toString()
    expect(pair).toBe('waybill+app:p%3A%C3%A4+client+secret')
    expect(new Set(endpoint.received().map(({ headers }) => headers.authorization))).toEqual(
      new Set(['Bearer token-1']),
    )
  })

  test('can prove itself in the body', async () => {
    const { login, endpoint } = await servers()
    expect(brief(await deliverOne(withTokens(endpoint, login, { clientAuth: 'body' })))).toBe('delivered')
    const [request] = login.received()
    expect(request?.headers).not.toHaveProperty('authorization')
    expect(Object.fromEntries(new URLSearchParams(String(request?.body)))).toMatchObject({
      client_id: 'waybill app',
      client_secret: clientSecret,
    })
  })

  test('renews a token before it expires', async () => {
    const { login, endpoint } = await servers((n) => tokenAnswer(n, 0.05))
    const adapter = withTokens(endpoint, login)
    await deliverOne(adapter)
    await new Promise((resolve) => setTimeout(resolve, 60))
    await deliverOne(adapter)
    expect(endpoint.received().map(({ headers }) => headers.authorization)).toEqual([
      'Bearer token-1',
      'Bearer token-2',
    ])
  })

  test('a token that the endpoint rejects is dropped, and the same attempt goes on with a new one', async () => {
    const { login, endpoint, accepted } = await servers()
    const adapter = withTokens(endpoint, login)
    await deliverOne(adapter)
    accepted.add('Bearer token-2')
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => deliverOne(adapter)))
    expect(outcomes.map(brief)).toEqual(outcomes.map(() => 'delivered'))
    expect(login.received()).toHaveLength(2)
  })

  test('401 to a fresh token as well is misconfigured', async () => {
    const { login, endpoint, accepted } = await servers()
    accepted.add('Bearer none of them')
    expect(brief(await deliverOne(withTokens(endpoint, login)))).toBe('misconfigured HTTP_401')
    expect([login.received().length, endpoint.received().length]).toEqual([2, 2])
  })

  test.each<[string, Reply, string, Partial<WebhookOptions>?]>([
    ['answers 503', { status: 503, headers: { 'retry-after': '3' } }, 'pause OAUTH2_HTTP_503'],
    ['answers 429', { status: 429 }, 'pause OAUTH2_HTTP_429'],
    ['cuts connections', 'destroy', 'pause OAUTH2_CONNECTION_RESET'],
    ['never answers', 'hang', 'pause OAUTH2_TIMEOUT', { timeoutMs: 300 }],
    ['answers without a token', { body: '<html>' }, 'pause OAUTH2_NO_TOKEN'],
    ['answers with a token that fits no header', { body: '{"access_token":"a\\nb"}' }, 'pause OAUTH2_NO_TOKEN'],
    [
      'answers with more than a token',
      { body: `{"access_token":"${'x'.repeat(10_000_000)}"}` },
      'pause OAUTH2_CONNECTION_FAILED',
    ],
    ['rejects the client', { status: 401, body: '{"error":"invalid_client"}' }, 'misconfigured OAUTH2_HTTP_401'],
    ['redirects', { status: 302, headers: { location: 'https://elsewhere.example' } }, 'misconfigured OAUTH2_HTTP_302'],
  ])('a token endpoint that %s', async (_, reply, expected, options) => {
    const { login, endpoint } = await servers(reply)
    const outcome = await deliverOne(withTokens(endpoint, login, {}, options))
    expect(brief(outcome)).toBe(expected)
    expect(failureText(outcome)).not.toContain('secret')
    expect(endpoint.received()).toHaveLength(0)
    if (expected.endsWith('503')) expect(outcome).toMatchObject({ retryAfterMs: 3000 })
    if (expected.endsWith('401')) expect(failureText(outcome)).toContain('invalid_client')
  })

  test('a token endpoint that is down is asked again by the next message', async () => {
    const { login, endpoint } = await servers()
    const adapter = withTokens(endpoint, login)
    await login.close()
    expect(brief(await deliverOne(adapter))).toBe('pause OAUTH2_CONNECTION_REFUSED')
    const back = await startHttpReceiver(tokenAnswer(7), { port: login.port })
    expect(brief(await deliverOne(adapter))).toBe('delivered')
    expect(back.received()).toHaveLength(1)
  })

  test('an abort while a token is fetched leaves the message unsettled', async () => {
    const { login, endpoint } = await servers('hang')
    const adapter = withTokens(endpoint, login)
    const stop = new AbortController()
    const delivering = deliverOne(adapter, undefined, stop.signal)
    await login.waitForCount(1)
    stop.abort()
    expect(await delivering).toBeUndefined()
    await adapter.close()
  })
})

describe('TLS', () => {
  const pem = makeCertificates()
  const server = { key: pem('server.key'), cert: pem('server.pem') }

  test('a certificate of an unknown authority is misconfigured; with tls.ca it is fine', async () => {
    const receiver = await startHttpReceiver({}, { tls: server })
    const outcome = await deliverOne(createWebhook({ url: receiver.url }))
    expect(brief(outcome)).toBe('misconfigured TLS_FAILED')
    expect(failureText(outcome)).toContain('tls.ca')
    expect(receiver.received()).toHaveLength(0)
    const trusting = createWebhook({ url: receiver.url, tls: { ca: pem('ca.pem') } })
    expect(brief(await deliverOne(trusting))).toBe('delivered')
    expect(brief(await deliverOne(trusting))).toBe('delivered')
    expect(receiver.received()).toHaveLength(2)
  })

  test('a self-signed certificate is misconfigured', async () => {
    const receiver = await startHttpReceiver({}, { tls: { key: pem('ca.key'), cert: pem('ca.pem') } })
    expect(brief(await deliverOne(createWebhook({ url: receiver.url })))).toBe('misconfigured TLS_FAILED')
  })

  test('a certificate for another name is misconfigured', async () => {
    const tls = { key: pem('elsewhere.key'), cert: pem('elsewhere.pem') }
    const receiver = await startHttpReceiver({}, { tls })
    const adapter = createWebhook({ url: receiver.url, tls: { ca: pem('ca.pem') } })
    expect(brief(await deliverOne(adapter))).toBe('misconfigured TLS_FAILED')
  })

  test('https to a port that speaks http is misconfigured', async () => {
    const receiver = await startHttpReceiver()
    const adapter = createWebhook({ url: receiver.url.replace('http:', 'https:') })
    expect(brief(await deliverOne(adapter))).toBe('misconfigured TLS_FAILED')
  })

  test.each([
    ['TLSv1.2', ['misconfigured TLS_FAILED']],
    // the client has finished its handshake when the server refuses: its reset may overtake the alert that says why
    ['TLSv1.3', ['misconfigured TLS_FAILED', 'pause CONNECTION_RESET']],
  ] as const)(
    'mTLS over %s: without a client certificate nothing gets through, with it all is fine',
    async (version, expected) => {
      const tls = {
        ...server,
        ca: pem('ca.pem'),
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: version,
        maxVersion: version,
      }
      const receiver = await startHttpReceiver({}, { tls })
      const bare = createWebhook({ url: receiver.url, tls: { ca: pem('ca.pem') } })
      expect(expected).toContain(brief(await deliverOne(bare)))
      expect(receiver.received()).toHaveLength(0)
      const known = { ca: pem('ca.pem'), cert: pem('client.pem'), key: pem('client.key') }
      expect(brief(await deliverOne(createWebhook({ url: receiver.url, tls: known })))).toBe('delivered')
    },
  )
})
