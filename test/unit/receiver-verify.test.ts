import { generateKeyPairSync, sign } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { InputError } from '../../src/core/errors.js'
import { createWebhookVerifier, verifyWebhook, WebhookError, webhookPublicKey } from '../../src/receiver/index.js'
import { secondsNow, signedWebhook } from '../support/signed-webhook.js'

const secret = `whsec_${Buffer.from('a secret of 24 bytes or more').toString('base64')}`
const other = `whsec_${Buffer.from('another secret, just as long').toString('base64')}`
const privateKey = `whsk_${Buffer.from('a seed of exactly 32 bytes, yes!').toString('base64')}`
const publicKey = webhookPublicKey(privateKey)

type Request = Parameters<typeof verifyWebhook>[0]

function refusal(request: Request): WebhookError {
  try {
    verifyWebhook(request)
  } catch (error) {
    if (error instanceof WebhookError) return error
    throw error
  }
  throw new Error('it was not refused')
}

const brief = ({ code, header, status }: WebhookError): unknown[] => [
  code.replace('WAYBILL_WEBHOOK_', ''),
  header,
  status,
]

describe('v1 beside the standardwebhooks package', () => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString('base64'))
  const id = fc.stringMatching(/^msg_[A-Za-z0-9]{1,40}$/)

  test('what it signs, we verify', () => {
    fc.assert(
      fc.property(key, id, fc.json(), (encoded, messageId, body) => {
        const timestamp = new Date(secondsNow() * 1000)
        const headers = {
          'webhook-id': messageId,
          'webhook-timestamp': String(timestamp.getTime() / 1000),
          'webhook-signature': new Webhook(encoded).sign(messageId, timestamp, body),
        }
        const webhook = verifyWebhook({ headers, rawBody: body, secrets: `whsec_${encoded}` })
        expect(webhook).toMatchObject({ id: messageId, timestamp })
        expect(webhook.payload).toEqual(JSON.parse(body))
      }),
    )
  })

  test('what our adapter signs, it verifies and we verify', () => {
    fc.assert(
      fc.property(key, id, fc.json(), (encoded, messageId, body) => {
        const signed = signedWebhook(`whsec_${encoded}`, { id: messageId, body })
        new Webhook(encoded).verify(body, { ...signed.headers }, { jsonParse: false })
        expect(verifyWebhook({ ...signed, secrets: `whsec_${encoded}` }).rawBody).toEqual(signed.rawBody)
      }),
    )
  })
})

describe('vectors', () => {
  const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1_614_265_330, body: '{"test": 2432232314}' }
  const now = () => message.timestamp * 1000

  // of the reference implementations: the same message signed by both schemes
  test.each([
    ['v1', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='],
    [
      'v1a',
      webhookPublicKey('whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk='),
      'tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==',
    ],
  ])('%s holds', (version, secrets, signature) => {
    const headers = {
      'webhook-id': message.id,
      'webhook-timestamp': String(message.timestamp),
      'webhook-signature': `${version},${signature}`,
    }
    expect(verifyWebhook({ headers, rawBody: message.body, secrets, now }).payload).toEqual({ test: 2432232314 })
    expect(brief(refusal({ headers, rawBody: `${message.body} `, secrets, now }))[0]).toBe('SIGNATURE_MISMATCH')
  })

  test('the headers in the text of the specification are well formed; their secrets it does not tell', () => {
    const headers = {
      'webhook-id': 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W',
      'webhook-timestamp': '1674087231',
      'webhook-signature':
        'v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==',
    }
    const error = refusal({ headers, rawBody: '{}', secrets: [secret, publicKey], now: () => 1_674_087_231_000 })
    expect(brief(error)).toEqual(['SIGNATURE_MISMATCH', 'webhook-signature', 401])
  })
})

describe('v1a', () => {
  test('holds for signatures that node:crypto makes', () => {
    const pair = generateKeyPairSync('ed25519')
    const { x = '' } = pair.publicKey.export({ format: 'jwk' })
    const body = '{"ż":"🐢"}'
    const timestamp = secondsNow()
    const signature = sign(null, Buffer.from(`msg_1.${timestamp}.${body}`), pair.privateKey).toString('base64')
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': `${timestamp}`,
      'webhook-signature': `v1a,${signature}`,
    }
    const secrets = `whpk_${Buffer.from(x, 'base64url').toString('base64')}`
    expect(verifyWebhook({ headers, rawBody: body, secrets }).payload).toEqual({ ż: '🐢' })
    expect(brief(refusal({ headers, rawBody: body, secrets: publicKey }))[0]).toBe('SIGNATURE_MISMATCH')
  })

  test('the public key of a private key is the same, given as seed or as seed and public key', () => {
    const both = Buffer.concat([Buffer.from(privateKey.slice(5), 'base64'), Buffer.from(publicKey.slice(5), 'base64')])
    expect(webhookPublicKey(`whsk_${both.toString('base64')}`)).toBe(publicKey)
    expect(() => webhookPublicKey(publicKey)).toThrow('must be "whsk_"')
  })
})

describe('rotation', () => {
  test('one secret of several holds for one signature of several, versions mixed', () => {
    for (const [signers, secrets] of [
      [[secret, other], other],
      [[secret], [other, secret]],
      [[privateKey, secret], [publicKey]],
      [
        [other, privateKey],
        [secret, publicKey],
      ],
      [['text as it is'], [secret, 'text as it is']],
    ] as const) {
      expect(verifyWebhook({ ...signedWebhook(signers), secrets }).id).toBe('msg_1')
    }
  })

  test('signatures of unknown versions are ignored', () => {
    const { headers, rawBody } = signedWebhook(secret)
    const good = headers['webhook-signature']
    const v2 = { ...headers, 'webhook-signature': `v2,abc v1b,${good.slice(3)} ${good}` }
    expect(verifyWebhook({ headers: v2, rawBody, secrets: secret }).id).toBe('msg_1')
    const onlyOthers = { ...headers, 'webhook-signature': `v2,${good.slice(3)}` }
    expect(brief(refusal({ headers: onlyOthers, rawBody, secrets: secret }))[0]).toBe('SIGNATURE_MISMATCH')
  })

  test('a key of one scheme never verifies the other: a public key is no HMAC key', () => {
    const { headers, rawBody } = signedWebhook(Buffer.from(publicKey.slice(5), 'base64').toString('latin1'))
    expect(brief(refusal({ headers, rawBody, secrets: publicKey }))[0]).toBe('SIGNATURE_MISMATCH')
    const asV1 = signedWebhook(privateKey).headers['webhook-signature'].replace('v1a,', 'v1,')
    const claimed = { ...headers, 'webhook-signature': asV1 }
    expect(refusal({ headers: claimed, rawBody, secrets: publicKey }).message).toContain('v1 needs a whsec_ secret')
  })
})

describe('what is refused, by code, header and status', () => {
  const { headers, rawBody } = signedWebhook(secret)
  const without = (name: keyof typeof headers) =>
    Object.fromEntries(Object.entries(headers).filter(([n]) => n !== name))
  const at = (age: number) => signedWebhook(secret, { timestamp: secondsNow() - age }).headers
  const flood = Array(33).fill('v1,abcd').join(' ')

  test.each([
    ['no id', without('webhook-id'), ['HEADER_MISSING', 'webhook-id', 400]],
    ['an empty id', { ...headers, 'webhook-id': '' }, ['HEADER_MISSING', 'webhook-id', 400]],
    ['no timestamp', without('webhook-timestamp'), ['HEADER_MISSING', 'webhook-timestamp', 400]],
    ['no signature', without('webhook-signature'), ['HEADER_MISSING', 'webhook-signature', 401]],
    ['a blank signature', { ...headers, 'webhook-signature': ' ' }, ['HEADER_MISSING', 'webhook-signature', 401]],
    ['two ids', { ...headers, 'webhook-id': ['a', 'b'] }, ['HEADER_INVALID', 'webhook-id', 400]],
    ['an id with "."', { ...headers, 'webhook-id': 'a.b' }, ['HEADER_INVALID', 'webhook-id', 400]],
    ['an id that is not ASCII', { ...headers, 'webhook-id': 'ż' }, ['HEADER_INVALID', 'webhook-id', 400]],
    [
      'milliseconds',
      { ...headers, 'webhook-timestamp': '1674087231000' },
      ['HEADER_INVALID', 'webhook-timestamp', 400],
    ],
    ['a date', { ...headers, 'webhook-timestamp': '2023-01-19' }, ['HEADER_INVALID', 'webhook-timestamp', 400]],
    ['a sign', { ...headers, 'webhook-timestamp': '+1674087231' }, ['HEADER_INVALID', 'webhook-timestamp', 400]],
    ['a bare signature', { ...headers, 'webhook-signature': 'abcd' }, ['HEADER_INVALID', 'webhook-signature', 400]],
    ['33 signatures', { ...headers, 'webhook-signature': flood }, ['HEADER_INVALID', 'webhook-signature', 400]],
    ['a topic that is cut', { ...headers, 'webhook-topic': 'a%2' }, ['HEADER_INVALID', 'webhook-topic', 400]],
    ['attempt 0', { ...headers, 'webhook-attempt': '0' }, ['HEADER_INVALID', 'webhook-attempt', 400]],
    ['10 minutes old', at(600), ['TOO_OLD', 'webhook-timestamp', 401]],
    ['10 minutes early', at(-600), ['TOO_NEW', 'webhook-timestamp', 401]],
    [
      'an empty signature',
      { ...headers, 'webhook-signature': 'v1, v1,abcd' },
      ['SIGNATURE_MISMATCH', 'webhook-signature', 401],
    ],
    ['a list as headers', ['webhook-id', 'msg_1'] as never, ['HEADER_INVALID', undefined, 400]],
    ['no headers', undefined as never, ['HEADER_INVALID', undefined, 400]],
  ])('%s', (_, given, expected) => {
    expect(brief(refusal({ headers: given as Request['headers'], rawBody, secrets: secret }))).toEqual(expected)
  })

  test.each([[{ n: 1 }], [[1]], [null], [undefined], [7]])('a body that is %j, with the remedy', (body) => {
    const error = refusal({ headers, rawBody: body as never, secrets: secret })
    expect(brief(error)).toEqual(['BODY_PARSED', undefined, 500])
    expect(error.message).toContain('keep the raw body')
  })

  test('within the tolerance, given in milliseconds or as text, it is taken; the bound belongs to it', () => {
    const timestamp = 1_700_000_000
    const signed = signedWebhook(secret, { timestamp })
    const at = (ms: number) => ({ ...signed, secrets: secret, now: () => timestamp * 1000 + ms })
    for (const tolerance of [60_000, '60s', '1m']) {
      for (const ms of [0, 60_000, -60_000]) expect(verifyWebhook({ ...at(ms), tolerance }).id).toBe('msg_1')
      expect(refusal({ ...at(60_001), tolerance }).code).toBe('WAYBILL_WEBHOOK_TOO_OLD')
      expect(refusal({ ...at(-60_001), tolerance }).code).toBe('WAYBILL_WEBHOOK_TOO_NEW')
    }
    expect(verifyWebhook(at(300_000)).id).toBe('msg_1')
    expect(refusal(at(300_001)).message).toMatch(/is 300 s ago, more than the tolerance of 300 s; set the clocks/)
    expect(() => verifyWebhook({ ...at(0), tolerance: 'soon' })).toThrow('tolerance: "soon" is not a duration')
  })

  test('no refusal tells the secret, the signature that would have held, or the payload', () => {
    const signed = signedWebhook(secret, { body: '{"card":"4111"}' })
    const wrong = { ...signed.headers, 'webhook-signature': 'v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' }
    const text = inspect(refusal({ headers: wrong, rawBody: signed.rawBody, secrets: secret }), { depth: 9 })
    expect(text).toContain('SIGNATURE_MISMATCH')
    for (const hidden of [secret.slice(6), signed.headers['webhook-signature'].slice(3), '4111']) {
      expect(text).not.toContain(hidden)
    }
  })
})

describe('secrets that are none', () => {
  const cases: [what: string, secrets: unknown, path: string, said: RegExp][] = [
    ['nothing', [], 'secrets', /is empty/],
    ['an unset variable', undefined, 'secrets', /not undefined; is the environment variable set/],
    ['empty text', ['ok', ''], 'secrets.1', /must not be empty/],
    ['whsec_ and a space within', 'whsec_c2Vj cmV0', 'secrets', /has 9 characters: look for spaces and line ends/],
    ['whsec_ alone', 'whsec_', 'secrets', /has 0 characters/],
    ['a public key that is short', 'whpk_c2hvcnQ=', 'secrets', /base64 of 32 bytes.*has 8 characters/],
    ['a private key', privateKey, 'secrets', /only the sender needs; give its public key/],
  ]
  test.each(cases)('%s', (_, secrets, path, said) => {
    let error: unknown
    try {
      createWebhookVerifier({ secrets: secrets as string })
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(InputError)
    const { code, problems } = error as InputError
    expect({ code, path: problems[0]?.path }).toEqual({ code: 'WAYBILL_WEBHOOK_SECRET_INVALID', path })
    expect(problems[0]?.message).toMatch(said)
    expect(problems).toHaveLength(1)
    expect(String(error)).not.toMatch(/c2VjcmV0|c2hvcnQ|YSBzZWVk/)
  })
})

describe('what is received', () => {
  test('topic, key and attempt of Waybill, decoded; its encoded headers too', () => {
    const { headers, rawBody } = signedWebhook(secret)
    const sent = {
      ...headers,
      'webhook-topic': 'order.created',
      'webhook-key': '%C5%BC/%25',
      'webhook-attempt': '3',
      'webhook-encoded-headers': 'x-city,my%20name,%C5%BC',
      'x-city': '%C5%81%C3%B3d%C5%BA',
      'x-rate': '100%',
      'my%20name': 'v',
      '%c5%bc': 'turtle',
      ['__proto__']: 'p',
      'X-Two': ['a', 'b'],
    }
    const webhook = verifyWebhook({ headers: sent, rawBody, secrets: secret })
    expect(webhook).toMatchObject({ id: 'msg_1', topic: 'order.created', key: 'ż/%', attempt: 3 })
    expect({ ...webhook.headers }).toMatchObject({
      'x-city': 'Łódź',
      'x-rate': '100%',
      'my name': 'v',
      ż: 'turtle',
      'x-two': 'a, b',
    })
    expect(webhook.headers['__proto__']).toBe('p')
  })

  test('an encoded name does not take the place of a header', () => {
    const { headers, rawBody } = signedWebhook(secret)
    const sent = { ...headers, 'webhook-encoded-headers': 'webhook%2did', 'webhook%2did': 'forged' }
    expect(verifyWebhook({ headers: sent, rawBody, secrets: secret }).headers['webhook-id']).toBe('msg_1')
  })

  test('of another sender: no topic, key or attempt', () => {
    const { topic, key, attempt } = verifyWebhook({ ...signedWebhook(secret), secrets: secret })
    expect({ topic, key, attempt }).toEqual({ topic: undefined, key: undefined, attempt: undefined })
  })

  test('a body that is not JSON is verified; only asking for the payload throws, without the text', () => {
    for (const body of ['', 'card 4111', Buffer.from([0x22, 0xff, 0x22])]) {
      const webhook = verifyWebhook({ ...signedWebhook(secret, { body }), secrets: secret })
      expect(webhook.rawBody).toEqual(Buffer.from(body))
      let error: unknown
      try {
        void webhook.payload
      } catch (caught) {
        error = caught
      }
      expect(error).toMatchObject({ code: 'WAYBILL_WEBHOOK_PAYLOAD_INVALID', status: 400 })
      expect(inspect(error)).not.toContain('4111')
    }
  })

  test('logging it shows neither payload nor headers', () => {
    const { headers, rawBody } = signedWebhook(secret, { body: '{"card":"4111"}' })
    const webhook = verifyWebhook({ headers: { ...headers, cookie: 'session=9' }, rawBody, secrets: secret })
    expect(webhook.payload).toEqual({ card: '4111' })
    expect(webhook.headers['cookie']).toBe('session=9')
    const shown = inspect(webhook, { depth: 9 }) + JSON.stringify(webhook)
    expect(shown).toContain('msg_1')
    expect(shown).not.toMatch(/4111|session/)
  })
})
