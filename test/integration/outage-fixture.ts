import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type pg from 'pg'
import { expect, onTestFinished } from 'vitest'
import type { Adapter, AdapterFactory, DeliverContext, OutboundMessage } from '../../src/adapters/contract.js'
import { defaultRegistry } from '../../src/adapters/default-registry.js'
import type { AdapterRegistry } from '../../src/adapters/registry.js'
import { createDispatcher, type DispatcherService } from '../../src/app/index.js'
import type { WaybillConfig } from '../../src/config/types.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import type { TestDatabase } from '../support/database.js'
import { publish } from '../support/dispatching.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { patienceMs, waitFor } from '../support/wait-for.js'

/** A loaded machine takes its time. */
/** What a message of these tests says: its key, and its place among those of its key. */
export interface Said {
  readonly key: string
  readonly n: number
}

export const said = (payload: Buffer | string): Said => JSON.parse(payload.toString()) as Said

export interface Publisher {
  readonly published: readonly Said[]
  /** Resolves when the last of them is committed. */
  stop(): Promise<void>
}

/** Publishes keyed messages one after another, some hundred a second, until it is stopped. */
export function publishSteadily(pool: pg.Pool, keys = 4): Publisher {
  const published: Said[] = []
  const next = new Map<string, number>()
  let stopped = false
  const loop = (async () => {
    for (let i = 0; !stopped; i++) {
      const key = `k${i % keys}`
      const n = next.get(key) ?? 0
      next.set(key, n + 1)
      await publish(pool, 'order.created', { key, n }, { key })
      published.push({ key, n })
      await sleep(5)
    }
  })()
  // it is awaited by stop; until then its failure must not end the process
  loop.catch(() => undefined)
  const stop = (): Promise<void> => {
    stopped = true
    return loop
  }
  onTestFinished(() => stop().catch(() => undefined))
  return { published, stop }
}

/** Every message is there, the first of each in publish order for its key. Returns how many came more than once. */
export function expectAllInOrder(arrived: readonly Said[], published: readonly Said[]): number {
  const firsts = new Map<string, number[]>()
  const seen = new Set<string>()
  for (const { key, n } of arrived) {
    if (seen.has(`${key} ${n}`)) continue
    seen.add(`${key} ${n}`)
    firsts.set(key, [...(firsts.get(key) ?? []), n])
  }
  const wanted = new Map<string, number[]>()
  for (const { key, n } of published) wanted.set(key, [...(wanted.get(key) ?? []), n])
  expect(Object.fromEntries(firsts)).toEqual(Object.fromEntries(wanted))
  return arrived.length - seen.size
}

export interface Hooked {
  /** `onPause gone outage`, `onResume gone`, … in order. */
  readonly events: string[]
  /** Committed deliveries by destination. */
  readonly delivered: Map<string, number>
}

/** A dispatcher as an application builds it, ended with its test. `registry`: the real kinds unless it says otherwise. */
export async function startService(
  database: TestDatabase,
  config: Pick<WaybillConfig, 'destinations' | 'routes' | 'database' | 'dispatcher'>,
  registry: AdapterRegistry = defaultRegistry(),
): Promise<Hooked & { readonly service: DispatcherService }> {
  const events: string[] = []
  const delivered = new Map<string, number>()
  const service = createDispatcher(
    { ...config, database: { url: database.url, ...config.database } },
    {
      registry,
      environment: {},
      logger: silentLogger,
      hooks: {
        onPause: (lane, { kind }) => void events.push(`onPause ${lane.destination} ${kind}`),
        onResume: (lane) => void events.push(`onResume ${lane.destination}`),
        onRetry: (lane, _message, { code }) => void events.push(`onRetry ${lane.destination} ${code}`),
        onDead: (lane, _message, { code }) => void events.push(`onDead ${lane.destination} ${code}`),
        onDelivered: ({ destination }, n) => void delivered.set(destination, (delivered.get(destination) ?? 0) + n),
      },
    },
  )
  onTestFinished(() => service.stop({ drainMs: 500 }))
  await service.start()
  return { service, events, delivered }
}

/** An outage of one destination, from the outside. */
export interface OutageCase {
  readonly kind: string
  readonly options: object
  /** All that has arrived, in order of arrival within a key. */
  readonly arrived: () => Promise<readonly Said[]> | readonly Said[]
  readonly fail: () => unknown
  readonly heal: () => unknown
  /** What the lane's row says meanwhile. */
  readonly says: { readonly kind: string; readonly reason: RegExp }
  /** Probes to wait for. Default 3. */
  readonly probes?: number
}

/** Messages read and not settled, at most: what may arrive twice. */
const window = 60

/**
 * Publishes all the time while a destination fails and comes back, with another beside it that does not. Fails unless
 * the lane pauses and says why, sends single probes and nothing else, charges and writes nothing, delivers everything
 * in order when it is back, and says that it goes on.
 */
export async function rideOut(database: TestDatabase, outage: OutageCase): Promise<{ readonly probedAt: number[] }> {
  const { pool } = database
  const bystander = await startHttpReceiver()
  const { registry, calls } = watching(outage.kind)
  const { service, events, delivered } = await startService(
    database,
    {
      destinations: {
        gone: {
          kind: outage.kind,
          options: { window, probe: { base: '50ms', cap: '300ms' }, ...outage.options },
        },
        bystander: { kind: 'webhook', options: { url: bystander.url, allowNetworks: ['127.0.0.0/8'] } as object },
      },
      routes: { '**': ['gone', 'bystander'] },
    },
    registry,
  )
  const publisher = publishSteadily(pool)
  await waitFor(() => (delivered.get('gone') ?? 0) >= 50, { what: '50 deliveries before the outage' })

  await outage.fail()
  await waitFor(async () => (await laneOf(pool)).state === 'paused', { what: 'the pause' })
  const probesFrom = calls.length
  const others = bystander.received().length
  await bystander.waitForCount(others + 50)
  // not one write: neither row nor position of the lane, neither parked rows nor attempts
  const lane = await settledLane(pool, calls, outage.probes ?? 3)
  expect(lane.kind).toBe(outage.says.kind)
  expect(lane.reason).toMatch(outage.says.reason)
  const probes = calls.slice(probesFrom)
  expect(probes.map(({ size }) => size)).toEqual(probes.map(() => 1))
  expect(await writtenDown(pool)).toEqual({ deliveries: 0, attempts: 0 })

  await outage.heal()
  const healedAt = delivered.get('gone') ?? 0
  await waitFor(() => (delivered.get('gone') ?? 0) >= healedAt + 50, { what: '50 deliveries after it' })
  await publisher.stop()
  await service.drain(AbortSignal.timeout(patienceMs))
  const doubled = expectAllInOrder(await outage.arrived(), publisher.published)
  expect(doubled).toBeLessThanOrEqual(window)
  expectAllInOrder(
    bystander.received().map(({ body }) => said(body)),
    publisher.published,
  )
  await waitFor(async () => (await laneOf(pool)).state === 'active', { what: 'the end of the pause' })
  expect(await laneOf(pool)).toMatchObject({ kind: null, reason: null })
  expect(await writtenDown(pool)).toEqual({ deliveries: 0, attempts: 0 })
  expect(events.filter((event) => !/^on(Pause|Resume) gone/.test(event))).toEqual([])
  expect(events[0]).toBe(`onPause gone ${outage.says.kind}`)
  expect(events.at(-1)).toBe('onResume gone')
  return { probedAt: probes.map(({ at }) => at) }
}

interface LaneRow {
  readonly state: string
  readonly kind: string | null
  readonly reason: string | null
  /** Changes with each write to the row. */
  readonly version: string
  /** Number of the newest position. */
  readonly position: string
}

async function laneOf(pool: pg.Pool): Promise<LaneRow> {
  const { rows } = await pool.query<LaneRow>(
    `select l.state, l.pause_kind as kind, l.pause_reason as reason, l.xmin::text as version,
            (select max(p.n) from waybill.positions p where p.lane_id = l.id) as position
       from waybill.lanes l where l.destination = 'gone'`,
  )
  return rows[0] as LaneRow
}

/**
 * The lane when what was under way at the pause has been answered and stored, however late: when `probes` probes in a row
 * have changed nothing. Fails where each of them writes.
 */
async function settledLane(pool: pg.Pool, calls: readonly WatchedCall[], probes: number): Promise<LaneRow> {
  let lane = await laneOf(pool)
  await waitFor(
    async () => {
      const [from, before] = [calls.length, lane]
      await waitFor(() => calls.length >= from + probes, { what: 'the probes' })
      lane = await laneOf(pool)
      return isDeepStrictEqual(lane, before)
    },
    { what: 'a paused lane to which nothing is written' },
  )
  return lane
}

export async function writtenDown(pool: pg.Pool): Promise<{ deliveries: number; attempts: number }> {
  const { rows } = await pool.query<{ deliveries: number; attempts: number }>(
    `select (select count(*) from waybill.deliveries)::int as deliveries, (select count(*) from waybill.attempts)::int as attempts`,
  )
  return rows[0] as { deliveries: number; attempts: number }
}

interface WatchedCall {
  readonly size: number
  /** `performance.now()`. */
  readonly at: number
}

/** The real kinds; what the lane asks of the first destination of one of them is noted. */
function watching(kind: string): { registry: AdapterRegistry; calls: WatchedCall[] } {
  const calls: WatchedCall[] = []
  const registry = defaultRegistry()
  const real = registry.get(kind)
  const watched: AdapterFactory = {
    kind,
    receiptsByDefault: real.receiptsByDefault,
    create(settings, context) {
      const adapter = real.create(settings, context)
      return context.destination === 'gone' ? new Watched(adapter, calls) : adapter
    },
  }
  return { registry: registry.register(watched), calls }
}

class Watched implements Adapter {
  readonly #adapter: Adapter
  readonly #calls: WatchedCall[]

  constructor(adapter: Adapter, calls: WatchedCall[]) {
    this.#adapter = adapter
    this.#calls = calls
  }

  get kind(): string {
    return this.#adapter.kind
  }

  get capabilities(): Adapter['capabilities'] {
    return this.#adapter.capabilities
  }

  deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
    this.#calls.push({ size: batch.length, at: performance.now() })
    return this.#adapter.deliver(batch, context)
  }

  close(): Promise<void> {
    return this.#adapter.close()
  }
}
