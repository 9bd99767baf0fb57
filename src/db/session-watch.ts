import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { SteadyClient } from './steady-client.js'
import { within } from '../core/within.js'
import { hangUp } from './hang-up.js'
import { guardPool, sessionsOf } from './pool.js'
import { loadSql } from './sql.js'

const stateSql = loadSql(import.meta.url, './sessions_at_work.sql')
const endSql = loadSql(import.meta.url, './sessions_end.sql')

export interface SessionWatchOptions {
  readonly pool: pg.Pool
  /** How long a statement may be without an answer before the server is asked what became of it, ms. */
  readonly silentMs: number
  /** So many sessions were hung up on. */
  readonly onSilent: (sessions: number) => void
}

interface Seen {
  /** Bytes that had come from the server. */
  readonly read: number
  readonly at: number
}

/** Looks for each time that a statement may be without an answer. */
const looks = 3
/** What was on its way when the server was asked has come after this, at most, ms: a packet lost, and sent again. */
const lateMs = 1000

/**
 * Finds sessions of a pool whose network has gone without a word (a firewall or a router that forgot the connection, a
 * host that vanished): TCP alone gives such a statement up after a quarter of an hour. When one has had no answer for
 * `silentMs` the server is asked, on a new connection, what became of it. A session that works is left alone however
 * long that takes; one that waits for us, or that the server does not know, is hung up on, together with those that
 * rest, and its statement rejects with an error of the connection. Where the server can't be asked either it is asked again later.
 */
export class SessionWatch {
  readonly #o: SessionWatchOptions
  readonly #seen = new WeakMap<pg.PoolClient, Seen>()
  #timer: NodeJS.Timeout | undefined
  #asking = false

  constructor(options: SessionWatchOptions) {
    this.#o = options
    guardPool(options.pool)
  }

  start(): void {
    const { silentMs } = this.#o
    this.#timer ??= setInterval(() => this.#look(), silentMs / looks).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #open(): pg.PoolClient[] {
    return [...sessionsOf(this.#o.pool)].filter(({ connection }) => !connection.stream.destroyed)
  }

  #look(): void {
    const now = performance.now()
    let overdue = false
    for (const session of this.#open()) {
      const read = bytesRead(session)
      const seen = this.#seen.get(session)
      if (!isWaiting(session)) this.#seen.delete(session)
      else if (!seen || seen.read !== read) this.#seen.set(session, { read, at: now })
      else if (this.#isOverdue(seen, now)) overdue = true
    }
    if (overdue && !this.#asking) void this.#ask()
  }

  #isOverdue({ at }: Seen, now: number): boolean {
    return now - at >= this.#o.silentMs
  }

  async #ask(): Promise<void> {
    const { pool, silentMs } = this.#o
    this.#asking = true
    const client = new SteadyClient({
      ...pool.options,
      password: pool.options.password, // not enumerable there
      application_name: 'waybill watch',
      connectionTimeoutMillis: silentMs,
      query_timeout: silentMs,
    })
    client.on('error', () => undefined)
    try {
      const sessions = this.#open()
      await client.connect()
      const atWork = await this.#atWork(client, sessions)
      // where the network was only away its answer may be behind the one to the question
      await sleep(Math.min(silentMs / looks, lateMs))
      const now = performance.now()
      const overdue = sessions.filter((session) => {
        const seen = this.#seen.get(session)
        return seen?.read === bytesRead(session) && this.#isOverdue(seen, now)
      })
      for (const session of overdue.filter(atWork)) this.#seen.set(session, { read: bytesRead(session), at: now })
      if (overdue.every(atWork)) return
      // all that are not at work: those that rest went the same way, and would be found out one by one
      const silent = this.#open().filter((session) => sessions.includes(session) && !atWork(session))
      await this.#hangUp(silent)
      // what they had locked stays locked for as long as the server believes that they are there
      await client.query(endSql, [silent.map(processId)])
    } catch {
      // the server can't be asked: the next look tries again
    } finally {
      this.#asking = false
      void hangUp(client)
    }
  }

  /** Which sessions the server says are at work on what they were asked. */
  async #atWork(client: pg.Client, sessions: readonly pg.PoolClient[]): Promise<(session: pg.PoolClient) => boolean> {
    const { rows } = await client.query<{ own: number; at_work: number[]; others: boolean }>(stateSql, [
      sessions.map(processId),
      this.#o.silentMs / 2,
    ])
    const { own, at_work, others } = rows[0] as (typeof rows)[0]
    // behind a pooler ids are the pooler's own: a session is taken to be at work while any of Waybill's is
    return own === processId(client) ? (session) => at_work.includes(processId(session)) : () => others
  }

  /** Those that rest first: whoever hears of a lost one takes the next from the pool. */
  async #hangUp(silent: readonly pg.PoolClient[]): Promise<void> {
    const resting = silent.filter((session) => !isWaiting(session))
    await within(100, Promise.all(resting.map((session) => this.#destroy(session))))
    this.#o.onSilent(silent.length)
    for (const session of silent) if (!resting.includes(session)) void this.#destroy(session)
  }

  /** Resolves when the pool has heard of it. */
  #destroy(session: pg.PoolClient): Promise<void> {
    const ended = new Promise<void>((resolve) => session.once('end', resolve))
    session.connection.stream.destroy()
    return ended
  }
}

/** A statement was sent, and not all of its answer has come. pg's own flag, which its types leave out. */
function isWaiting(client: pg.Client): boolean {
  return (client as unknown as { readyForQuery?: boolean }).readyForQuery !== true
}

function bytesRead(client: pg.Client): number {
  return (client.connection.stream as Socket).bytesRead
}

/** The backend's process id, which its types leave out. */
function processId(client: pg.Client): number {
  return (client as unknown as { processID: number }).processID
}
