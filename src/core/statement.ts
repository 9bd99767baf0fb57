/** One statement with text parameters. `name` is for drivers with named prepared statements, when they are wanted. */
export interface Statement {
  readonly name: string
  readonly text: string
  readonly values: (string | null)[]
}

/** Runs a statement where it belongs, and gives its rows as objects. */
export type RunStatement = (statement: Statement) => PromiseLike<readonly unknown[]>
