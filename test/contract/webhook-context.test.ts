import { afterEach, describe, expect, test } from 'vitest'
import type { OutboundMessage } from '../../src/adapters/contract.js'
import { createWebhookVerifier, type WebhookError, webhookPublicKey } from '../../src/receiver/index.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { brief, closeAdapters, createWebhook, deliverOne, outbound } from './webhook-fixture.js'

afterEach(closeAdapters)

const hmac = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
const ed25519 = `whsk_${Buffer.alloc(32, 2).toString('base64')}`

/** A request as it came over the wire. */
async function sent(message: Partial<OutboundMessage>, options: object = { signContext: true }) {
  const receiver = await startHttpReceiver()
  const adapter = createWebhook({ url: receiver.url, secrets: [hmac, ed25519], ...options })
  expect(brief(await deliverOne(adapter, outbound(message)))).toBe('delivered')
  const [request] = receiver.received()
  if (!request) throw new Error('nothing came')
  return { headers: request.headers as Record<string, string>, rawBody: request.body }
}

const verifiers = [hmac, webhookPublicKey(ed25519)].map((secrets) =>
  createWebhookVerifier({ secrets, signedContext: true }),
)

function refusal(request: Awaited<ReturnType<typeof sent>>): unknown {
  for (const verify of verifiers) {
    try {
      verify(request)
      return 'verified'
    } catch (error) {
      const { code, header } = error as WebhookError
      expect(header).toBe('webhook-context-signature')
      if (verify === verifiers.at(-1)) return code
    }
  }
}

describe('with signContext, topic, key and attempt', () => {
  test.each([
    { topic: 'order.created', key: 'customer 1/ä😀', attempt: 3 },
    { topic: 'order.created', key: null, attempt: 1 },
    { topic: 'a.b', key: '', attempt: 1 },
  ])('hold as they were sent: %j', async (message) => {
    const request = await sent(message)
    for (const verify of verifiers) {
      const { topic, key, attempt } = verify(request)
      expect({ topic, key: key ?? null, attempt }).toEqual(message)
    }
  })

  test.each([
    ['another topic', { 'webhook-topic': 'order.paid' }],
    ['another key', { 'webhook-key': 'customer-2' }],
    ['another attempt', { 'webhook-attempt': '2' }],
    ['a signature that is none', { 'webhook-context-signature': 'v1,AAAA v1a,AAAA' }],
  ])('are refused with %s', async (_, changed) => {
    const request = await sent({})
    expect(refusal({ ...request, headers: { ...request.headers, ...changed } })).toBe(
      'WAYBILL_WEBHOOK_SIGNATURE_MISMATCH',
    )
  })

  test('are refused without a key that was there, and with one that was not', async () => {
    const request = await sent({})
    const { 'webhook-key': key, ...rest } = request.headers
    expect(key).toBe('customer-1')
    expect(refusal({ ...request, headers: rest })).toBe('WAYBILL_WEBHOOK_SIGNATURE_MISMATCH')
    const none = await sent({ key: null })
    for (const added of ['', 'null', 'customer-1'])
      expect(refusal({ ...none, headers: { ...none.headers, 'webhook-key': added } })).toBe(
        'WAYBILL_WEBHOOK_SIGNATURE_MISMATCH',
      )
  })

  test('are refused under another message’s id or time, and where they were not signed', async () => {
    const [one, two] = [await sent({}), await sent({ topic: 'order.paid' })]
    const swapped = {
      ...one.headers,
      'webhook-topic': 'order.paid',
      'webhook-context-signature': two.headers['webhook-context-signature'] ?? '',
    }
    expect(refusal({ ...one, headers: swapped })).toBe('WAYBILL_WEBHOOK_SIGNATURE_MISMATCH')
    const unsigned = await sent({}, {})
    expect(unsigned.headers).not.toHaveProperty('webhook-context-signature')
    expect(refusal(unsigned)).toBe('WAYBILL_WEBHOOK_HEADER_MISSING')
    expect(createWebhookVerifier({ secrets: hmac })(unsigned).topic).toBe('order.created')
  })

  test('a signature of theirs is none of a body', async () => {
    const { headers } = await sent({ key: null })
    const forged = {
      'webhook-id': headers['webhook-id'] ?? '',
      'webhook-timestamp': headers['webhook-timestamp'] ?? '',
      'webhook-signature': headers['webhook-context-signature'] ?? '',
    }
    const rawBody = '["order.created",null,"1"]'
    const verify = createWebhookVerifier({ secrets: hmac })
    for (const id of [forged['webhook-id'], 'context', `context.${forged['webhook-id']}`])
      expect(() => verify({ headers: { ...forged, 'webhook-id': id }, rawBody })).toThrow()
  })
})
