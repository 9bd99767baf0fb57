import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { countUndelivered, readBoard } from './board.js'
import type { Cast } from './cast.js'
import type { Child } from './child.js'
import type { DemoOptions } from './options.js'
import { count } from './text.js'
import type { Traffic } from './traffic.js'
import type { Troubles } from './troubles.js'
import type { View } from './view.js'

export interface Play {
  readonly options: DemoOptions
  readonly view: View
  readonly cast: Cast
  readonly pool: pg.Pool
  readonly traffic: Traffic
  readonly troubles: Troubles
  readonly dispatcher: Child
  readonly durationMs: number
  /** Aborted by Ctrl-C, by the end of a process, by an error. */
  readonly stop: AbortController
}

/** Traffic, troubles and the live view side by side, until everything is delivered or nothing moves any more. */
export async function play(p: Play): Promise<void> {
  const ended = new AbortController()
  const watching = watch(p, AbortSignal.any([p.stop.signal, ended.signal])).catch((error: unknown) =>
    p.stop.abort(error),
  )
  try {
    await Promise.all([p.traffic.run(), happen(p)])
    p.view.tell(`${count(p.traffic.committed.length)} messages are committed; waiting for the last deliveries`)
    await settle(p)
  } finally {
    ended.abort()
    await watching
    p.view.clear()
  }
}

async function watch(p: Play, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { committed, rolledBack } = p.traffic
    const progress = { published: committed.length, messages: p.options.messages, rolledBack }
    p.view.update(progress, await readBoard(p.pool, p.cast.destinations, p.traffic))
    await sleep(250, undefined, { signal }).catch(() => undefined)
  }
}

/** The bank goes down at a quarter of the way, the dispatcher dies at half of it. */
async function happen({ options, cast, traffic, troubles, dispatcher, durationMs, stop }: Play): Promise<void> {
  const { signal } = stop
  const until = async (share: number): Promise<void> => {
    while (traffic.committed.length < options.messages * share) await sleep(20, undefined, { signal })
  }
  const bank = cast.receivers.find(({ name }) => name === 'bank')
  const outage = until(0.25).then(() => bank && troubles.outage(bank, Math.min(5000, durationMs / 6), signal))
  await Promise.all([outage, until(0.5).then(() => troubles.killDispatcher(dispatcher, signal))])
}

/** Until Waybill says that nothing is left, and what brokers hold has been read; or until nothing has moved for 20 s. */
async function settle({ pool, cast, traffic, stop: { signal } }: Play): Promise<void> {
  let before = -1
  let movedAt = performance.now()
  for (;;) {
    const left = await countUndelivered(pool)
    const rows = await readBoard(pool, cast.destinations, traffic)
    const missing = rows.reduce((sum, { published, received }) => sum + Math.max(0, published - received), 0)
    if (left === 0 && missing === 0) return
    const now = performance.now()
    if (left + missing !== before) movedAt = now
    before = left + missing
    // With nothing left to deliver, only what a broker has on the way can still come.
    if (now - movedAt > (left === 0 ? 5_000 : 20_000)) return
    await sleep(200, undefined, { signal })
  }
}

export async function complain(cast: Cast, pool: pg.Pool, traffic: Traffic): Promise<string[]> {
  const complaints: string[] = []
  for (const { name, counts } of cast.receivers) {
    if (counts.badSignatures > 0) complaints.push(`${name}: ${count(counts.badSignatures)} signatures were wrong`)
  }
  const left = await countUndelivered(pool)
  if (left > 0) complaints.push(`${count(left)} deliveries or jobs are still to be done`)
  // The orders themselves know how many messages there are about them, apart from any outbox.
  const { rows } = await pool.query<{ n: string }>('select coalesce(sum(version), 0)::text as n from orders')
  const known = Number(rows[0]?.n)
  if (known !== traffic.committed.length) {
    complaints.push(
      `the orders count ${count(known)} messages, the API answered for ${count(traffic.committed.length)}`,
    )
  }
  return complaints
}
