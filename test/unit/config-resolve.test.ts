import { describe, expect, it } from 'vitest'
import { defineConfig, env, jobs, kafka, rabbitmq, resolveConfig, webhook } from '../../src/config/index.js'
import { destinationKinds } from '../../src/config/destinations/registry.js'
import { deliveryKeys } from '../../src/config/destinations/delivery.js'
import { InputError } from '../../src/core/errors.js'

const url = 'postgres://waybill:pw@db.example:5432/shop'

/** Every problem of a configuration, as `path: message`. */
function problems(raw: unknown, environment: Record<string, string> = { WAYBILL_DATABASE_URL: url }): string[] {
  try {
    resolveConfig(raw, environment)
  } catch (error) {
    expect(error).toBeInstanceOf(InputError)
    expect((error as InputError).code).toBe('WAYBILL_CONFIG_INVALID')
    return (error as InputError).problems.map((problem) => `${problem.path}: ${problem.message}`)
  }
  throw new Error('the configuration was accepted')
}

describe('resolveConfig', () => {
  it('fills in every default', () => {
    const config = resolveConfig({}, { WAYBILL_DATABASE_URL: url })
    expect(config.database.url.reveal()).toBe(url)
    expect(config).toMatchObject({
      database: { directUrl: undefined, poolSize: 10 },
      generation: undefined,
      destinations: [],
      routes: [],
      dispatcher: {
        name: undefined,
        leaseMs: 15_000,
        pageSize: 1000,
        listen: true,
        drainMs: 30_000,
        maintenance: true,
        durability: 'local',
      },
      retentionMs: 604_800_000,
      maxHoldMs: undefined,
      publish: { maxPayloadBytes: 1_048_576 },
      log: { level: 'info' },
      warnings: [],
    })
  })

  it('separates the adapter’s settings from delivery options', () => {
    const config = resolveConfig(
      defineConfig({
        destinations: {
          crm: webhook({
            url: 'https://crm.example/hooks',
            maxAttempts: 5,
            backoff: { cap: '5m' },
            from: '2026-01-31T00:00:00Z',
          }),
          bus: rabbitmq({ url: env('AMQP_URL'), exchange: 'events', order: 'none', shards: 4 }),
          stream: kafka({ brokers: ['kafka-1:9092'], onDead: 'release', slowAfter: '30s' }),
          work: jobs({ queue: 'mail', priority: 2, receipts: true }),
        },
        routes: { 'order.*': ['crm', 'bus', 'crm'], '**': 'stream', 'mail.**': ['work'] },
      }),
      { WAYBILL_DATABASE_URL: url, AMQP_URL: 'amqp://app:pw@mq' },
    )
    const [crm, bus, stream, work] = config.destinations
    expect(crm).toMatchObject({ name: 'crm', kind: 'webhook', settings: { url: 'https://crm.example/hooks' } })
    expect(crm?.settings).not.toHaveProperty('maxAttempts')
    expect(crm?.delivery).toEqual({
      shards: 1,
      order: 'key',
      onDead: 'hold',
      maxAttempts: 5,
      backoff: { baseMs: 1000, capMs: 300_000 },
      probe: { baseMs: 1000, capMs: 30_000 },
      window: 2000,
      slowAfterMs: 10_000,
      maxParked: 10_000,
      receipts: undefined,
      from: new Date('2026-01-31T00:00:00Z'),
    })
    expect(bus?.delivery).toMatchObject({ order: 'none', shards: 4 })
    expect(stream?.delivery).toMatchObject({ onDead: 'release', slowAfterMs: 30_000 })
    expect(work).toMatchObject({
      settings: { queue: 'mail', priority: 2, jobMaxAttempts: 20, name: '{topic}' },
      delivery: { receipts: true },
    })
    expect(config.routes).toEqual([
      { pattern: 'order.*', destinations: ['crm', 'bus'] },
      { pattern: '**', destinations: ['stream'] },
      { pattern: 'mail.**', destinations: ['work'] },
    ])
  })

  it('tells every problem at once, each with its path', () => {
    const told = problems(
      {
        database: { poolSize: 0.5, poolSiez: 3, directUrl: env('NOT_SET') },
        generation: 0,
        destinations: {
          Upper: { kind: 'jobs' },
          crm: { kind: 'webhok', options: {} },
          bus: { kind: 'rabbitmq', options: { url: env('ALSO_NOT_SET'), exchange: 'e', maxAttemps: 3, window: 0 } },
          work: {
            kind: 'jobs',
            options: { priority: 4, name: '{tpic}', backoff: { base: '2h', cap: '1h' }, from: 'now' },
          },
          none: 7,
        },
        routes: { 'a..b': 'work', 'x.*': ['wrok', 'bus'], y: [], z: 3 },
        dispatcher: { leaseMs: 999, listen: 'yes', durability: { replicated: '' } },
        retention: 'soon',
        log: { level: 'loud' },
        publsh: {},
      },
      {},
    )
    expect(told).toEqual([
      'database.url: is not set; give database.url, --database-url or the environment variable WAYBILL_DATABASE_URL',
      'database.directUrl: environment variable NOT_SET is not set (or is empty); set it, or change the name in env(...)',
      'database.poolSize: must be a whole number from 1 to 500',
      'database.poolSiez: is not a known key; did you mean "poolSize"?',
      'generation: must be a whole number from 1 to 2147483647',
      'dispatcher.leaseMs: must be a whole number from 1000 to 60000',
      'dispatcher.listen: must be true or false',
      'dispatcher.durability.replicated: must not be empty',
      'retention: must be milliseconds, or text such as "500ms", "30s", "5m", "2h", "7d"',
      'log.level: must be "debug" or "info" or "warn" or "error" or "silent"',
      'publsh: is not a known key; did you mean "publish"?',
      'destinations.Upper: the name must be 1 to 63 of a-z, 0-9, "_" and "-", and start with a letter',
      'destinations.crm.kind: is not a known kind; did you mean "webhook"?; known kinds: webhook, rabbitmq, kafka, jobs',
      'destinations.bus.options.url: environment variable ALSO_NOT_SET is not set (or is empty); set it, or change the name in env(...)',
      'destinations.bus.options.maxAttemps: is not a known key; did you mean "maxAttempts"?',
      'destinations.bus.options.window: must be a whole number from 1 to 100000',
      'destinations.work.options.priority: must be a whole number from 0 to 3',
      'destinations.work.options.name: must be text in which {topic} is the only placeholder, such as "{topic}" or "on.{topic}"',
      'destinations.work.options.backoff.cap: must not be less than base',
      'destinations.work.options.from: must be "earliest", "latest", a Date or a time with its zone, such as "2026-01-31T00:00:00Z"',
      'destinations.none: must be an object, not a number',
      'routes["a..b"]: is not a topic pattern: use words of letters, digits, "_" and "-" joined by dots; "*" stands for one word, a last "**" for one or more',
      'routes["x.*"]: no destination is called "wrok"; did you mean "work"?',
      'routes.y: names no destination; name one, or remove the route',
      'routes.z: must be the name of a destination, or a list of names',
    ])
  })

  it.each([undefined, null, 7, 'text', [], () => undefined])('refuses %s in place of a configuration', (raw) => {
    expect(problems(raw)).toHaveLength(1)
  })

  it.each(['database', 'destinations', 'routes', 'dispatcher', 'publish', 'log'])('refuses a list as %s', (key) => {
    expect(problems({ [key]: [] })).toEqual([`${key}: must be an object, not a list`])
  })

  it('says that env() stands for secrets only', () => {
    const raw = { publish: { maxPayloadBytes: env('WAYBILL_DATABASE_URL') } }
    expect(problems(raw)[0]).toContain('env("NAME") stands for secrets only')
  })

  it('suggests keys inside nested objects and unions', () => {
    const oauth = { type: 'oauth2', tokenUrl: 'https://id.example/token', clientId: 'a', clientSecret: 'b', scop: 'x' }
    const raw = {
      destinations: { crm: { kind: 'webhook', options: { url: 'https://crm.example/', auth: oauth } } },
      routes: { a: 'crm' },
    }
    expect(problems(raw)).toEqual(['destinations.crm.options.auth.scop: is not a known key; did you mean "scope"?'])
  })

  it('warns of a destination that no route names', () => {
    const config = resolveConfig({ destinations: { work: jobs() } }, { WAYBILL_DATABASE_URL: url })
    expect(config.warnings).toEqual([
      { path: 'destinations.work', message: 'no route names it, so nothing is delivered to it' },
    ])
  })

  it('takes bounds as inside and refuses what is just outside', () => {
    const lease = (leaseMs: number): unknown => ({ dispatcher: { leaseMs } })
    for (const inside of [1000, 60_000]) {
      expect(resolveConfig(lease(inside), { WAYBILL_DATABASE_URL: url }).dispatcher.leaseMs).toBe(inside)
    }
    for (const outside of [999, 60_001, 1000.5, Number.NaN, Infinity]) expect(problems(lease(outside))).toHaveLength(1)
  })

  it('has no adapter option that is called like a delivery option', () => {
    expect(Object.keys(destinationKinds)).toEqual(['webhook', 'rabbitmq', 'kafka', 'jobs'])
    for (const schema of Object.values(destinationKinds)) {
      const own = Object.keys((schema as unknown as { shape: object }).shape)
      expect(own.length).toBeGreaterThan(0)
      expect(own.filter((key) => deliveryKeys.includes(key))).toEqual([])
    }
  })
})

describe('defineConfig', () => {
  it('refuses a route to an unknown destination at compile time', () => {
    const config = defineConfig({
      destinations: { work: jobs() },
      // @ts-expect-error there is no destination "wrok"
      routes: { 'order.*': 'wrok' },
    })
    expect(problems(config)).toHaveLength(1)
  })

  it('refuses an unknown option of a destination at compile time', () => {
    // @ts-expect-error it is called priority
    expect(problems(defineConfig({ destinations: { work: jobs({ prio: 1 }) }, routes: { a: 'work' } }))).toHaveLength(1)
  })
})

describe('environment variables', () => {
  it('stand in for what the file leaves out, and 0 and false are values', () => {
    const config = resolveConfig(
      { dispatcher: { pageSize: 7 } },
      {
        WAYBILL_DATABASE_URL: url,
        WAYBILL_DIRECT_URL: 'postgres://direct',
        WAYBILL_POOL_SIZE: '3',
        WAYBILL_GENERATION: '12',
        WAYBILL_DISPATCHER_NAME: '0',
        WAYBILL_LEASE_MS: '2000',
        WAYBILL_PAGE_SIZE: '9',
        WAYBILL_LISTEN: '0',
        WAYBILL_DRAIN_MS: '0',
        WAYBILL_MAINTENANCE: 'off',
        WAYBILL_RETENTION: '2d',
        WAYBILL_MAX_HOLD: '3d',
        WAYBILL_MAX_PAYLOAD_BYTES: '10',
        WAYBILL_LOG_LEVEL: 'warn',
      },
    )
    expect(config.database.directUrl?.reveal()).toBe('postgres://direct')
    expect(config).toMatchObject({
      database: { poolSize: 3 },
      generation: 12,
      dispatcher: { name: '0', leaseMs: 2000, pageSize: 7, listen: false, drainMs: 0, maintenance: false },
      retentionMs: 172_800_000,
      maxHoldMs: 259_200_000,
      publish: { maxPayloadBytes: 10 },
      log: { level: 'warn' },
    })
  })

  it('count as not set when they are empty', () => {
    const config = resolveConfig({}, { WAYBILL_DATABASE_URL: url, WAYBILL_LISTEN: '', WAYBILL_DIRECT_URL: '' })
    expect(config.dispatcher.listen).toBe(true)
    expect(config.database.directUrl).toBeUndefined()
    expect(problems({}, { WAYBILL_DATABASE_URL: '' })[0]).toContain('database.url: is not set')
  })

  it('are named when what they hold is wrong', () => {
    const environment = {
      WAYBILL_DATABASE_URL: url,
      WAYBILL_POOL_SIZE: 'ten',
      WAYBILL_LISTEN: 'maybe',
      WAYBILL_DRAIN_MS: '-1',
    }
    expect(problems({}, environment)).toEqual([
      'database.poolSize: must be a whole number from 1 to 500 (from WAYBILL_POOL_SIZE)',
      'dispatcher.listen: must be true or false (from WAYBILL_LISTEN)',
      'dispatcher.drainMs: must be a whole number from 0 to 600000 (from WAYBILL_DRAIN_MS)',
    ])
  })

  it('do not hide a section that is not an object', () => {
    const environment = { WAYBILL_DATABASE_URL: url, WAYBILL_LISTEN: 'true' }
    expect(problems({ dispatcher: 3 }, environment)).toEqual(['dispatcher: must be an object, not a number'])
  })

  it('leave what was passed in alone', () => {
    const raw = Object.freeze({ dispatcher: Object.freeze({ pageSize: 7 }) })
    resolveConfig(raw, { WAYBILL_DATABASE_URL: url, WAYBILL_LISTEN: 'false' })
    expect(raw).toEqual({ dispatcher: { pageSize: 7 } })
  })
})
