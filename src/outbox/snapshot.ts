/**
 * A PostgreSQL snapshot as `pg_current_snapshot()::text` gives it: `xmin:xmax:xip,xip,…`. Transaction ids are 64 bit
 * (xid8), so they never wrap; they are kept as BigInt only while they are compared.
 */
export interface Snapshot {
  readonly text: string
  readonly xmin: bigint
  readonly xmax: bigint
  /** Transactions below xmax that were still running. */
  readonly running: readonly string[]
}

/** Sees nothing: below it lies only what PostgreSQL itself wrote. The `from` of a lane that starts at the beginning. */
export const emptySnapshot = '3:3:'

/** Sees every transaction, also those that another server numbered. */
export const wholeSnapshot = '9223372036854775807:9223372036854775807:'

export function parseSnapshot(text: string): Snapshot {
  const [xmin, xmax, xip] = text.split(':')
  if (xmin === undefined || xmax === undefined || xip === undefined) throw new TypeError(`not a snapshot: ${text}`)
  return { text, xmin: BigInt(xmin), xmax: BigInt(xmax), running: xip === '' ? [] : xip.split(',') }
}

/** Whether transaction `xid` had ended when the snapshot was taken (`pg_visible_in_snapshot`). */
export function isVisibleIn(xid: string, snapshot: Snapshot): boolean {
  return BigInt(xid) < snapshot.xmax && !snapshot.running.includes(xid)
}
