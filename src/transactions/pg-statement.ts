import { keptOut } from '../core/statement.js'
import type { PgClient } from './pg-client.js'

/** Of `pg`'s connection, what its own queries send by (all versions 8). */
interface PgConnection {
  readonly stream: { cork?(): void; uncork?(): void }
  /** Text by the name of each statement that the server has. */
  readonly parsedStatements: Record<string, string | undefined>
  /** The same of those that are on their way to it; pg 8.17 and later. */
  readonly submittedNamedStatements?: Record<string, string | undefined>
  parse(statement: { name: string; text: string }): void
  bind(portal: { statement: string; values: readonly (string | null)[] }): void
  describe(portal: { type: 'P'; name: string }): void
  execute(portal?: object): void
  sync(): void
}

/** Whether it takes queries of other classes: the JavaScript client does, where it does not pipeline. */
export function takesSubmittable(client: PgClient): boolean {
  const { pipeline } = client
  const connection = client.connection as Partial<PgConnection> | undefined
  return (
    pipeline !== true &&
    typeof connection?.parsedStatements === 'object' &&
    typeof connection.bind === 'function' &&
    typeof connection.describe === 'function' &&
    typeof connection.sync === 'function'
  )
}

interface GivenStatement {
  /** Empty: unnamed. */
  readonly name: string
  readonly text: string
  readonly values: readonly (string | null)[]
  /** What is given where it inserted a row: the server isn't asked what columns there are. Undefined: it gives rows. */
  readonly rows: readonly unknown[] | undefined
  /** Asked when its turn has come, in the turn in which it is sent. What it gives is what the statement rejects with. */
  readonly refuse: () => Error | undefined
}

/**
 * What `client.query` lets submit itself (pg's documentation, "Query", "submittable"; pg-cursor is one). It waits in pg's
 * own queue, so it runs where it was written, and looks at the transaction when its turn has come. Its methods are
 * members of its own, and it is a query's configuration, with its callback: instrumentation that copies what it is given
 * copies one that works and looks.
 */
interface PgStatement extends GivenStatement {
  /** Mutable: `pg` and instrumentation put their own around it. */
  callback: (error?: Error | null, result?: unknown) => void
  /** What came of it; shared with copies. */
  readonly result: { readonly rows: Record<string, string | null>[]; columns: string[]; tag: string }
  readonly submit: typeof submit
  readonly handleRowDescription: typeof handleRowDescription
  readonly handleDataRow: typeof handleDataRow
  readonly handleCommandComplete: typeof handleCommandComplete
  readonly handleReadyForQuery: typeof handleReadyForQuery
  readonly handleError: typeof handleError
  readonly handlePortalSuspended: () => void
  readonly handleEmptyQuery: () => void
  readonly handleCopyInResponse: () => void
  readonly handleCopyData: () => void
}

type Settle = PgStatement['callback']

/** Rows as objects of text; rejects as `client.query` does. */
export async function runPgStatement(client: PgClient, given: GivenStatement): Promise<readonly unknown[]> {
  try {
    return await new Promise<readonly unknown[]>((resolve, reject) => {
      const statement = makeStatement(given, (error) =>
        error ? reject(error) : resolve(given.rows ?? statement.result.rows),
      )
      const returned: unknown = (client as unknown as { query(statement: PgStatement): unknown }).query(statement)
      if (returned !== statement) listenTo(returned, () => resolve(given.rows ?? statement.result.rows), reject)
    })
  } catch (error) {
    // as pg does: from the caller, not from the socket
    if (error instanceof Error) Error.captureStackTrace(error)
    throw error
  }
}

/** A `query` that was replaced may reject in place of handing the statement on. */
function listenTo(returned: unknown, resolved: () => void, rejected: (error: Error) => void): void {
  if (typeof (returned as { then?: unknown } | null | undefined)?.then !== 'function') return
  // after our own callback, where that comes
  Promise.resolve(returned).then(() => setImmediate(resolved), rejected)
}

/**
 * Whether `client.query` hands submittables on in the same turn: it does where nobody replaced it. One that was replaced
 * is tried with a statement that is never sent: it refuses itself. A function that makes a query of its own of it sends
 * an empty one.
 */
export function handsOn(client: PgClient, isBusy: boolean): boolean {
  const { query } = client
  const known = handing.get(query)
  if (known !== undefined) return known
  if (isOwnQuery(client, query)) {
    handing.set(query, true)
    return true
  }
  // behind another statement it would not be asked in this turn
  if (isBusy) return false
  let handed = false
  const refuse = (): Error => {
    handed = true
    return new Error('never sent')
  }
  const probe = makeStatement({ name: '', text: '', values: [], rows: [], refuse }, () => undefined)
  try {
    const returned: unknown = (client as unknown as { query(statement: PgStatement): unknown }).query(probe)
    if (returned !== probe) {
      listenTo(
        returned,
        () => undefined,
        () => undefined,
      )
    }
  } catch {
    // it takes no such object
  }
  handing.set(query, handed)
  return handed
}

const handing = new WeakMap<object, boolean>()

/** The class that pg's client is of has its queue too, and its `query` asks for `submit`, in a bundle as well. */
function isOwnQuery(client: PgClient, query: object): boolean {
  if (Object.hasOwn(client, 'query')) return false
  let holder: unknown = Object.getPrototypeOf(client)
  while (typeof holder === 'object' && holder !== null && !Object.hasOwn(holder, 'query')) {
    holder = Object.getPrototypeOf(holder)
  }
  return (
    typeof holder === 'object' &&
    holder !== null &&
    Object.hasOwn(holder, '_pulseQueryQueue') &&
    Function.prototype.toString.call(query).includes('.submit')
  )
}

function makeStatement(given: GivenStatement, callback: Settle): PgStatement {
  return {
    name: given.name,
    text: given.text,
    values: given.values,
    rows: given.rows,
    refuse: given.refuse,
    callback,
    result: { rows: [], columns: [], tag: '' },
    // one by one: a spread here takes 1 µs
    submit,
    handleRowDescription,
    handleDataRow,
    handleCommandComplete,
    handleReadyForQuery,
    handleError,
    handlePortalSuspended: nothing,
    handleEmptyQuery: nothing,
    handleCopyInResponse: nothing,
    handleCopyData: nothing,
  }
}

const nothing = (): void => undefined

/** Gives an error in place of sending, as the contract has it. */
function submit(this: PgStatement, connection: PgConnection): Error | null {
  const refusal = this.refuse()
  if (refusal !== undefined) return refusal
  const { name, text, values } = this
  const { stream, parsedStatements, submittedNamedStatements } = connection
  const known = name === '' ? undefined : (parsedStatements[name] ?? submittedNamedStatements?.[name])
  if (known !== undefined && known !== text) {
    return new Error(`Prepared statements must be unique - '${name}' was used for a different statement`)
  }
  stream.cork?.()
  try {
    if (known === undefined) {
      connection.parse({ name, text })
      if (submittedNamedStatements && name !== '') submittedNamedStatements[name] = text
    }
    connection.bind({ statement: name, values })
    if (this.rows === undefined) connection.describe({ type: 'P', name: '' })
    connection.execute()
    connection.sync()
  } finally {
    stream.uncork?.()
  }
  return null
}

function handleRowDescription(this: PgStatement, message: { fields: { name: string }[] }): void {
  this.result.columns = message.fields.map(({ name }) => name)
}

/** All of our columns are text, and binary formats were not asked for. */
function handleDataRow(this: PgStatement, message: { fields: (string | null)[] }): void {
  const { columns, rows } = this.result
  rows.push(Object.fromEntries(columns.map((name, index) => [name, message.fields[index] ?? null])))
}

function handleCommandComplete(this: PgStatement, message: { text?: string }): void {
  this.result.tag = message.text ?? ''
}

function handleReadyForQuery(this: PgStatement): void {
  const { rows, tag } = this.result
  if (this.rows !== undefined && tag !== 'INSERT 0 1') {
    this.callback(keptOut())
  } else this.callback(null, { rows })
}

function handleError(this: PgStatement, error: Error): void {
  this.callback(error)
}
