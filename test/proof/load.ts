import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Arrival } from '../../scripts/demo/verdict.js'
import { Queue } from '../../src/queue-facade/queue.js'
import { ArrivalLog } from './arrival-log.js'
import { badKeys, badMark, type BadKind, badKinds } from './bad-messages.js'
import type { Deployments, Note } from './configurations.js'
import { type Ending, endings } from './poison-jobs/endings.js'
import { eachRow } from './rows.js'

/** How the application differs from the usual one. */
export interface Manner {
  /** Of its messages, drawn at random. Default: one. */
  readonly topics?: readonly string[]
  /** Some messages are such that receivers refuse them. */
  readonly bad?: boolean
  /** The jobs of some messages end the process of their worker. */
  readonly poison?: boolean
  /** Statements of a transaction are sent side by side, some transactions fail and are tried again at once. */
  readonly parallel?: boolean
}

export interface LoadOptions {
  readonly url: string
  readonly random: () => number
  /** Transactions a second that are begun, where the database keeps up. */
  readonly rate: number
  readonly clients: number
  readonly keys: number
  readonly manner?: Manner
  /** What publishers see of them is noted for each message; undefined: there will be none. */
  readonly deployments?: Deployments | undefined
}

interface Message {
  readonly topic: string
  readonly key: string | null
  /** What makes receivers refuse it. */
  readonly bad: BadKind | undefined
  /** How its job ends a worker. */
  readonly ends?: Ending | undefined
}

const schema = `create table if not exists proof_counters (key text primary key, version int not null);
  create table if not exists proof_ledger (id uuid primary key, key text not null, version int not null);
  create table if not exists proof_orders (ref text primary key);
  insert into proof_orders values ('taken') on conflict do nothing`

/** Of the messages of one transaction in so many, none is to be seen. */
const rollbacks = 0.08
const unkeyed = 0.2
const bad = 0.07
/** Each ending in turn, once in so many messages. */
const poisonEvery = 50
/** So many bad ones in a row, after every so many messages. */
const burst = { length: 50, every: 600, first: 100 }
/** Of parallel transactions, which publish so many messages. */
const violations = 0.4
const together = 3

/** An application that publishes in its transactions, and goes on whatever happens to its database. */
export class Load {
  /** Messages that were published, whatever became of their transactions. */
  published = 0
  /** Ids of those whose commit was never sent. */
  readonly rolledBack = new Set<string>()
  /** Commits that their clients saw go through. */
  committed = 0
  /** Transactions that failed, apart from those that were made to. */
  failed = 0
  lastFailure: unknown
  /** What publishers knew of deployments, by the message's id. */
  readonly notes = new Map<string, Note>()
  /** Transactions a second that are begun, where the database keeps up. */
  rate: number
  /** Some of the messages that it publishes are such that receivers refuse them. */
  bad: boolean
  readonly #o: LoadOptions
  readonly #pools: pg.Pool[]
  readonly #queue = new Queue()
  #drawn = 0
  #stopping = false
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: LoadOptions) {
    this.#o = options
    this.rate = options.rate
    this.bad = options.manner?.bad === true
    // two clients of a pool of two: what one leaves behind, the other meets
    const size = options.manner?.parallel === true ? 2 : options.clients
    this.#pools = Array.from({ length: options.clients / size }, () => this.#createPool(size))
  }

  #createPool(max: number): pg.Pool {
    const pool = new pg.Pool({
      ...{ connectionString: this.#o.url, max, connectionTimeoutMillis: 3000, query_timeout: 10_000 },
    })
    pool.on('error', () => undefined)
    pool.on('connect', (client) => void client.on('error', () => undefined))
    return pool
  }

  /** Transactions at once, at most. */
  get clients(): number {
    return this.#o.clients
  }

  async prepare(): Promise<void> {
    await this.#pools[0]?.query(schema)
  }

  /** Also after `stop`. */
  start(): void {
    this.#stopping = false
    const pools = Array.from({ length: this.#o.clients }, (_, i) => this.#pools[i % this.#pools.length] as pg.Pool)
    this.#running = Promise.all(pools.map((pool) => this.#client(pool)))
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
    await Promise.all(this.#pools.map((pool) => pool.end()))
  }

  async #client(pool: pg.Pool): Promise<void> {
    while (!this.#stopping) {
      const pauseMs = (1000 * this.#o.clients) / this.rate
      const due = performance.now() + pauseMs * (0.5 + this.#o.random())
      try {
        await (this.#o.manner?.parallel === true ? this.#parallelTransaction(pool) : this.#transaction(pool))
      } catch (error) {
        this.failed++
        this.lastFailure = error
        await sleep(50)
      }
      await sleep(Math.max(0, due - performance.now()))
    }
  }

  async #transaction(pool: pg.Pool): Promise<void> {
    const client = await pool.connect()
    let broken = true
    try {
      await client.query('begin')
      const { topic, key, bad, ends } = this.#draw()
      const version = key === null ? 1 : await count(client, key)
      const note = await this.#look(client, topic)
      const payload = { key, version, ...(bad && { bad: badMark(bad) }), ...(ends && { ends }) }
      const id = await this.#queue.publish(topic, payload, { tx: client, key })
      this.published++
      this.rolledBack.add(id)
      if (note) this.notes.set(id, note)
      await client.query('insert into proof_ledger (id, key, version) values ($1, $2, $3)', [id, key ?? id, version])
      // each ending has to occur, also where few are drawn
      if (this.#o.random() < rollbacks && !ends) {
        await client.query('rollback')
      } else {
        this.rolledBack.delete(id)
        await client.query('commit')
        this.committed++
        const { deployments } = this.#o
        if (note && deployments) note.until = deployments.newest.generation
      }
      broken = false
    } finally {
      client.release(broken)
    }
  }

  /** As `Promise.all` invites one to write it; one that fails is rolled back, and tried again at once on its client. */
  async #parallelTransaction(pool: pg.Pool): Promise<void> {
    const { random } = this.#o
    const client = await pool.connect()
    let broken = true
    try {
      while (!(await this.#attempt(client, random() < violations ? 'taken' : randomUUID())));
      broken = false
    } finally {
      client.release(broken)
    }
  }

  /** False when it was rolled back. */
  async #attempt(client: pg.PoolClient, ref: string): Promise<boolean> {
    await client.query('begin')
    const { topic, key } = this.#draw()
    const last = key === null ? 1 : await count(client, key, together)
    const messages = Array.from({ length: together }, (_, i) => ({
      id: randomUUID(),
      version: key === null ? 1 : last - together + 1 + i,
    }))
    this.published += together
    for (const { id } of messages) this.rolledBack.add(id)
    try {
      await Promise.all([
        client.query('insert into proof_orders (ref) values ($1)', [ref]),
        ...messages.flatMap(({ id, version }) => [
          this.#queue.publish(topic, { key, version }, { tx: client, key, id }),
          client.query('insert into proof_ledger (id, key, version) values ($1, $2, $3)', [id, key ?? id, version]),
        ]),
      ])
    } catch (error) {
      await client.query('rollback')
      if ((error as { readonly code?: string }).code !== '23505' && ref !== 'taken') throw error
      return false
    }
    for (const { id } of messages) this.rolledBack.delete(id)
    await client.query('commit')
    this.committed++
    return true
  }

  #draw(): Message {
    const { random, keys, manner } = this.#o
    const n = this.#drawn++
    const topics = manner?.topics ?? ['order.changed']
    const topic = topics[Math.floor(random() * topics.length)] as string
    const inBurst = n >= burst.first && (n - burst.first) % burst.every < burst.length
    if (this.bad && (inBurst || random() < bad)) {
      // a few keys have several: those behind the first have to wait for it
      const key = badKeys + (random() < 0.2 ? Math.floor(random() * 10) : 10 + n)
      return { topic, key, bad: badKinds[Math.floor(random() * badKinds.length)] }
    }
    const poison = manner?.poison === true && n % poisonEvery === poisonEvery / 2
    const ends = poison ? endings[Math.floor(n / poisonEvery) % endings.length] : undefined
    return { topic, key: random() < unkeyed ? null : `key-${Math.floor(random() * keys)}`, bad: undefined, ends }
  }

  /** Which configuration the database shows; READ COMMITTED, so what is deployed later is not seen. */
  async #look(client: pg.PoolClient, topic: string): Promise<Note | undefined> {
    if (!this.#o.deployments) return undefined
    const { rows } = await client.query<{ generation: number }>(
      'select min(generation) as generation from waybill.destinations where configured',
    )
    return { topic, seen: rows[0]?.generation as number, at: Date.now() }
  }
}

/** The row lock puts the transactions of a key in an order, before they publish. */
async function count(client: pg.PoolClient, key: string, by = 1): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    `insert into proof_counters as c (key, version) values ($1, $2)
       on conflict (key) do update set version = c.version + $2 returning c.version`,
    [key, by],
  )
  return rows[0]?.version as number
}
