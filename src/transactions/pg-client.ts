import type { PgQuery } from '../core/statement.js'
import { isObject } from './kind.js'

/** A client of `pg`, of any version 8; the native one too, where a member is not said to be of the JavaScript one. */
export interface PgClient {
  readonly query: (
    query: PgQuery,
  ) => PromiseLike<{ readonly rows: readonly unknown[]; readonly rowCount?: number | null }>
  /** pg 8.21 and later: the status of the last ReadyForQuery; null before the first. */
  getTransactionStatus?(): string | null
  /** False while a statement is under way; of the JavaScript client. */
  readonly readyForQuery?: boolean | undefined
  /** False after the connection was lost. */
  readonly _queryable?: boolean | undefined
  readonly _connecting?: boolean | undefined
  readonly _connected?: boolean | undefined
  readonly _ending?: boolean | undefined
  readonly _ended?: boolean | undefined
  /** Of the JavaScript client. */
  readonly connection?: PgConnectionEvents
  readonly pipeline?: boolean
}

interface PgConnectionEvents {
  prependListener(event: 'readyForQuery', listener: (message?: { status?: string }) => void): unknown
  on(event: 'commandComplete', listener: (message?: { text?: string }) => void): unknown
}

/** By structure: a client may be of another copy of `pg` than ours. */
export function isPgClient(value: object): value is PgClient {
  const client = value as Partial<PgClient> & { once?: unknown; processID?: unknown; escapeLiteral?: unknown }
  if (typeof client.query !== 'function' || typeof client.once !== 'function') return false
  if (typeof client.getTransactionStatus === 'function') return true
  return (
    'processID' in client &&
    typeof client.escapeLiteral === 'function' &&
    typeof client.connection?.prependListener === 'function'
  )
}

/**
 * The client itself, where an object was given that has it as its prototype: pg keeps its state in `this`, and would
 * write half of it into that object.
 */
export function clientBehind(client: PgClient): PgClient {
  if (Object.hasOwn(client, 'connection') || Object.hasOwn(client, 'query')) return client
  const behind: unknown = Object.getPrototypeOf(client)
  return isObject(behind) && Object.hasOwn(behind, 'connection') ? (behind as PgClient) : client
}

/** While statements are under way the last known status says nothing: one may be the commit. */
export function isBusy(client: PgClient): boolean {
  return client.readyForQuery === false
}

/** Nothing that is sent on it will ever be answered, and it does not say so itself. */
export function isUnconnected(client: PgClient): boolean {
  return (client._connected === false && client._connecting === false) || client._ended === true
}

/** Of clients of pg before 8.21, from the messages we listened to ourselves. */
const heard = new WeakMap<object, { status: string | null }>()

/** Null: not known yet. */
export function statusOf(client: PgClient): string | null {
  if (typeof client.getTransactionStatus === 'function') return client.getTransactionStatus()
  return heard.get(client.connection ?? client)?.status ?? null
}

/** Sees to it that the status is known when a statement that is queued from now on has its turn. */
export function listenToStatus(client: PgClient): void {
  const { connection } = client
  if (typeof client.getTransactionStatus === 'function' || connection === undefined || heard.has(connection)) return
  const entry: { status: string | null } = { status: null }
  heard.set(connection, entry)
  // before the client's own listener, which has the next statement's turn come
  connection.prependListener('readyForQuery', (message) => (entry.status = message?.status ?? null))
  // an empty query makes the server say it; behind another statement, or while it connects, it says so anyway
  if (!isBusy(client) && client._connected === true) client.query({ text: '' }).then(undefined, () => undefined)
}

const ends = new WeakMap<object, { count: number }>()

/**
 * Gives a function that tells whether the transaction that is open now has ended since, or a savepoint of it was set,
 * released or rolled back: a statement would belong to another one then. Needed only where a statement is sent later than it was asked for: from the first such on, the connection's
 * messages are heard. A transaction ends with the status I, or within one message (`commit; begin`, `commit and chain`),
 * which its command tags tell; ROLLBACK is the tag of `rollback to` too.
 */
export function watchTransaction({ connection }: PgClient): () => boolean {
  if (connection === undefined) return () => false
  const seen = ends.get(connection) ?? countEnds(connection)
  const { count } = seen
  return () => seen.count !== count
}

function countEnds(connection: PgConnectionEvents): { readonly count: number } {
  const seen = { count: 0 }
  ends.set(connection, seen)
  // before the client's own listener, which has the next statement's turn come
  connection.prependListener('readyForQuery', (message) => {
    if (message?.status === 'I') seen.count++
  })
  connection.on('commandComplete', (message) => {
    if (/^(?:COMMIT|ROLLBACK|PREPARE TRANSACTION|SAVEPOINT|RELEASE)/.test(message?.text ?? '')) seen.count++
  })
  return seen
}
