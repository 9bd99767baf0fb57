import { type Statement, runWithPg } from '../core/statement.js'
import { endedSinceTheCall, notOpen, type OpenTransaction, type RunOptions, type TransactionKind } from './kind.js'
import {
  clientBehind,
  isBusy,
  isPgClient,
  isUnconnected,
  listenToStatus,
  type PgClient,
  statusOf,
  watchTransaction,
} from './pg-client.js'
import { handsOn, runPgStatement, takesSubmittable } from './pg-statement.js'
import { queryRunner } from './query.js'
import { inScope } from './scope.js'

/**
 * `pg` clients. Whether one is inside a transaction is what PostgreSQL says with each ReadyForQuery message (protocol,
 * 55.7): I idle, T in a transaction, E in a failed one. No SQL can tell: every statement is in some transaction.
 *
 * A statement goes into pg's own queue at once, behind what the application has sent before it and ahead of what it sends
 * later, and looks at the status when its turn has come. Waiting for its turn outside of that queue would let the rollback
 * overtake it, and the next transaction on this client, a stranger's from the pool, begin.
 */
export const pg: TransactionKind = (tx, how) => {
  if (!isPgClient(tx)) return undefined
  const client = clientBehind(tx)
  if (isUnconnected(client)) throw notInTransaction(null, how.txOnly)
  const busy = isBusy(client)
  if (takesSubmittable(client) && handsOn(client, busy)) return new InQueue(client, how)
  return withoutSubmitting(client, how, busy)
}

class InQueue implements OpenTransaction {
  #hasMoved: (() => boolean) | undefined
  #heldIn: Error | undefined
  readonly #client: PgClient
  readonly #how: RunOptions

  constructor(client: PgClient, how: RunOptions) {
    this.#client = client
    this.#how = how
    listenToStatus(client)
  }

  readonly run = (statement: Statement): Promise<readonly unknown[]> => {
    const { name, text, values } = statement.unanswered ?? statement
    const answered = runPgStatement(this.#client, {
      name: this.#how.prepared ? name : '',
      text,
      values,
      answers: statement.unanswered === undefined,
      refuse: this.#refuse,
    })
    return statement.unanswered === undefined ? answered : answered.then(() => statement.unanswered?.rows ?? [])
  }

  /** A statement that is never sent keeps its place in the queue: which transaction is open there is what counts. */
  readonly hold = (): void => {
    const take = (): Error => {
      this.#heldIn = refusalOf(this.#client, this.#how)
      this.#hasMoved = watchTransaction(this.#client)
      return new Error('never sent')
    }
    runPgStatement(this.#client, { name: '', text: '', values: [], answers: false, refuse: take }).catch(
      () => undefined,
    )
  }

  readonly #refuse = (): Error | undefined => {
    if (this.#heldIn !== undefined) return this.#heldIn
    return this.#hasMoved?.() === true ? endedSinceTheCall() : refusalOf(this.#client, this.#how)
  }
}

/**
 * For clients that take no statements of ours: one that pipelines, the native one, and one whose `query` was replaced by
 * a function that makes a query of its own of what it is given, or does so later. Where nothing is under way the client's
 * word is enough, if `query` sends at once; else PostgreSQL is asked.
 */
function withoutSubmitting(client: PgClient, how: RunOptions, busy: boolean): OpenTransaction {
  const status = statusOf(client)
  if (!busy && (status === 'I' || status === 'E')) throw notInTransaction(status, how.txOnly)
  const sendsAtOnce = !takesSubmittable(client)
  const hasMoved = busy || sendsAtOnce ? undefined : watchTransaction(client)
  const send = sendsAtOnce || how.prepared ? sendWith(client, how) : queryRunner(client as never)
  const scoped = inScope({
    key: client,
    run: send,
    look: () => {
      if (hasMoved?.() === true) throw endedSinceTheCall()
    },
    unmarked: 'another',
    inOrder: false,
    remedy: beginFirst(how.txOnly),
  })
  const now = sendsAtOnce && !busy && status === 'T'
  let held = false
  return {
    hold() {
      held = true
      scoped.hold()
    },
    run: (statement) => (now && !held ? send(statement) : scoped.run(statement)),
  }
}

function sendWith(client: PgClient, { prepared }: RunOptions): OpenTransaction['run'] {
  return (statement) => runWithPg(client, statement, prepared)
}

function refusalOf(client: PgClient, { txOnly }: RunOptions): Error | undefined {
  const status = statusOf(client)
  return status === 'T' ? undefined : notInTransaction(status, txOnly)
}

function notInTransaction(status: string | null, txOnly: boolean | undefined): Error {
  if (status === 'E') {
    return notOpen(
      'is a transaction in which an earlier statement failed, so nothing more can be written in it',
      'roll it back (and look for the first error)',
    )
  }
  return status === 'I'
    ? notOpen('is a pg client that is not in a transaction', beginFirst(txOnly))
    : notOpen('is a pg client that is not connected', 'connect it and run "begin" first')
}

function beginFirst(txOnly = false): string {
  return txOnly
    ? 'run "begin" on it first'
    : 'run "begin" on it first, or give tx: null to publish in a transaction of the message\'s own'
}
