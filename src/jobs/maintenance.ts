import type { Clock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import type { JobStore } from './job-store.js'
import type { JobLogger } from './types.js'

const everyMs = 30_000
const batch = 1_000
const betweenBatchesMs = 100

export interface JobMaintenanceOptions {
  readonly store: JobStore
  readonly retentionMs: number
  readonly clock: Clock
  readonly logger: JobLogger
  /** [0, 1). */
  readonly random?: () => number
}

/** Deletes finished jobs past their retention, in small batches; of several workers one does it at a time. */
export async function runJobMaintenance(options: JobMaintenanceOptions, signal: AbortSignal): Promise<void> {
  const { store, retentionMs, clock, logger, random = Math.random } = options
  // workers that start together don't maintain together
  await clock.sleep(random() * everyMs, signal)
  const told = new Set<string>()
  while (!signal.aborted) {
    let more = false
    try {
      const done = await store.maintain(retentionMs, batch)
      more = done?.deleted === batch
      if (done !== undefined && done.rescued > 0)
        logger.warn({ jobs: done.rescued }, 'jobs of workers that are gone were taken back')
      if (done !== undefined && !more) await tellUnhandled(options, told)
    } catch (error) {
      logger.warn({ code: codeOf(error), error: messageOf(error) }, 'maintaining the job queue failed; trying again')
    }
    await clock.sleep(more ? betweenBatchesMs : everyMs, signal)
  }
}

/** Once for each name; again when it was handled meanwhile. */
async function tellUnhandled({ store, logger }: JobMaintenanceOptions, told: Set<string>): Promise<void> {
  const unhandled = await store.unhandled()
  const now = new Set<string>()
  for (const { queue, name, jobs } of unhandled) {
    const key = JSON.stringify([queue, name])
    now.add(key)
    if (!told.has(key)) logger.warn({ queue, name, jobs }, 'jobs wait, and no live worker has a handler for their name')
  }
  told.clear()
  for (const key of now) told.add(key)
}
