import { z } from 'zod'
import { AddressGuard, literalAddress, parseNetwork } from '../../core/address-guard.js'
import { isHmacSecret, isPrivateKeyText, secretMistake } from '../../core/webhook-keys.js'
import { flag, oneOf, text, wholeNumber } from '../fields.js'
import { Secret, secret, type SecretInput } from './secret.js'
import { clientTls } from './tls.js'

const urlHelp =
  'must be an absolute http or https URL such as "https://partner.example/hooks", without user, password or "#"'

/** Text stays visible in what Waybill prints; `env('NAME')` gives a `Secret`, for a URL that carries a token. */
const url = z
  .custom<SecretInput>((input) => typeof input === 'string' || secret.safeParse(input).success, {
    error: (issue) => secret.safeParse(issue.input).error?.issues[0]?.message ?? urlHelp,
  })
  .transform((input) => input as string | Secret)
  .refine((input) => parseEndpoint(input) !== undefined, { error: urlHelp })

/** The URL of a validated `url`; undefined when it is not one that can be posted to. */
export function parseEndpoint(endpoint: string | Secret): URL | undefined {
  const value = typeof endpoint === 'string' ? endpoint : endpoint.reveal()
  const parsed = URL.canParse(value) ? new URL(value) : undefined
  if (!parsed || !/^https?:$/.test(parsed.protocol)) return undefined
  return parsed.username === '' && parsed.password === '' && parsed.hash === '' ? parsed : undefined
}

const signingSecretHelp =
  'must be "whsec_" and base64 (HMAC-SHA256, v1), "whsk_" and base64 of 32 or 64 bytes (ed25519, v1a), or other text that is used as the HMAC key as it is'

const signingSecret = secret.refine((value) => isHmacSecret(value.reveal()) || isPrivateKeyText(value.reveal()), {
  error: (issue) => (issue.input instanceof Secret && secretMistake(issue.input.reveal())) || signingSecretHelp,
})

const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, { error: 'is not a header name (RFC 9110, token)' })

const headerValue = secret.refine((value) => /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value.reveal()), {
  error: 'must be printable ASCII without a space at either end',
})

/** Headers that the adapter or the protocol writes; neither settings nor an application may. */
export function isSystemHeader(lowerCaseName: string): boolean {
  return /^(webhook-|content-|proxy-|sec-|http2-)/.test(lowerCaseName) || systemHeaders.has(lowerCaseName)
}

const systemHeaders = new Set(
  'host connection keep-alive transfer-encoding te trailer upgrade expect accept-encoding'.split(' '),
)

const auth = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none') }),
  /** `authorization: Basic …` (RFC 7617, UTF-8). */
  z.strictObject({
    type: z.literal('basic'),
    username: text.refine((name) => !name.includes(':'), { error: 'must not contain ":" (RFC 7617)' }),
    password: secret,
  }),
  /** `authorization: Bearer …` with a token that does not change. */
  z.strictObject({
    type: z.literal('bearer'),
    token: secret.refine((token) => /^[\x21-\x7e]+$/.test(token.reveal()), {
      error: 'must be printable ASCII without spaces',
    }),
  }),
  /** OAuth 2 client credentials (RFC 6749, 4.4): a token is fetched, kept, and renewed before it expires. */
  z.strictObject({
    type: z.literal('oauth2'),
    /** Token endpoint; the same rules as for `url` hold for its scheme and address. */
    tokenUrl: url,
    clientId: text,
    clientSecret: secret,
    /** Scopes, separated by spaces. Default: none are asked for. */
    scope: text.optional(),
    /** Sent as `audience`, which some authorisation servers want. Default: not sent. */
    audience: text.optional(),
    /** How the client proves itself: `basic` is the `authorization` header, `body` two form fields. Default `basic`. */
    clientAuth: oneOf(['basic', 'body']).default('basic'),
  }),
])

/** What a status can be set to mean; the outcomes of `adapters/contract.ts`. */
const statusMeanings = ['retry', 'pause', 'misconfigured', 'dead'] as const

const networkHelp = 'must be a network such as "10.1.0.0/16" or "fd00::/8", or one address'
const network = z
  .string({ error: networkHelp })
  .refine((value) => parseNetwork(value) !== undefined, { error: networkHelp })

/** Settings of a destination of kind `webhook`: each message is one POST. */
export const webhookSettings = z
  .strictObject({
    /** Where to post to. https, unless `allowHttp` or `allowNetworks` lets http through. Redirects are not followed. */
    url,
    /** Signing secrets, the newest first; every one signs, so that they can be rotated with overlap. Default: unsigned. */
    secrets: z.array(signingSecret).max(8, { error: 'must not be more than 8' }).default([]),
    /** Sign topic, key and attempt too, in `webhook-context-signature`; needs `secrets`. Default false. */
    signContext: flag.default(false),
    /** Credentials. Default `{ type: 'none' }`. */
    auth: auth.default({ type: 'none' }),
    /** Client certificate and trust. Default: none, the system's. */
    tls: clientTls.prefault({}),
    /** Headers of every request, for instance an API key. `webhook-*`, `content-*`, `host` and the like are taken. Default: none. */
    headers: z.record(headerName, headerValue).default({}),
    /** Requests under way at once, and connections, 1–1,024. Default 16. */
    concurrency: wholeNumber(1, 1024).default(16),
    /** Requests a second, at most, evenly spaced, for each dispatcher that holds a lane. Default: no limit. */
    rateLimit: z
      .strictObject({
        /** 0.01–100,000. */
        perSecond: z.number().min(0.01).max(100_000),
        /** Requests that may go at once after a quiet time, 1–10,000. Default 1. */
        burst: wholeNumber(1, 10_000).default(1),
      })
      .optional(),
    /** Whole time of a request: connecting, sending and the answer with its body. Milliseconds, 1–600,000. Default 10,000. */
    timeoutMs: wholeNumber(1, 600_000).default(10_000),
    /** Whether connections serve more than one request. Without, no byte of an answer can be taken for another's. Default true. */
    keepAlive: flag.default(true),
    /** A connection that is older serves no further request, so that a name that moves is followed. Milliseconds, 1,000–86,400,000. Default 120,000. */
    connectionLifetimeMs: wholeNumber(1000, 86_400_000).default(120_000),
    /** A longer `Retry-After` counts as this long. Milliseconds, 0–86,400,000. Default 3,600,000. */
    maxRetryAfterMs: wholeNumber(0, 86_400_000).default(3_600_000),
    /** Statuses after which no retry of the message helps, 300–599: it is dead at once. Default: none. */
    deadOn: z.array(wholeNumber(300, 599)).default([]),
    /**
     * What statuses mean (300–599), where it is not what `docs/adapters/webhook.md` says: `retry`, `pause`, `misconfigured`
     * or `dead`. `{ 403: 'retry' }` is for an endpoint that refuses some messages by it. Default: none.
     */
    statuses: z.record(z.string(), oneOf(statusMeanings)).default({}),
    /** Characters of a refusing answer's text that the error keeps, 0–500; 0 if partners echo what must not be stored. Default 500. */
    answerExcerpt: wholeNumber(0, 500).default(500),
    /** Networks of one's own that may be connected to although they are not public. Default: none. */
    allowNetworks: z.array(network).default([]),
    /** Let http (not https) through to public addresses. Default false. */
    allowHttp: flag.default(false),
  })
  .superRefine((settings, context) => {
    const problem = (message: string, ...path: (string | number)[]): void =>
      context.addIssue({ code: 'custom', message, path })
    if (settings.signContext && settings.secrets.length === 0) problem('needs secrets to sign with', 'signContext')
    for (const status of Object.keys(settings.statuses)) {
      if (!/^[345]\d\d$/.test(status)) problem('must be a status from 300 to 599', 'statuses', status)
    }
    for (const status of settings.deadOn) {
      if (String(status) in settings.statuses)
        problem('is in deadOn too; give one of the two', 'statuses', String(status))
    }
    for (const name of Object.keys(settings.headers)) {
      const lower = name.toLowerCase()
      if (isSystemHeader(lower))
        problem('is written by Waybill or by the protocol; choose another name', 'headers', name)
      if (lower === 'authorization' && settings.auth.type !== 'none')
        problem('auth writes this header; give one of the two', 'headers', name)
    }
    const endpoints: [endpoint: string | Secret, path: string[]][] = [[settings.url, ['url']]]
    if (settings.auth.type === 'oauth2') endpoints.push([settings.auth.tokenUrl, ['auth', 'tokenUrl']])
    for (const [endpoint, path] of endpoints) {
      const refusal = endpointRefusal(parseEndpoint(endpoint), settings)
      if (refusal) problem(refusal, ...path)
    }
  })

/** What is wrong with an endpoint as far as its text tells; names are checked when they are resolved. */
function endpointRefusal(
  endpoint: URL | undefined,
  { allowNetworks, allowHttp }: { allowNetworks: string[]; allowHttp: boolean },
): string | undefined {
  if (!endpoint || allowNetworks.some((item) => !parseNetwork(item))) return undefined
  const guard = new AddressGuard(allowNetworks)
  const address = literalAddress(endpoint)
  const reason = address === undefined ? undefined : guard.refusal(address)
  if (reason)
    return `${address} is a ${reason} address, which is blocked; if it is yours, name its network in allowNetworks`
  if (endpoint.protocol === 'https:' || allowHttp) return undefined
  // a name may resolve into an allowed network: that is checked on connecting
  if (address === undefined ? allowNetworks.length > 0 : guard.isAllowListed(address)) return undefined
  return 'must be https; for http name the network it lies in in allowNetworks, or set allowHttp'
}

export type WebhookSettings = z.output<typeof webhookSettings>
/** What a configuration writes. */
export type WebhookOptions = z.input<typeof webhookSettings>
