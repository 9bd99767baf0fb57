import type { UnansweredStatement } from '../core/statement.js'

/** Of `pg`'s connection, what its own queries send by (all versions 8). */
interface PgConnection {
  readonly stream: { cork?(): void; uncork?(): void }
  /** Text by the name of each statement that the server has. */
  readonly parsedStatements: Record<string, string | undefined>
  /** The same of those that are on their way to it; pg 8.17 and later. */
  readonly submittedNamedStatements?: Record<string, string | undefined>
  parse(statement: { name: string; text: string }): void
  bind(portal: { statement: string; values: readonly (string | null)[] }): void
  execute(portal?: object): void
  sync(): void
}

/** A client of `pg` that takes queries of other classes: the JavaScript one, where it does not pipeline. */
interface SubmittingClient {
  query(query: UnansweredQuery): unknown
  readonly connection?: Partial<PgConnection>
  readonly pipeline?: boolean
}

/** Whether `runUnanswered` can be used with it. The native client and one that pipelines take statements alone. */
export function takesUnanswered(client: object): client is SubmittingClient {
  const { connection, pipeline } = client as Partial<SubmittingClient>
  return (
    pipeline !== true &&
    typeof connection?.parsedStatements === 'object' &&
    typeof connection.bind === 'function' &&
    typeof connection.sync === 'function'
  )
}

/**
 * Runs a statement that gives no rows, in fewer messages than `pg` does: nobody asks what columns there are, and no result
 * is made. Of a transaction that publishes it is a thirtieth. Rejects as `client.query` does.
 */
export async function runUnanswered(
  client: SubmittingClient,
  { name, text, values, rows }: UnansweredStatement,
  prepared: boolean,
): Promise<readonly unknown[]> {
  try {
    await new Promise<void>((resolve, reject) => {
      client.query(
        new UnansweredQuery(prepared ? name : '', text, values, (error) => (error ? reject(error) : resolve())),
      )
    })
    return rows
  } catch (error) {
    // as pg does: from the caller, not from the socket
    if (error instanceof Error) Error.captureStackTrace(error)
    throw error
  }
}

/**
 * What `client.query` lets submit itself (pg's documentation, "Query", "submittable"; pg-cursor is one). It is a
 * query's configuration too, with its callback: instrumentation that copies what it is given copies one that works.
 */
class UnansweredQuery {
  constructor(
    readonly name: string,
    readonly text: string,
    readonly values: readonly (string | null)[],
    /** Mutable: `pg` and instrumentation put their own around it. */
    public callback: (error?: Error | null, result?: unknown) => void,
  ) {}

  /** Gives an error in place of sending, as the contract has it. */
  submit(connection: PgConnection): Error | null {
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
      connection.execute()
      connection.sync()
    } finally {
      stream.uncork?.()
    }
    return null
  }

  handleReadyForQuery(): void {
    this.callback(null, { rows: [] })
  }

  handleError(error: Error): void {
    this.callback(error)
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}
