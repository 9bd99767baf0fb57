import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type HeaderSource, verifyWebhook, WebhookError, webhookPublicKey } from '../../src/receiver/index.js'
import { secondsNow, signedWebhook } from '../support/signed-webhook.js'

const privateKey = `whsk_${Buffer.from('a seed of exactly 32 bytes, yes!').toString('base64')}`
const schemes = [
  { name: 'v1', signer: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', secrets: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' },
  { name: 'v1a', signer: privateKey, secrets: webhookPublicKey(privateKey) },
] as const

const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/)
const body = fc.oneof(fc.json(), fc.uint8Array({ minLength: 1, maxLength: 200 }))

function outcome(headers: HeaderSource, rawBody: Uint8Array, secrets: string): string {
  try {
    return `accepted ${verifyWebhook({ headers, rawBody, secrets }).id}`
  } catch (error) {
    if (error instanceof WebhookError) return 'refused'
    throw error
  }
}

describe.each(schemes)('$name', ({ signer, secrets }) => {
  test('a webhook with any one bit of its body, id, timestamp or signature flipped is refused', () => {
    const place = fc.constantFrom('body', 'webhook-id', 'webhook-timestamp', 'webhook-signature')
    fc.assert(
      fc.property(id, body, place, fc.nat(), fc.nat(7), (messageId, content, where, at, bit) => {
        const { headers, rawBody } = signedWebhook(signer, { id: messageId, body: content })
        expect(outcome(headers, rawBody, secrets)).toBe(`accepted ${messageId}`)
        // header text as HTTP carries it: a byte is a character
        const bytes = where === 'body' ? Buffer.from(rawBody) : Buffer.from(headers[where as 'webhook-id'], 'latin1')
        const index = at % bytes.length
        bytes[index] = (bytes[index] ?? 0) ^ (1 << bit)
        const changed = where === 'body' ? headers : { ...headers, [where]: bytes.toString('latin1') }
        expect(outcome(changed, where === 'body' ? bytes : rawBody, secrets)).toBe('refused')
      }),
      { numRuns: 1000 },
    )
  })

  test('every single bit of one signature and of one timestamp counts', () => {
    const { headers, rawBody } = signedWebhook(signer)
    for (const name of ['webhook-signature', 'webhook-timestamp'] as const) {
      for (let i = 0; i < headers[name].length * 8; i++) {
        const bytes = Buffer.from(headers[name], 'latin1')
        bytes[i >> 3] = (bytes[i >> 3] ?? 0) ^ (1 << (i & 7))
        expect(outcome({ ...headers, [name]: bytes.toString('latin1') }, rawBody, secrets), `${name} ${i}`).toBe(
          'refused',
        )
      }
    }
  })

  test('bytes moved between id, timestamp and body are refused: what is signed can be split in one way only', () => {
    fc.assert(
      fc.property(id, fc.integer({ min: 0, max: 200 }), fc.json(), (messageId, ago, rest) => {
        const stamp = secondsNow() - ago
        // a body that begins like a timestamp
        const { headers } = signedWebhook(signer, { id: messageId, body: `${stamp}.${rest}` })
        const moved = {
          ...headers,
          'webhook-id': `${messageId}.${headers['webhook-timestamp']}`,
          'webhook-timestamp': `${stamp}`,
        }
        expect(outcome(moved, Buffer.from(rest), secrets)).toBe('refused')
      }),
    )
  })

  test('any case of names and any shape of headers is taken', () => {
    const cased = (name: string) =>
      fc
        .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
        .map((upper) => Array.from(name, (character, i) => (upper[i] ? character.toUpperCase() : character)).join(''))
    const names = fc.tuple(cased('webhook-id'), cased('webhook-timestamp'), cased('webhook-signature'))
    const extra = fc.constantFrom('v1,AAAA', 'v2,AAAA', 'v1a,AAAA', 'v1b,')
    fc.assert(
      fc.property(
        id,
        body,
        names,
        fc.array(extra, { maxLength: 5 }),
        (messageId, content, [idName, timeName, signName], extras) => {
          const { headers, rawBody } = signedWebhook(signer, { id: messageId, body: content })
          const stamp = headers['webhook-timestamp']
          const all = [...extras, headers['webhook-signature'], ...extras]
          const plain = {
            [idName]: messageId,
            [timeName]: stamp,
            [signName]: all.join(' '),
            host: 'a',
            [`x-${idName}`]: 'b',
          }
          const lists = { [idName]: [messageId], [timeName]: [stamp], [signName]: all, empty: undefined, none: [] }
          const shapes: HeaderSource[] = [
            plain,
            lists,
            new Headers(plain),
            new Map(Object.entries(plain)),
            new Map(Object.entries(lists)),
            Object.entries(plain),
            // several headers of one name, as Node gives them
            { ...plain, [signName]: all.join(', ') },
          ]
          for (const shape of shapes) expect(outcome(shape, rawBody, secrets)).toBe(`accepted ${messageId}`)
        },
      ),
      { numRuns: 200 },
    )
  })
})
