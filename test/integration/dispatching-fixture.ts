import { afterEach } from 'vitest'
import type pg from 'pg'
import type { Outcome } from '../../src/adapters/contract.js'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import type { DispatcherLogger } from '../../src/dispatcher/hooks.js'
import { type TestDatabase, useDatabase } from '../support/database.js'
import { type TestDispatcherOptions, startDispatcher } from '../support/dispatching.js'
import type { PostgresServer } from '../support/services.js'

export const delivered: Outcome = { kind: 'delivered' }
export const retry: Outcome = { kind: 'retry', failure: { code: 'HTTP_500', message: 'no' } }
export const down: Outcome = { kind: 'pause', failure: { code: 'HTTP_502', message: 'bad gateway' } }
export const dead: Outcome = { kind: 'dead', failure: { code: 'HTTP_422', message: 'never' } }

type StartOptions = Omit<TestDispatcherOptions, 'pool'> & {
  readonly pool?: pg.Pool
  /** False: no LISTEN, polling alone. */
  readonly listen?: boolean
}

export interface Dispatching {
  readonly database: () => TestDatabase
  readonly pool: () => pg.Pool
  /** Listens on the database's own URL unless `listenUrl` says otherwise. Stopped after the test. */
  readonly start: (options: StartOptions) => Promise<Dispatcher>
}

/** For the top of a `describe`: a database that each test finds empty, and dispatchers that end with their test. */
export function useDispatching(server: PostgresServer = 'pg18'): Dispatching {
  const database = useDatabase({ server })
  const running: Dispatcher[] = []
  afterEach(async () => {
    await Promise.all(running.splice(0).map((dispatcher) => dispatcher.stop({ drainMs: 500 })))
    await database().pool.query(
      `truncate waybill.destinations, waybill.messages, waybill.scheduled, waybill.dedupe_keys, waybill.configurations,
         waybill.attempts, waybill.receipts, waybill.dispatchers, waybill.unrouted, waybill.unrouted_cursor cascade`,
    )
  })
  return {
    database,
    pool: () => database().pool,
    async start({ listen = true, ...options }) {
      const listening = listen ? { listenUrl: database().url } : {}
      const dispatcher = await startDispatcher({ pool: database().pool, ...listening, ...options })
      running.push(dispatcher)
      return dispatcher
    },
  }
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Record<string, unknown>
}

/** Keeps what was logged. */
export function memoryLogger(): DispatcherLogger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const write =
    (level: LogLine['level']) =>
    (fields: object, message = ''): void =>
      void lines.push({ level, message, fields: { ...fields } })
  return { lines, debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/** A promise and the function that resolves it. */
export function gate<T = void>(): { readonly opened: Promise<T>; open(value: T): void } {
  let open: (value: T) => void = () => undefined
  const opened = new Promise<T>((resolve) => (open = resolve))
  return { opened, open }
}

export async function count(pool: pg.Pool, table: string, where = 'true'): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(`select count(*)::int as n from waybill.${table} where ${where}`)
  return rows[0]?.n ?? 0
}

/** State of each parked delivery, in seq order. */
export async function parkedStates(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ state: string }>('select state from waybill.deliveries order by seq')
  return rows.map((row) => row.state)
}
