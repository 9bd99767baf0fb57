import { parseEndpoint, type WebhookSettings } from '../../config/destinations/webhook.js'
import { type AuthorizationFailure, AuthorizationError, type Authorization } from './authorization.js'
import { type ConnectPolicy, guardedLookup, refuseLiteral } from './connection/connector.js'
import { type GuardedAgents, guardedAgents } from './connection/guarded-agent.js'
import { outcomeOfError, outcomeOfTimeout } from './outcome.js'
import { retryAfterMs } from './retry-after.js'

export type OAuth2Settings = Extract<WebhookSettings['auth'], { type: 'oauth2' }>

export interface OAuth2Context {
  readonly policy: ConnectPolicy
  /** Whole time of one fetch, and the longest `Retry-After`. */
  readonly timeoutMs: number
  readonly maxRetryAfterMs: number
  /** PEM texts: trust and client certificate are the endpoint's. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly passphrase?: string }
}

interface Token {
  readonly header: string
  /** Monotonic milliseconds after which it is not used any more. */
  readonly until: number
}

/** A token that says nothing of its life (`expires_in` is optional, RFC 6749 5.1) is renewed after this long. */
const defaultLifeMs = 300_000
/** Much more than a token; the rest is not read. */
const maxAnswerBytes = 65_536

/** Statuses with which a token endpoint says that the client itself is wrong (RFC 6749, 5.2), or isn't there. */
const wrongClient = new Set([400, 401, 403, 404, 405, 410])

/**
 * OAuth 2 client credentials (RFC 6749, 4.4). One fetch at a time, whoever asks; a token is renewed when a tenth of its
 * life, or a minute of it, is left; one that the endpoint rejects is dropped.
 */
export class ClientCredentials implements Authorization {
  readonly #settings: OAuth2Settings
  readonly #context: OAuth2Context
  readonly #url: URL
  readonly #agents: GuardedAgents
  #abort: AbortController | undefined
  #token: Token | undefined
  #fetching: Promise<string> | undefined

  constructor(settings: OAuth2Settings, context: OAuth2Context) {
    const url = parseEndpoint(settings.tokenUrl)
    if (!url) throw new TypeError('auth.tokenUrl is not an http or https URL')
    this.#settings = settings
    this.#context = context
    this.#url = url
    this.#agents = guardedAgents(context.policy)
  }

  header(): string | Promise<string> {
    if (this.#token && performance.now() < this.#token.until) return this.#token.header
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  /** Drops the token unless another request has done so already and the next one is there. */
  rejected(header: string | undefined): boolean {
    if (this.#token?.header === header) this.#token = undefined
    return true
  }

  secrets(): readonly string[] {
    const { clientSecret } = this.#settings
    return this.#token ? [this.#token.header.slice('Bearer '.length), clientSecret.reveal()] : [clientSecret.reveal()]
  }

  close(): void {
    this.#abort?.abort()
  }

  async #fetch(): Promise<string> {
    const { policy } = this.#context
    const refusal = refuseLiteral(policy, this.#url)
    if (refusal) throw new AuthorizationError(ofToken(outcomeOfError(this.#url.origin, refusal)))
    const from = performance.now()
    const answer = await this.#post()
    if (answer.status < 200 || answer.status > 299) throw new AuthorizationError(this.#refused(answer))
    const token = readToken(answer.body)
    if (!token) {
      const message = `${this.#url.origin} answered ${answer.status} without a bearer access_token that fits a header`
      throw new AuthorizationError(ofToken({ kind: 'pause', failure: { code: 'NO_TOKEN', message } }))
    }
    this.#token = { header: `Bearer ${token.value}`, until: from + token.lifeMs - Math.min(60_000, token.lifeMs / 10) }
    return this.#token.header
  }

  /** One POST to the token endpoint. got keeps the request, with the client's secret, on its errors: they stay in here. */
  async #post(): Promise<TokenAnswer> {
    const { policy, timeoutMs, tls } = this.#context
    // loaded only by destinations that use it
    const { got, TimeoutError } = await import('got')
    const abort = (this.#abort = new AbortController())
    const { headers, form } = this.#request()
    try {
      const request = got.post(this.#url, {
        headers,
        form,
        // got would follow, repeat and decompress without bounds
        followRedirect: false,
        retry: { limit: 0 },
        decompress: false,
        throwHttpErrors: false,
        timeout: { request: timeoutMs },
        agent: this.#agents,
        dnsLookup: guardedLookup(policy, this.#url.protocol),
        https: { certificateAuthority: tls.ca, certificate: tls.cert, key: tls.key, passphrase: tls.passphrase },
        signal: abort.signal,
      })
      void request.on('downloadProgress', ({ transferred }) => {
        if (transferred > maxAnswerBytes) abort.abort()
      })
      const { statusCode, headers: answered, body } = await request
      return { status: statusCode, retryAfter: answered['retry-after'], body }
    } catch (error) {
      const outcome =
        error instanceof TimeoutError
          ? outcomeOfTimeout(this.#url.origin, timeoutMs, true)
          : outcomeOfError(this.#url.origin, error)
      throw new AuthorizationError(ofToken(outcome))
    }
  }

  #request(): { headers: Record<string, string>; form: Record<string, string> } {
    const { clientId, clientSecret, clientAuth, scope, audience } = this.#settings
    const form: Record<string, string> = { grant_type: 'client_credentials' }
    if (scope !== undefined) form['scope'] = scope
    if (audience !== undefined) form['audience'] = audience
    if (clientAuth === 'body') {
      return { headers: {}, form: { ...form, client_id: clientId, client_secret: clientSecret.reveal() } }
    }
    const pair = `${formEncode(clientId)}:${formEncode(clientSecret.reveal())}`
    return { headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }, form }
  }

  #refused(answer: TokenAnswer): AuthorizationFailure {
    const { status, retryAfter, body } = answer
    const error = errorCode(body)
    const failure = {
      code: `HTTP_${status}`,
      message: `POST ${this.#url.origin} answered ${status}${error ? ` (${error})` : ''}`,
    }
    if (wrongClient.has(status) || (status >= 300 && status < 400)) {
      const remedy = '; check auth.tokenUrl, auth.clientId, auth.clientSecret and auth.scope'
      return ofToken({ kind: 'misconfigured', failure: { ...failure, message: failure.message + remedy } })
    }
    const wait = retryAfterMs(retryAfter, Date.now(), this.#context.maxRetryAfterMs)
    return ofToken(wait === undefined ? { kind: 'pause', failure } : { kind: 'pause', failure, retryAfterMs: wait })
  }
}

interface TokenAnswer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly body: string
}

/** RFC 6749, 2.3.1: id and secret are form-encoded before they are joined. */
function formEncode(text: string): string {
  return new URLSearchParams({ v: text }).toString().slice(2)
}

function ofToken(outcome: AuthorizationFailure): AuthorizationFailure {
  const { code, message } = outcome.failure
  // without a token no message can go, whatever became of this one: nothing is charged
  const kind = outcome.kind === 'misconfigured' ? 'misconfigured' : 'pause'
  return { ...outcome, kind, failure: { code: `OAUTH2_${code}`, message: `OAuth 2 token: ${message}` } }
}

function parseObject(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    // a page of some proxy: it holds neither a token nor an error code
    return {}
  }
}

/** The `error` of RFC 6749, 5.2, such as `invalid_client`. */
function errorCode(body: string): string | undefined {
  const { error } = parseObject(body)
  return typeof error === 'string' && /^[a-z_]{1,60}$/.test(error) ? error : undefined
}

function readToken(body: string): { value: string; lifeMs: number } | undefined {
  const { access_token: value, token_type: type, expires_in: expiresIn } = parseObject(body)
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) return undefined
  if (typeof type === 'string' && type.toLowerCase() !== 'bearer') return undefined
  const seconds = Number(expiresIn ?? Number.NaN)
  return { value, lifeMs: seconds > 0 ? seconds * 1000 : defaultLifeMs }
}
