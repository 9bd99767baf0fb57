import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Arrival } from '../../scripts/demo/verdict.js'
import { Queue } from '../../src/queue-facade/queue.js'
import { ArrivalLog } from './arrival-log.js'
import { eachRow } from './rows.js'

export interface LoadOptions {
  readonly url: string
  readonly random: () => number
  /** Transactions a second that are begun, where the database keeps up. */
  readonly rate: number
  readonly clients: number
  readonly keys: number
}

const schema = `create table if not exists proof_counters (key text primary key, version int not null);
  create table if not exists proof_ledger (id uuid primary key, key text not null, version int not null)`

/** Of the messages of one transaction in so many, none is to be seen. */
const rollbacks = 0.08
const unkeyed = 0.2

/** An application that publishes in its transactions, and goes on whatever happens to its database. */
export class Load {
  /** Messages that were published, whatever became of their transactions. */
  published = 0
  /** Ids of those whose commit was never sent. */
  readonly rolledBack = new Set<string>()
  /** Commits that their clients saw go through. */
  committed = 0
  /** Transactions a second that are begun, where the database keeps up. */
  rate: number
  readonly #o: LoadOptions
  readonly #pool: pg.Pool
  readonly #queue = new Queue()
  #stopping = false
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: LoadOptions) {
    this.#o = options
    this.rate = options.rate
    this.#pool = new pg.Pool({
      connectionString: options.url,
      max: options.clients,
      connectionTimeoutMillis: 3000,
      query_timeout: 10_000,
    })
    this.#pool.on('error', () => undefined)
    this.#pool.on('connect', (client) => void client.on('error', () => undefined))
  }

  /** Transactions at once, at most. */
  get clients(): number {
    return this.#o.clients
  }

  async prepare(): Promise<void> {
    await this.#pool.query(schema)
  }

  /** Also after `stop`. */
  start(): void {
    this.#stopping = false
    this.#running = Promise.all(Array.from({ length: this.#o.clients }, () => this.#client()))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  /** What the database says was committed: rows of the application's own ledger, written beside each message. */
  async ledger(): Promise<ArrivalLog> {
    const rows = new ArrivalLog()
    await eachRow<Arrival>(this.#o.url, 'select id::text, key, version from proof_ledger', (row) => rows.add(row))
    return rows
  }

  async end(): Promise<void> {
    await this.#pool.end()
  }

  async #client(): Promise<void> {
    while (!this.#stopping) {
      const pauseMs = (1000 * this.#o.clients) / this.rate
      const due = performance.now() + pauseMs * (0.5 + this.#o.random())
      try {
        await this.#transaction()
      } catch {
        await sleep(50)
      }
      await sleep(Math.max(0, due - performance.now()))
    }
  }

  async #transaction(): Promise<void> {
    const { random, keys } = this.#o
    const client = await this.#pool.connect()
    let id: string | undefined
    let broken = true
    try {
      await client.query('begin')
      const key = random() < unkeyed ? null : `key-${Math.floor(random() * keys)}`
      const version = key === null ? 1 : await count(client, key)
      id = await this.#queue.publish('order.changed', { key, version }, { tx: client, key })
      this.published++
      this.rolledBack.add(id)
      await client.query('insert into proof_ledger (id, key, version) values ($1, $2, $3)', [id, key ?? id, version])
      if (random() < rollbacks) {
        await client.query('rollback')
      } else {
        this.rolledBack.delete(id)
        await client.query('commit')
        this.committed++
      }
      broken = false
    } finally {
      client.release(broken)
    }
  }
}

/** The row lock puts the transactions of a key in an order, before they publish. */
async function count(client: pg.PoolClient, key: string): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    `insert into proof_counters as c (key, version) values ($1, 1)
       on conflict (key) do update set version = c.version + 1 returning c.version`,
    [key],
  )
  return rows[0]?.version as number
}
