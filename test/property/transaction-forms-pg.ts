import { AsyncLocalStorage } from 'node:async_hooks'
import { createRequire } from 'node:module'
import pg from 'pg'
import type { Transaction } from '../../src/index.js'
import type { Form, Handle } from './transaction-property.js'

const require = createRequire(import.meta.url)
const older = require('pg-older') as typeof pg

interface Options {
  readonly config?: pg.PoolConfig
  /** What is given as tx in place of the client. */
  readonly wrap?: (client: pg.PoolClient) => unknown
  /** Runs a second transaction on the client when the first was rolled back, before it is given back. */
  readonly again?: boolean
}

/** Clients of a pool; savepoints in SQL. */
function pooled(url: string, from: typeof pg, { config, wrap = (client) => client, again }: Options = {}): Form {
  const pool = new from.Pool({ connectionString: url, max: 2, ...config })
  pool.on('error', () => undefined)
  return {
    // a stranger's transaction on the same client is the client's
    late: false,
    close: () => pool.end(),
    async transaction(work) {
      const client = await pool.connect()
      const own = plain(client)
      try {
        await own('begin')
        await work(handle(own, wrap(client) as Transaction))
        await own('commit')
      } catch (error) {
        await own('rollback')
        if (again === true) {
          await own('begin')
          await own('select pg_sleep(0.002)')
          await own('commit')
        }
        throw error
      } finally {
        client.release()
      }
    },
  }
}

/** Of the class: `query` of the client may be replaced. */
function plain(client: pg.PoolClient): (sql: string) => Promise<unknown> {
  const { query } = Object.getPrototypeOf(client) as { query: (this: unknown, sql: string) => Promise<unknown> }
  return (sql) => query.call(client, sql)
}

function handle(own: (sql: string) => Promise<unknown>, tx: Transaction): Handle {
  return {
    tx,
    query: own,
    async savepoint(work) {
      await own('savepoint s')
      try {
        await work(handle(own, tx))
      } catch (error) {
        await own('rollback to s')
        throw error
      }
      await own('release s')
    },
  }
}

type Query = (config: string | { text: string; values: unknown[] }, values?: unknown[]) => Promise<unknown>

/** A client whose `query` is another; once for each client, which a pool gives again and again. */
function replaced(by: (query: Query) => Query): (client: pg.PoolClient) => unknown {
  const done = new WeakSet<pg.PoolClient>()
  return (client) => {
    if (!done.has(client)) {
      done.add(client)
      const { query } = Object.getPrototypeOf(client) as { query: Query }
      Object.assign(client, { query: by((...given) => query.apply(client, given)) })
    }
    return client
  }
}

const current = new AsyncLocalStorage<object>()
/** One object that stands for the transaction of the moment. */
const proxied = proxyOf(() => current.getStore() ?? {})

export function proxyOf(now: () => object, target: object = {}): object {
  return new Proxy(target, {
    get: (_, member) => {
      const value: unknown = Reflect.get(now(), member, now())
      return typeof value === 'function' && member !== 'constructor' ? (value.bind(now()) as unknown) : value
    },
    has: (_, member) => Reflect.has(now(), member),
    apply: (_, __, given) => (now() as (...given: unknown[]) => unknown)(...(given as unknown[])),
    getPrototypeOf: () => Reflect.getPrototypeOf(now()),
  })
}

/** `tx` is the proxy, which stands for what was given. */
export function throughProxy(form: Form, proxy: object, store: AsyncLocalStorage<object>): Form {
  const through = ({ query, savepoint }: Handle): Handle => ({
    tx: proxy as Transaction,
    query,
    savepoint: (work) => savepoint((inner) => store.run(inner.tx, () => work(through(inner)))),
  })
  return {
    ...form,
    transaction: (work) => form.transaction((given) => store.run(given.tx, () => work(through(given)))),
  }
}

export const pgForms: Readonly<Record<string, (url: string) => Form>> = {
  pg: (url) => ({ ...pooled(url, pg), exact: true }),
  'pg, tried again on its client': (url) => ({ ...pooled(url, pg, { again: true }), exact: true }),
  'pg before 8.21': (url) => ({ ...pooled(url, older, { again: true }), exact: true }),
  'pg, binary': (url) => pooled(url, pg, { config: { binary: true } as pg.PoolConfig }),
  'pg that pipelines': (url) => pooled(url, pg, { config: { pipeline: true } }),
  'pg, query hands on': (url) =>
    pooled(url, pg, {
      wrap: replaced(
        (query) =>
          (...given) =>
            query(...given),
      ),
    }),
  'pg, query hands on later': (url) =>
    pooled(url, pg, {
      wrap: replaced(
        (query) =>
          async (...given) => (await Promise.resolve(), query(...given)),
      ),
    }),
  'pg, query copies': (url) =>
    pooled(url, pg, {
      wrap: replaced((query) => (given, values) => query(typeof given === 'string' ? given : { ...given }, values)),
    }),
  'pg, query takes text and values': (url) =>
    pooled(url, pg, {
      again: true,
      wrap: replaced(
        (query) => (given, values) =>
          typeof given === 'string' ? query(given, values) : query(given.text, values ?? given.values),
      ),
    }),
  'pg, query takes text and values, before 8.21': (url) =>
    pooled(url, older, {
      again: true,
      wrap: replaced(
        (query) => (given, values) =>
          typeof given === 'string' ? query(given, values) : query(given.text, values ?? given.values),
      ),
    }),
  'pg, proxied': (url) => throughProxy(pooled(url, pg), proxied, current),
  'anything with query()': (url) =>
    pooled(url, pg, {
      wrap: (client) => ({ query: (text: string, values?: unknown[]) => client.query(text, values) }),
    }),
  'anything with query(), proxied': (url) =>
    throughProxy(
      pooled(url, pg),
      { query: (text: string, values?: unknown[]) => (current.getStore() as pg.PoolClient).query(text, values) },
      current,
    ),
}
