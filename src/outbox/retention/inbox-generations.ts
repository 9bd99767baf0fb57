import type pg from 'pg'
import { detachConcurrently } from '../partitions/detach.js'
import { finalizePending } from '../partitions/finalize.js'
import { attemptUnderLock } from '../partitions/lock-attempts.js'
import { inboxTable, listRanges } from '../partitions/range-table.js'
import type { RemoveOptions } from './remove-partition.js'
import { beginSql } from '../../db/transaction.js'

export interface InboxReport {
  /** False: another pass is at it. Nothing was done. */
  readonly ran: boolean
  /** What claims are written to. */
  readonly generation: number
  /** They are written to the next one too, until nobody runs any more who may not know of it. */
  readonly changing: boolean
  /** Partitions that were made, that went, and that are past retention and stay for now: somebody uses them. */
  readonly made: readonly string[]
  readonly dropped: readonly string[]
  readonly kept: readonly string[]
}

interface Pass {
  readonly ran: boolean
  readonly generation?: number
  readonly changing?: boolean
  readonly made?: readonly string[]
  readonly expired?: readonly string[]
}

/**
 * What `waybill.inbox_maintain` does, but that nobody waits for a generation to go: it is detached concurrently, which no
 * function can, and which gets there also where claims overlap all day long. The user must own the tables.
 */
export async function maintainInbox(
  pool: pg.Pool,
  client: pg.ClientBase,
  options: RemoveOptions,
): Promise<InboxReport> {
  await finalizePending(client, inboxTable, options)
  const made: string[] = []
  let pass = await onePass(client)
  // a new generation is opened, marked and gone over to by one pass each
  for (let i = 0; i < 2 && pass.ran && pass.changing === true; i++) {
    made.push(...(pass.made ?? []))
    pass = await onePass(client)
  }
  made.push(...(pass.made ?? []))
  const dropped: string[] = []
  const kept: string[] = []
  for (const name of pass.expired ?? []) {
    const gone =
      options.signal?.aborted !== true && kept.length === 0 && (await removeGeneration(pool, client, name, options))
    if (gone) dropped.push(name)
    else kept.push(name)
  }
  return { ran: pass.ran, generation: pass.generation ?? 0, changing: pass.changing === true, made, dropped, kept }
}

async function onePass(client: pg.ClientBase): Promise<Pass> {
  await client.query(beginSql)
  try {
    const { rows } = await client.query<{ pass: Pass }>('select waybill.inbox_maintain(drop_expired => false) as pass')
    await client.query('commit')
    return rows[0]?.pass ?? { ran: false }
  } catch (error) {
    // a connection that is gone has rolled back by itself
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/** Its row goes with the table, so that whatever a crash leaves in between is taken up by the next pass. */
async function removeGeneration(
  pool: pg.Pool,
  client: pg.ClientBase,
  name: string,
  options: RemoveOptions,
): Promise<boolean> {
  const attached = (await listRanges(client, inboxTable)).find((range) => range.name === name)
  // what an earlier pass left pending is `finalizePending`'s
  if (attached?.detachPending === true) return false
  if (attached && !(await detachConcurrently(pool, client, inboxTable, name, options))) return false
  const gone = await attemptUnderLock(client, inboxTable, { ...options, yieldToHolders: false }, async () => {
    await client.query(`drop table if exists waybill.${client.escapeIdentifier(name)}`)
    await client.query(`delete from waybill.inbox_generations where format('inbox_p%s', generation) = $1`, [name])
  })
  return 'done' in gone
}
