import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { systemClock, type Clock } from '../../core/clock.js'
import { codeOf, messageOf } from '../../core/errors.js'
import { assertRowsSeen } from '../../db/hidden-tables.js'
import { timeLimit } from '../../core/time-limit.js'
import { attemptsTable, extendPartitions, extendTimePartitions, receiptsTable } from '../partitions/index.js'
import { dropPartitionsOn } from './drop.js'
import { maintainInbox } from './inbox-generations.js'
import { loadMarks, type Marks } from './marks.js'
import { sweepDedupeKeys, sweepDispatchers, sweepDropped, sweepPositions, sweepUnrouted } from './sweep.js'
import { dropTimePartitions } from './time-partitions.js'
import { trimLog } from './trim.js'

export interface MaintenanceSettings {
  /** How long messages are kept once every lane has read them: to replay, to reconcile. Milliseconds, default 7 days. */
  readonly retentionMs?: number
  /** Beyond this age messages go even where a lane still needs them (audited as `expire`). Milliseconds, default never. */
  readonly maxHoldMs?: number
  /** Milliseconds, default 30 days. */
  readonly attemptsRetentionMs?: number
  /** Milliseconds, default 90 days. */
  readonly receiptsRetentionMs?: number
  /** Ranges to keep ahead. Default 3. */
  readonly ahead?: number
  /** Positions to keep for each lane. Default 100. */
  readonly keepPositions?: number
  /** For how long anyone may have to queue behind a lock that is waited for. Milliseconds, default 200. */
  readonly lockTimeoutMs?: number
  /** Bound of each task. Milliseconds, default 20,000. */
  readonly taskMs?: number
}

export interface MaintenanceOptions {
  readonly signal?: AbortSignal
  readonly clock?: Clock
}

export interface TaskReport {
  readonly task: string
  readonly ms: number
  /** What it did; of the task's own shape. Null when it failed. */
  readonly result: unknown
  readonly error: { readonly code: string | undefined; readonly message: string } | null
}

export interface MaintenanceReport {
  /** False: another process has the lease. Nothing was done. */
  readonly ran: boolean
  readonly tasks: readonly TaskReport[]
}

const dayMs = 86_400_000

interface Pass {
  readonly pool: pg.Pool
  readonly client: pg.ClientBase
  readonly marks: Marks
}

type Task = (pass: Pass, bounds: { readonly withinMs: number; readonly signal: AbortSignal }) => Promise<unknown>

/**
 * One pass of everything that keeps the database tidy. Any number of dispatchers may call it every few minutes: one of
 * them runs it. The pool must have two connections to give. Each task has its own time, and one that fails keeps none of the others from running.
 */
export async function runMaintenance(
  pool: pg.Pool,
  settings: MaintenanceSettings = {},
  { signal, clock = systemClock }: MaintenanceOptions = {},
): Promise<MaintenanceReport> {
  const { taskMs = 20_000 } = settings
  const holder = randomUUID()
  const client = await pool.connect()
  let failed = true
  try {
    const tasks: TaskReport[] = []
    await assertRowsSeen(client)
    // longer than a task can take, so that it never runs out under one
    if (!(await takeLease(client, holder, taskMs * 3))) {
      failed = false
      return { ran: false, tasks }
    }
    const marks = await loadMarks(client)
    for (const [task, run] of Object.entries(tasksOf(settings))) {
      if (signal?.aborted === true) break
      tasks.push(await runTask(task, run, { pool, client, marks }, { taskMs, signal, clock }))
      if (!(await renewLease(client, holder, taskMs * 3, marks))) break
    }
    await releaseLease(client, holder)
    failed = false
    return { ran: true, tasks }
  } finally {
    client.release(failed)
  }
}

function tasksOf(settings: MaintenanceSettings): Record<string, Task> {
  const { ahead = 3, lockTimeoutMs = 200, keepPositions = 100 } = settings
  const retentionMs = settings.retentionMs ?? 7 * dayMs
  const locks = { lockTimeoutMs, ahead }
  const hold = settings.maxHoldMs === undefined ? {} : { maxHoldMs: settings.maxHoldMs }
  const dropDays = (spec: typeof attemptsTable, ageMs: number): Task => {
    return ({ pool, client }, bounds) =>
      dropTimePartitions(pool, client, spec, { ...bounds, lockTimeoutMs, retentionMs: ageMs })
  }
  return {
    'extend messages': ({ client }, bounds) => extendPartitions(client, { ...bounds, ...locks }),
    'extend attempts': ({ client }, bounds) => extendTimePartitions(client, attemptsTable, { ...bounds, ...locks }),
    'extend receipts': ({ client }, bounds) => extendTimePartitions(client, receiptsTable, { ...bounds, ...locks }),
    'drop messages': ({ pool, client }, bounds) =>
      dropPartitionsOn(pool, client, { ...bounds, ...hold, lockTimeoutMs, retentionMs }),
    'trim messages': ({ client, marks }, { signal }) => trimLog(client, marks, { signal, retentionMs }),
    'drop attempts': dropDays(attemptsTable, settings.attemptsRetentionMs ?? 30 * dayMs),
    'drop receipts': dropDays(receiptsTable, settings.receiptsRetentionMs ?? 90 * dayMs),
    'inbox generations': ({ pool, client }, bounds) => maintainInbox(pool, client, { ...bounds, lockTimeoutMs }),
    'sweep dedupe keys': ({ client, marks }, { signal }) => sweepDedupeKeys(client, marks, { signal }),
    'sweep positions': ({ client, marks }, { signal }) =>
      sweepPositions(client, marks, { signal, keep: keepPositions }),
    'sweep dropped': ({ client }, { signal }) => sweepDropped(client, { signal }),
    'sweep unrouted': ({ client }) => sweepUnrouted(client, { keepMs: 30 * dayMs }),
    'sweep dispatchers': ({ client }) => sweepDispatchers(client),
  }
}

async function runTask(
  task: string,
  run: Task,
  pass: Pass,
  { taskMs, signal, clock }: { taskMs: number; signal: AbortSignal | undefined; clock: Clock },
): Promise<TaskReport> {
  const start = clock.monotonic()
  const limit = timeLimit(taskMs, signal)
  try {
    const result = await run(pass, { withinMs: taskMs / 2, signal: limit.signal })
    return { task, ms: clock.monotonic() - start, result, error: null }
  } catch (error) {
    const owner = codeOf(error) === '42501' ? '; run maintenance as the owner of the tables' : ''
    return {
      task,
      ms: clock.monotonic() - start,
      result: null,
      error: { code: codeOf(error), message: `${messageOf(error)}${owner}` },
    }
  } finally {
    limit.clear()
  }
}

async function takeLease(client: pg.ClientBase, holder: string, ms: number): Promise<boolean> {
  const { rowCount } = await client.query(
    `insert into waybill.maintenance as m (holder, until, passes) values ($1, clock_timestamp() + $2 * interval '1 ms', 1)
     on conflict (one) do update set holder = excluded.holder, until = excluded.until, passes = m.passes + 1
      where m.until < clock_timestamp()`,
    [holder, ms],
  )
  return rowCount === 1
}

/** Keeps the marks too. False: it was taken, by one who thought us dead. */
async function renewLease(client: pg.ClientBase, holder: string, ms: number, marks: Marks): Promise<boolean> {
  const { rowCount } = await client.query(
    `update waybill.maintenance set until = clock_timestamp() + $2 * interval '1 ms', marks = $3 where holder = $1`,
    [holder, ms, JSON.stringify(marks)],
  )
  return rowCount === 1
}

async function releaseLease(client: pg.ClientBase, holder: string): Promise<void> {
  await client.query(`update waybill.maintenance set holder = null, until = '-infinity' where holder = $1`, [holder])
}
