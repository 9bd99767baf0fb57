import { notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { inScope } from './scope.js'

/** The client that Prisma gives to the callback of `$transaction(async (tx) => …)`. */
export interface PrismaTransaction {
  $queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>
  /** A PrismaClient has it: each statement on it is a transaction of its own. */
  readonly $connect?: never
}

const remedy = 'give the tx of prisma.$transaction(async (tx) => …)'

/**
 * Prisma 6 and 7. `$queryRawUnsafe` is public, and so is that a transaction's client has no `$connect`
 * (`itxClientDenyList` in @prisma/client's runtime). `$transaction` is no sign: 7 has it on the inner client too. A
 * client whose transaction has ended refuses every statement itself, with P2028. An extension may run each query in a
 * batch, and so in a transaction, of its own (Prisma's recipe for row-level security): hence the mark.
 */
export const prisma: TransactionKind = (tx) => {
  const { $queryRawUnsafe } = tx as Members<'$queryRawUnsafe'>
  if (typeof $queryRawUnsafe !== 'function') return undefined
  if (typeof (tx as Members<'$connect'>).$connect === 'function') {
    throw notOpen('is a PrismaClient, not a transaction', remedy)
  }
  const client = tx as PrismaTransaction
  return inScope({
    key: tx,
    isOneTransaction: false,
    run: async ({ text, values }) => rowsOf(await client.$queryRawUnsafe(text, ...values)),
    unmarked: 'another',
    inOrder: false,
    remedy,
  })
}
