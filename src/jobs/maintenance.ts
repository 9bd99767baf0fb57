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
  while (!signal.aborted) {
    let more = false
    try {
      const done = await store.maintain(retentionMs, batch)
      more = done?.deleted === batch
      if (done !== undefined && done.rescued > 0)
        logger.warn({ jobs: done.rescued }, 'jobs of workers that are gone were taken back')
    } catch (error) {
      logger.warn({ code: codeOf(error), error: messageOf(error) }, 'maintaining the job queue failed; trying again')
    }
    await clock.sleep(more ? betweenBatchesMs : everyMs, signal)
  }
}
