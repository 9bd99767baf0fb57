import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  env,
  fingerprintConfig,
  jobs,
  kafka,
  rabbitmq,
  redact,
  resolveConfig,
  webhook,
} from '../../src/config/index.js'
import { messageOf } from '../../src/core/errors.js'

/** Long enough, and with a mark, so that it cannot stand anywhere by chance. */
const secretText = fc.stringMatching(/^[A-Za-z0-9%!$&'()*,;=:~ -]{8,40}$/).map((text) => `x7Q${text.trim()}z9W`)

/** Anything that ends up in a log, a terminal or a ticket. */
function everySight(value: unknown): string {
  return [inspect(value, { depth: 20, showHidden: true }), JSON.stringify(value), String(value)].join('\n')
}

function withSecrets(dbPassword: string, secret: string) {
  return {
    raw: {
      destinations: {
        crm: webhook({
          url: `https://crm.example/hook?api_key=${encodeURIComponent(secret)}&v=1`,
          secrets: [env('SIGNING')],
          auth: { type: 'basic', username: 'waybill', password: secret },
          headers: { 'x-api-key': secret },
        }),
        bus: rabbitmq({ url: env('AMQP'), exchange: 'e' }),
        stream: kafka({ brokers: ['k:9092'], sasl: { mechanism: 'plain', username: 'u', password: secret } }),
        work: jobs(),
      },
      routes: { a: ['crm', 'bus', 'stream', 'work'] },
    },
    environment: {
      WAYBILL_DATABASE_URL: `postgres://waybill:${dbPassword}@db.example:5432/shop`,
      WAYBILL_DIRECT_URL: `postgres://db/shop?password=${encodeURIComponent(secret)}`,
      SIGNING: secret,
      AMQP: `amqp://app:${encodeURIComponent(secret)}@mq.example/`,
    },
  }
}

/** What is said instead, where it is refused. */
function shownOrRefused(show: () => string): string {
  try {
    return show()
  } catch (error) {
    return messageOf(error)
  }
}

describe('secrets', () => {
  it('show up in no picture of a configuration', () => {
    fc.assert(
      fc.property(secretText, (secret) => {
        const { raw, environment } = withSecrets(encodeURIComponent(secret), secret)
        const config = resolveConfig(raw, environment)
        const sight = everySight(redact(config)) + fingerprintConfig(config)
        for (const form of [secret, encodeURIComponent(secret)]) expect(sight).not.toContain(form)
        expect(config.database.url.reveal()).toContain(encodeURIComponent(secret))
        // the resolved configuration itself: every secret-typed field prints as redacted
        const { database, destinations } = config
        const typed = everySight([
          database,
          destinations.slice(1),
          (destinations[0]?.settings as { auth: unknown }).auth,
        ])
        for (const form of [secret, encodeURIComponent(secret)]) expect(typed).not.toContain(form)
      }),
    )
  })

  it('do not show where a password is written into a URL without encoding', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-zA-Z/?#@:%[\]\\]{1,12}$/), (middle) => {
        const password = `8231${middle}x7Qz9W`
        const variables = { WAYBILL_DATABASE_URL: `postgres://waybill:${password}@db.example/shop` }
        const shown = shownOrRefused(() => JSON.stringify(redact(resolveConfig({}, variables))))
        expect(shown).not.toContain('8231')
        expect(shown).not.toContain('x7Qz9W')
      }),
      { numRuns: 1000 },
    )
  })

  it('show up in no message about what is wrong', () => {
    fc.assert(
      fc.property(secretText, (secret) => {
        const { raw, environment } = withSecrets('pw', secret)
        const wrong = {
          ...raw,
          // a secret in the wrong place, and in a place of the wrong shape
          database: { poolSize: secret, url: { nested: secret } },
          dispatcher: { listen: secret, leaseMs: env('SIGNING') },
          retention: secret,
          log: { level: secret },
          destinations: {
            ...raw.destinations,
            bus: rabbitmq({ url: secret, exchange: 'e', routingKey: `{${secret}` }),
          },
        }
        let thrown: unknown
        try {
          resolveConfig(wrong, environment)
        } catch (error) {
          thrown = error
        }
        expect(messageOf(thrown)).toContain('database.poolSize')
        expect(everySight(thrown)).not.toContain(secret)
      }),
    )
  })

  it('print as [redacted] whatever prints them', () => {
    const { url } = resolveConfig({ database: { url: 'postgres://a:b@c/d' } }, {}).database
    expect([inspect(url), JSON.stringify({ url }), String(url), `${url as unknown as string}`]).toEqual([
      '[redacted]',
      '{"url":"[redacted]"}',
      '[redacted]',
      '[redacted]',
    ])
    expect(url.reveal()).toBe('postgres://a:b@c/d')
  })

  it('come from { "$env": "NAME" } in JSON, and a header called env is only a header', () => {
    const raw: unknown = JSON.parse(
      '{"database":{"url":{"$env":"DB"}},"destinations":{"crm":{"kind":"webhook","options":{"url":"https://a.example/","headers":{"env":"prod"}}}},"routes":{"a":"crm"}}',
    )
    const config = resolveConfig(raw, { DB: 'postgres://db/shop' })
    expect(config.database.url.reveal()).toBe('postgres://db/shop')
    const { headers } = config.destinations[0]?.settings as { headers: Record<string, { reveal(): string }> }
    expect(headers['env']?.reveal()).toBe('prod')
  })
})

describe('redact', () => {
  it('shows the place of a database and nothing of a URL that it cannot read', () => {
    const config = resolveConfig(
      {},
      {
        WAYBILL_DATABASE_URL: 'postgresql://u:p@db:6432/shop?sslmode=require',
        WAYBILL_DIRECT_URL: 'postgres://u:p@/shop?host=/run/postgresql',
      },
    )
    expect(redact(config)).toMatchObject({
      database: { url: 'postgres://db:6432/shop', directUrl: 'postgres:///run/postgresql/shop' },
    })
  })
})

describe('fingerprintConfig', () => {
  const environment = { WAYBILL_DATABASE_URL: 'postgres://a/b', S: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' }
  const crm = webhook({ url: 'https://crm.example/', secrets: [env('S')] })
  const of = (raw: unknown, variables: Record<string, string> = environment): string =>
    fingerprintConfig(resolveConfig(raw, variables))

  it('is the same whatever the order of keys, the secrets and the database', () => {
    const one = of({
      destinations: { crm, work: jobs({ queue: 'q', priority: 1 }) },
      routes: { a: ['crm', 'work'], b: 'crm' },
    })
    const other = of(
      {
        routes: { b: 'crm', a: ['work', 'crm'] },
        destinations: { work: jobs({ priority: 1, queue: 'q' }), crm },
        log: { level: 'warn' },
      },
      { WAYBILL_DATABASE_URL: 'postgres://elsewhere/b', S: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD' },
    )
    expect(one).toMatch(/^[0-9a-f]{64}$/)
    expect(other).toBe(one)
  })

  it('changes with a route, a destination’s option or a default that is overridden', () => {
    const base = of({ destinations: { work: jobs() }, routes: { a: 'work' } })
    expect(of({ destinations: { work: jobs() }, routes: { b: 'work' } })).not.toBe(base)
    expect(of({ destinations: { work: jobs({ queue: 'mail' }) }, routes: { a: 'work' } })).not.toBe(base)
    expect(of({ destinations: { work: jobs({ shards: 2 }) }, routes: { a: 'work' } })).not.toBe(base)
    expect(of({ destinations: { work: jobs({ shards: 1 }) }, routes: { a: 'work' } })).toBe(base)
  })
})
