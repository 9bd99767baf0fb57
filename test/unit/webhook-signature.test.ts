import { generateKeyPairSync, verify } from 'node:crypto'
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { signedPrefix } from '../../src/core/webhook-keys.js'
import { createSigner } from '../../src/adapters/webhook/signature.js'
import { Secret } from '../../src/config/destinations/secret.js'

const id = fc.uuid()
const body = fc.oneof(fc.json(), fc.string({ unit: 'binary', minLength: 1 }))
const now = () => Math.floor(Date.now() / 1000)

function signWith(...secrets: string[]) {
  const signer = createSigner(secrets.map((secret) => new Secret(secret)))
  if (!signer) throw new Error('no signer')
  return (id: string, timestamp: number, body: Buffer) => signer(signedPrefix(id, timestamp), body)
}

describe('v1', () => {
  test('agrees with the standardwebhooks package, for encoded and raw secrets, both ways', () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 64 })
    fc.assert(
      fc.property(
        id,
        body,
        key,
        fc.string({ minLength: 1 }).filter((raw) => !raw.startsWith('whs')),
        (messageId, payload, bytes, raw) => {
          const encoded = `whsec_${Buffer.from(bytes).toString('base64')}`
          const timestamp = now()
          const signature = signWith(encoded, raw)(messageId, timestamp, Buffer.from(payload))
          const theirs = [new Webhook(encoded), new Webhook(Buffer.from(raw), { format: 'raw' })]
          expect(signature.split(' ')).toEqual(
            theirs.map((one) => one.sign(messageId, new Date(timestamp * 1000), payload)),
          )
          const headers = {
            'webhook-id': messageId,
            'webhook-timestamp': String(timestamp),
            'webhook-signature': signature,
          }
          for (const one of theirs) one.verify(payload, headers, { jsonParse: false })
        },
      ),
    )
  })

  test('is the signature of the vector in the specification', () => {
    // Standard Webhooks reference implementations use this vector
    const signer = signWith('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
    const signature = signer('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, Buffer.from('{"test": 2432232314}'))
    expect(signature).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
  })
})

describe('v1a', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' })
  const seed = Buffer.from(d, 'base64url')
  const both = Buffer.concat([seed, Buffer.from(x, 'base64url')])

  test.each([
    ['a seed', seed],
    ['a seed and its public key', both],
  ])('holds for a key given as %s', (_, material) => {
    const signature = signWith(`whsk_${material.toString('base64')}`)('msg_1', 1_700_000_000, Buffer.from('{"ż":1}'))
    const [version, encoded = ''] = signature.split(',')
    expect(version).toBe('v1a')
    const signed = (text: string) => verify(null, Buffer.from(text), publicKey, Buffer.from(encoded, 'base64'))
    expect(signed('msg_1.1700000000.{"ż":1}')).toBe(true)
    expect(signed('msg_1.1700000001.{"ż":1}')).toBe(false)
  })

  test('stands beside v1 in the order of the secrets', () => {
    const signature = signWith(`whsk_${seed.toString('base64')}`, 'raw')('m', 1, Buffer.from('{}'))
    expect(signature.split(' ').map((one) => one.split(',')[0])).toEqual(['v1a', 'v1'])
  })
})

test('without secrets there is nothing to sign with', () => {
  expect(createSigner([])).toBeUndefined()
})
