import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { env, resolveEnvReferences } from '../../src/config/destinations/secret.js'
import { parseEndpoint, type WebhookOptions, webhookSettings } from '../../src/config/destinations/webhook.js'

const url = 'https://partner.example/hooks'

/** Every problem as `path: message`. */
function problems(options: object): string[] {
  const result = webhookSettings.safeParse(options)
  return result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
}

test('everything but the URL has a default', () => {
  expect(webhookSettings.parse({ url })).toEqual({
    url,
    secrets: [],
    auth: { type: 'none' },
    tls: {},
    headers: {},
    concurrency: 16,
    keepAlive: true,
    connectionLifetimeMs: 120_000,
    timeoutMs: 10_000,
    maxRetryAfterMs: 3_600_000,
    signContext: false,
    deadOn: [],
    statuses: {},
    answerExcerpt: 500,
    allowNetworks: [],
    allowHttp: false,
  })
})

test('a URL from the environment is kept out of sight, one in the file is not', () => {
  const options: WebhookOptions = { url: env('HOOK_URL'), secrets: [env('HOOK_SECRET')] }
  const environment = { HOOK_URL: 'https://hooks.example/T0/token', HOOK_SECRET: 'whsec_c2VjcmV0' }
  const settings = webhookSettings.parse(resolveEnvReferences(options, environment))
  expect(parseEndpoint(settings.url)?.href).toBe(environment.HOOK_URL)
  expect(inspect(settings, { depth: 5 }) + JSON.stringify(settings)).not.toMatch(/token|c2VjcmV0/)
  expect(problems(options).join()).toMatch(/HOOK_URL is not set.*HOOK_SECRET is not set/)
})

describe('what is refused', () => {
  test.each<[string, object, string | RegExp]>([
    ['no URL', {}, 'url: must be'],
    ['a path', { url: '/hooks' }, 'url: must be an absolute http or https URL'],
    ['another scheme', { url: 'ftp://partner.example' }, 'url: must be an absolute http or https URL'],
    ['credentials in the URL', { url: 'https://user:pw@partner.example' }, 'url: must be an absolute'],
    ['a fragment', { url: 'https://partner.example/#a' }, 'url: must be an absolute'],
    ['plain http', { url: 'http://partner.example' }, 'url: must be https'],
    [
      'plain http to an address that is not listed',
      { url: 'http://8.8.8.8', allowNetworks: ['10.0.0.0/8'] },
      'url: must be https',
    ],
    ['a private address', { url: 'https://10.0.0.7/' }, 'url: 10.0.0.7 is a private address'],
    ['loopback in another spelling', { url: 'https://0x7f.1/' }, 'url: 127.0.0.1 is a loopback address'],
    ['an unknown key', { url, retries: 3 }, /Unrecognized key/],
    ['a bad signing secret', { url, secrets: ['whsec_%%%'] }, 'secrets.0: must be "whsec_"'],
    ['an ed25519 key of the wrong length', { url, secrets: ['whsk_c2hvcnQ='] }, 'secrets.0: must be "whsec_"'],
    [
      'a header that signs',
      { url, headers: { 'Webhook-Signature': 'v1,x' } },
      'headers.Webhook-Signature: is written by Waybill',
    ],
    ['content headers', { url, headers: { 'content-encoding': 'gzip' } }, 'headers.content-encoding: is written'],
    ['hop-by-hop headers', { url, headers: { Connection: 'close' } }, 'headers.Connection: is written'],
    ['host', { url, headers: { host: 'x' } }, 'headers.host: is written'],
    ['a line break in a header', { url, headers: { 'x-a': 'a\r\nb' } }, 'headers.x-a: must be printable ASCII'],
    ['a header that is no name', { url, headers: { 'x a': 'b' } }, /headers\.x a: /],
    [
      'authorization twice',
      { url, headers: { authorization: 'x' }, auth: { type: 'bearer', token: 't' } },
      'headers.authorization: auth writes',
    ],
    ['an unknown network', { url, allowNetworks: ['10.0.0.0/33'] }, 'allowNetworks.0: must be a network'],
    ['concurrency 0', { url, concurrency: 0 }, 'concurrency: must be a whole number from 1 to 1024'],
    [
      'a status that means nothing',
      { url, statuses: { 200: 'retry' } },
      'statuses.200: must be a status from 300 to 599',
    ],
    ['nothing to sign the context with', { url, signContext: true }, 'signContext: needs secrets to sign with'],
    [
      'a status twice',
      { url, deadOn: [422], statuses: { 422: 'retry' } },
      'statuses.422: is in deadOn too; give one of the two',
    ],
    ['a status that cannot be', { url, deadOn: [200] }, 'deadOn.0: must be a whole number from 300 to 599'],
    [
      'a colon in the user name',
      { url, auth: { type: 'basic', username: 'a:b', password: 'p' } },
      'auth.username: must not contain',
    ],
    [
      'a private token endpoint',
      { url, auth: { type: 'oauth2', tokenUrl: 'https://10.1.1.1', clientId: 'a', clientSecret: 'b' } },
      'auth.tokenUrl: 10.1.1.1 is a private',
    ],
  ])('%s', (_, options, expected) => {
    const found = problems(options).join('\n')
    if (typeof expected === 'string') expect(found).toContain(expected)
    else expect(found).toMatch(expected)
    expect(found).not.toContain('my secret')
  })
})

test.each<[string, object]>([
  ['http to an allow-listed address', { url: 'http://10.1.2.3:8080', allowNetworks: ['10.1.0.0/16'] }],
  [
    'http to a name, with an allow-list that is checked on connecting',
    { url: 'http://crm.internal', allowNetworks: ['10.1.0.0/16'] },
  ],
  ['http to anywhere when it is allowed', { url: 'http://partner.example', allowHttp: true }],
  ['an API key as a header', { url, headers: { 'x-api-key': 'k', 'user-agent': 'crm' } }],
  ['authorization as a header, without auth', { url, headers: { authorization: 'ApiKey 1' } }],
])('%s is fine', (_, options) => {
  expect(problems(options)).toEqual([])
})
