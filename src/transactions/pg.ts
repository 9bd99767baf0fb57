import { runWithPg } from '../core/statement.js'
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
  if (takesSubmittable(client) && handsOn(client, busy)) return inQueue(client, how)
  return withoutSubmitting(client, how, busy)
}

function inQueue(client: PgClient, how: RunOptions): OpenTransaction {
  listenToStatus(client)
  let hasMoved: (() => boolean) | undefined
  let heldIn: Error | undefined
  const refuse = (): Error | undefined =>
    heldIn ?? (hasMoved?.() === true ? endedSinceTheCall() : refusalOf(client, how))
  return {
    run({ name, text, values, unanswered }) {
      return runPgStatement(
        client,
        unanswered
          ? {
              name: how.prepared ? unanswered.name : '',
              text: unanswered.text,
              values: unanswered.values,
              rows: unanswered.rows,
              refuse,
            }
          : { name: how.prepared ? name : '', text, values, rows: undefined, refuse },
      )
    },
    // a statement that is never sent keeps its place in the queue: which transaction is open there is what counts
    hold() {
      const take = (): Error => {
        heldIn = refusalOf(client, how)
        hasMoved = watchTransaction(client)
        return new Error('never sent')
      }
      runPgStatement(client, { name: '', text: '', values: [], rows: [], refuse: take }).catch(() => undefined)
    },
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
    isOneTransaction: false,
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
