import { type PgQuery, type Statement, runWithPg } from '../core/statement.js'
import { notOpen, type RunOptions, type TransactionKind } from './kind.js'
import { runUnanswered, takesUnanswered } from './pg-unanswered.js'

/**
 * `pg` clients. Whether one is inside a transaction is what PostgreSQL says with each ReadyForQuery message (protocol,
 * 55.7): I idle, T in a transaction, E in a failed one. No SQL can tell: every statement is in some transaction.
 */
interface PgClient {
  query(query: PgQuery): PromiseLike<{ readonly rows: readonly unknown[] }>
  /** pg 8.21 and later. */
  getTransactionStatus?(): string | null
  /** False while a statement is under way; not there on the native client. */
  readonly readyForQuery?: boolean | undefined
  /** False after the connection was lost; in all versions since 7. */
  readonly _queryable?: boolean | undefined
  readonly _ending?: boolean | undefined
  /** Of all versions of the JavaScript client. */
  readonly connection?: {
    prependListener(event: 'readyForQuery', listener: (message?: { status?: string }) => void): unknown
  }
  once(event: 'drain' | 'end', listener: () => void): unknown
  off(event: 'drain' | 'end', listener: () => void): unknown
}

export const pg: TransactionKind = (tx, how) =>
  isPgClient(tx) ? (statement) => runInPgTransaction(tx, statement, how) : undefined

/** By structure: a client may be of another copy of `pg` than ours. */
function isPgClient(value: object): value is PgClient {
  const client = value as Partial<PgClient> & { processID?: unknown; escapeLiteral?: unknown }
  if (typeof client.query !== 'function' || typeof client.once !== 'function') return false
  if (typeof client.getTransactionStatus === 'function') return true
  return (
    'processID' in client &&
    typeof client.escapeLiteral === 'function' &&
    typeof client.connection?.prependListener === 'function'
  )
}

/** The last of our own statements that wait for a client; there only while one waits. */
const tails = new WeakMap<PgClient, Promise<unknown>>()

/**
 * Runs a statement in the client's transaction; throws `WAYBILL_TX_INVALID`, and writes nothing, when there is none or it
 * has failed. While other statements are under way the last known status says nothing (one may be the commit), so it
 * waits for them first. Adds no statement, but for the first look at a client of pg before 8.21.
 */
function runInPgTransaction(client: PgClient, statement: Statement, how: RunOptions): Promise<readonly unknown[]> {
  const before = tails.get(client)
  if (before === undefined && !isBusy(client)) {
    return knowsStatus(client) ? sendNow(client, statement, how) : sendWhenReady(client, statement, how)
  }
  // one after another: all of them waking at once, for each that goes, would be work of n²
  const result = (before ?? Promise.resolve()).then(() => sendWhenReady(client, statement, how))
  const tail = result.then(
    () => undefined,
    () => undefined,
  )
  tails.set(client, tail)
  void tail.then(() => {
    if (tails.get(client) === tail) tails.delete(client)
  })
  return result
}

// no await between looking and sending
function sendNow(
  client: PgClient,
  statement: Statement,
  { prepared, txOnly }: RunOptions,
): Promise<readonly unknown[]> {
  requireTransaction(statusOf(client), txOnly)
  const { unanswered } = statement
  return unanswered && takesUnanswered(client)
    ? runUnanswered(client, unanswered, prepared)
    : runWithPg(client, statement, prepared)
}

async function sendWhenReady(client: PgClient, statement: Statement, how: RunOptions): Promise<readonly unknown[]> {
  for (;;) {
    while (isBusy(client)) await drained(client)
    if (knowsStatus(client)) return sendNow(client, statement, how)
    await askStatus(client)
  }
}

/** A client that is gone will never be ready: its own refusal says so best. */
function isBusy(client: PgClient): boolean {
  return client.readyForQuery === false && client._queryable !== false && client._ending !== true
}

function drained(client: PgClient): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      client.off('drain', done)
      client.off('end', done)
      resolve()
    }
    client.once('drain', done)
    client.once('end', done)
  })
}

function requireTransaction(status: string | null | undefined, txOnly = false): void {
  if (status === 'T') return
  if (status === 'E') {
    throw notOpen(
      'is a transaction in which an earlier statement failed, so nothing more can be written in it',
      'roll it back (and look for the first error)',
    )
  }
  throw status === 'I'
    ? notOpen(
        'is a pg client that is not in a transaction',
        txOnly
          ? 'run "begin" on it first'
          : 'run "begin" on it first, or give tx: null to publish in a transaction of the message\'s own',
      )
    : notOpen('is a pg client that is not connected', 'connect it and run "begin" first')
}

/** Of clients of pg before 8.21, from the messages we listened to ourselves. */
const heard = new WeakMap<PgClient, { status: string | undefined }>()

function knowsStatus(client: PgClient): boolean {
  return typeof client.getTransactionStatus === 'function' || heard.get(client)?.status !== undefined
}

function statusOf(client: PgClient): string | null | undefined {
  return typeof client.getTransactionStatus === 'function' ? client.getTransactionStatus() : heard.get(client)?.status
}

/** An empty query makes the server say ReadyForQuery; from then on its every message is heard. */
async function askStatus(client: PgClient): Promise<void> {
  if (!heard.has(client)) {
    const entry: { status: string | undefined } = { status: undefined }
    heard.set(client, entry)
    client.connection?.prependListener('readyForQuery', (message) => (entry.status = message?.status))
  }
  await client.query({ text: '' })
}
