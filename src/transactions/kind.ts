import { InputError } from '../core/errors.js'
import type { RunStatement } from '../core/statement.js'

/**
 * What Waybill knows of one library's transactions, by structure: nothing is imported. Gives the transaction that is open
 * in `tx`, or undefined when `tx` is none of this library's; throws `notOpen` for what is of this library but no open
 * transaction, such as its root object. Called for every statement: a few looks at properties, nothing more.
 */
export type TransactionKind = (tx: object, how: RunOptions) => OpenTransaction | undefined

/** The transaction that was open in a handle at one moment. Made for each call, and used in the same turn or held. */
export interface OpenTransaction {
  /** Runs a statement in this transaction; rejects with `notOpen`, and writes nothing, when it would run in any other. */
  readonly run: RunStatement
  /** Called in the turn in which it was made, where `run` is called later: takes note of where the statement belongs. */
  readonly hold: () => void
}

export interface RunOptions {
  /** Named prepared statements, where the driver has them. */
  readonly prepared: boolean
  /** `tx: null` has no meaning for the caller, so errors don't offer it. Default: it has. */
  readonly txOnly?: boolean
}

/** The refusal of a `tx`: what it is, and what to give in its place. */
export function notOpen(what: string, remedy: string): InputError {
  return new InputError('WAYBILL_TX_INVALID', 'tx is not an open transaction; nothing was written', [
    { path: 'tx', message: `${what}; ${remedy}` },
  ])
}

/** For a statement that was held, and whose turn came when its transaction, or its savepoint, was over. */
export function endedSinceTheCall(): InputError {
  return notOpen(
    'is of a transaction that has ended since publish was called, or in which a savepoint began or ended',
    'await what you publish before that',
  )
}

/** Members of an object or function that may or may not be there. */
export type Members<Name extends string> = { readonly [Member in Name]?: unknown }

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

type Rows = readonly unknown[]

/** Rows of a result: drivers give an array of them, or an object that has it as `rows`. */
export function rowsOf(result: unknown): Rows {
  if (isRows(result)) return result
  const rows = isObject(result) ? (result as Members<'rows'>).rows : undefined
  return isRows(rows) ? rows : []
}

function isRows(value: unknown): value is Rows {
  return Array.isArray(value)
}
