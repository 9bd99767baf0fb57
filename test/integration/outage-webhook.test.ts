import { describe, expect, it } from 'vitest'
import { createTestDatabase } from '../support/database.js'
import { startHalfOpenProxy } from '../support/half-open-proxy.js'
import { type Reply, startHttpReceiver } from '../support/http-receiver.js'
import { type OutageCase, type Said, rideOut, said } from './outage-fixture.js'

/** An endpoint behind a network, and what it has accepted. While `refusal` is set it answers so. */
async function endpoint() {
  const accepted: Said[] = []
  let refusal: Reply | undefined
  const receiver = await startHttpReceiver(({ body }) => {
    if (refusal !== undefined) return refusal
    accepted.push(said(body))
    return {}
  })
  const proxy = await startHalfOpenProxy({ port: receiver.port })
  const destination: Pick<OutageCase, 'kind' | 'options' | 'arrived'> = {
    kind: 'webhook',
    options: { url: proxy.through(receiver.url), allowNetworks: ['127.0.0.0/8'], timeoutMs: 500 },
    arrived: () => accepted,
  }
  return { destination, proxy, refuse: (reply: Reply | undefined) => (refusal = reply) }
}

describe('a webhook pauses its lane alone, and everything arrives in order when it is back, after it', () => {
  it.each([
    ['answered 503', { status: 503 }, 'outage', /^HTTP_503: POST http:\/\/127\.0\.0\.1:\d+ answered 503/],
    ['cut each connection in place of an answer', 'destroy', 'outage', /^CONNECTION_RESET: /],
    ['answered 401', { status: 401 }, 'misconfigured', /^HTTP_401: .*check auth/],
  ] as const)('%s', async (_, reply, kind, reason) => {
    const { destination, refuse } = await endpoint()
    await rideOut(await createTestDatabase(), {
      ...destination,
      fail: () => refuse(reply),
      heal: () => refuse(undefined),
      says: { kind, reason },
    })
  })

  it('took requests and never answered', async () => {
    const { destination, refuse } = await endpoint()
    await rideOut(await createTestDatabase(), {
      ...destination,
      fail: () => refuse('hang'),
      heal: () => refuse(undefined),
      says: { kind: 'outage', reason: /^TIMEOUT: / },
      probes: 1,
    })
  })

  it('answered 429 and when to come back, before which it is left alone', async () => {
    const { destination, refuse } = await endpoint()
    const { probedAt } = await rideOut(await createTestDatabase(), {
      ...destination,
      fail: () => refuse({ status: 429, headers: { 'retry-after': '1' } }),
      heal: () => refuse(undefined),
      says: { kind: 'throttled', reason: /^HTTP_429: / },
      probes: 3,
    })
    const waits = probedAt.slice(1).map((at, i) => at - (probedAt[i] ?? 0))
    // timers may be a moment early
    for (const wait of waits) expect(wait).toBeGreaterThanOrEqual(990)
    expect(waits.length).toBeGreaterThan(1)
  })

  it('was not there: connections were refused', async () => {
    const { destination, proxy } = await endpoint()
    await rideOut(await createTestDatabase(), {
      ...destination,
      fail: () => {
        proxy.refuse()
        proxy.cut()
      },
      heal: () => proxy.restore(),
      says: { kind: 'outage', reason: /^CONNECTION_(RESET|REFUSED): / },
    })
  })

  it('was behind a network that swallowed everything', async () => {
    const { destination, proxy } = await endpoint()
    await rideOut(await createTestDatabase(), {
      ...destination,
      fail: () => proxy.swallow(),
      heal: () => proxy.restore(),
      says: { kind: 'outage', reason: /^(CONNECT_)?TIMEOUT: / },
      probes: 1,
    })
  })
})
