import { InputError } from '../core/errors.js'
import type { RunStatement } from '../core/statement.js'

/**
 * What Waybill knows of one library's transactions, by structure: nothing is imported. Gives how a statement runs in
 * `tx`, or undefined when `tx` is none of this library's; throws `notOpen` for what is of this library but no open
 * transaction, such as its root object. Called for every statement: a few looks at properties, nothing more.
 */
export type TransactionKind = (tx: object, how: RunOptions) => RunStatement | undefined

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
