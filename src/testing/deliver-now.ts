import type pg from 'pg'
import { systemClock } from '../core/clock.js'
import { version } from '../core/version.js'
import { assertRowsSeen } from '../db/hidden-tables.js'
import { createPool, endPool } from '../db/pool.js'
import { Dispatcher } from '../dispatcher/dispatcher.js'
import { countRetried } from '../outbox/inspect/pending.js'
import { silentLogger } from '../telemetry/logger.js'
import { startLimit, tookTooLong } from './call-limit.js'
import { checkDeliverOptions, type CheckedDeliverOptions, type DeliverNowOptions } from './deliver-options.js'
import { FakeAdapter, type DeliveredMessage, type FailedAttempt } from './fake-adapter.js'
import { deployFakes, dropParked, readParked, refuseRealDestinations } from './fake-destinations.js'
import type { LoggedMessage } from './message.js'
import { dueUntil, stageUntil } from './scheduled-due.js'
import { inTurn } from './turns.js'

/** What one call did at one destination. */
export interface FakeDeliveries {
  /** In the order in which the fake took them. */
  readonly delivered: readonly DeliveredMessage[]
  /** Every attempt that failed, in order, also of messages that got through later. */
  readonly failed: readonly FailedAttempt[]
  /** Given up after `maxAttempts`, in the order of the log. */
  readonly dead: readonly LoggedMessage[]
  /** Never tried: a dead message with their key stood before them. In the order of the log. */
  readonly held: readonly LoggedMessage[]
}

/**
 * Delivers what is committed to fake destinations, as a dispatcher does (routes, order per key, retries without their
 * waits), in this process and without brokers; then stops. What the fakes publish meanwhile is delivered too. Each fake
 * gets what it has not had in an earlier call; a new one everything in the log. What is dead or held at the end is
 * reported, and not left to the next call. Calls in one database take turns.
 *
 * The database is the tests' own: rejects with `WAYBILL_TESTING_REFUSED`, and has changed nothing, where a destination is
 * deployed that is no fake. Rejects with an `InputError` (`WAYBILL_TESTING_INVALID`) for options that are not valid, and
 * with `WAYBILL_TESTING_TIMEOUT` when a fake does not answer in time.
 */
export async function deliverNow<Name extends string>(
  options: DeliverNowOptions<Name>,
): Promise<Readonly<Record<Name, FakeDeliveries>>> {
  const checked = checkDeliverOptions(options)
  const { database, fakes, timeoutMs } = checked
  const adapters: Adapters = new Map(fakes.map(({ name, deliver: fake }) => [name, new FakeAdapter(fake)]))
  const limit = startLimit(timeoutMs)
  const { signal } = limit
  const pool = 'pool' in database ? database.pool : createPool({ ...database, max: 6 })
  let waitedFor: string | undefined
  const turn = { pool, limit, waits: (what: string | undefined) => void (waitedFor = what) }
  try {
    const place = 'pool' in database ? database.pool : database.connectionString
    const work = (): Promise<Record<string, FakeDeliveries>> => deliver(pool, { options: checked, adapters, signal })
    return (await inTurn(place, turn, work)) as Record<Name, FakeDeliveries>
  } catch (error) {
    throw signal.aborted ? tookTooLong(timeoutMs, waitedFor ?? underWay(adapters), error) : error
  } finally {
    limit.clear()
    if (!('pool' in database)) await endPool(pool)
  }
}

type Adapters = ReadonlyMap<string, FakeAdapter>

interface Work {
  readonly options: CheckedDeliverOptions
  readonly adapters: Adapters
  readonly signal: AbortSignal
}

async function deliver(pool: pg.Pool, { options, adapters, signal }: Work): Promise<Record<string, FakeDeliveries>> {
  const { fakes, now } = options
  const names = fakes.map(({ name }) => name)
  await assertRowsSeen(pool)
  await refuseRealDestinations(pool, names)
  const until = await dueUntil(pool, now)
  // here and below: another call may have the turn, when an answer came after all
  signal.throwIfAborted()
  // of a call that was killed
  await dropParked(pool)
  signal.throwIfAborted()
  const generation = await deployFakes(pool, fakes)
  signal.throwIfAborted()
  const dispatcher = makeDispatcher(pool, generation, adapters, options)
  try {
    await dispatcher.start()
    await untilNothingMoves(pool, { dispatcher, adapters, until, signal })
  } finally {
    await dispatcher.stop(signal.aborted ? { drainMs: 0 } : {})
  }
  signal.throwIfAborted()
  const parked = await readParked(pool, names)
  await dropParked(pool)
  const left = (name: string, state: string): LoggedMessage[] =>
    parked.filter((each) => each.destination === name && each.state === state).map(({ message }) => message)
  const report = ([name, { delivered, failed }]: [string, FakeAdapter]): [string, FakeDeliveries] => [
    name,
    { delivered, failed, dead: left(name, 'dead'), held: left(name, 'held') },
  ]
  return Object.fromEntries([...adapters].map(report))
}

/** Fakes may publish, for later too: until a pass has handed over nothing, and nothing has come due. */
async function untilNothingMoves(
  pool: pg.Pool,
  {
    dispatcher,
    adapters,
    until,
    signal,
  }: { dispatcher: Dispatcher; adapters: Adapters; until: number; signal: AbortSignal },
): Promise<void> {
  const attempts = (): number =>
    [...adapters.values()].reduce((sum, { delivered, failed }) => sum + delivered.length + failed.length, 0)
  for (let before = -1; attempts() !== before;) {
    before = attempts()
    await stageUntil(pool, until, signal)
    await dispatcher.drain(signal)
    while ((await countRetried(pool)).n > 0) {
      await systemClock.sleep(retryLookMs, signal)
      signal.throwIfAborted()
      await dispatcher.drain(signal)
    }
  }
}

const retryLookMs = 5

function makeDispatcher(
  pool: pg.Pool,
  generation: number,
  adapters: Adapters,
  { fakes, maxAttempts }: CheckedDeliverOptions,
): Dispatcher {
  const atOnce = { baseMs: 1, capMs: 1 }
  return new Dispatcher({
    ...{ pool, version, generation, name: 'waybill/testing', leaseMs: 30_000, pageSize: 500 },
    destinations: fakes.map(({ name, order, onDead, patterns }) => ({
      name,
      patterns,
      adapter: adapters.get(name) as FakeAdapter,
      settings: {
        ...{ shards: 1, order, onDead, maxAttempts, backoff: atOnce, probe: atOnce, receipts: false },
        // a fake may take its time, and fail as often as it likes
        ...{ window: 2000, slowAfterMs: 3_600_000, maxParked: 1_000_000, from: 'earliest' as const },
      },
    })),
    listenUrl: undefined,
    ...{ clock: systemClock, logger: silentLogger, hooks: {} },
    ticker: { busyMs: 2, idleMs: 10, sleepAfterMs: Infinity },
  })
}

/** What a call that took too long was at. */
function underWay(adapters: Adapters): string {
  const waiting = [...adapters].flatMap(([name, { underWay }]) =>
    underWay ? [`${name} has not answered for ${underWay.topic} ${underWay.id} (attempt ${underWay.attempt})`] : [],
  )
  return waiting.length > 0 ? waiting.join('; ') : 'messages kept coming, or the database was slow'
}
