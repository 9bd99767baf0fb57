import type { StopOptions, WorkerOptions } from '../jobs/types.js'
import { createWorker } from '../jobs/worker.js'
import type { Logger } from '../telemetry/logger.js'
import type { WaybillModuleOptions, WaybillWorkerOptions } from './options.js'
import type { PlannedQueue } from './plan-queues.js'

/** Stops all of them, as `stop` of a worker does. */
export type StopWorkers = (options?: StopOptions) => Promise<void>

/** A worker for each queue: the handlers of a worker are for all of its queues, and these are not. */
export async function startWorkers(
  queues: readonly PlannedQueue[],
  { pool, connectionString = '' }: WaybillModuleOptions,
  { queues: _queues, drainMs: _drainMs, abortMs: _abortMs, ...settings }: WaybillWorkerOptions,
  logger: Logger,
): Promise<StopWorkers> {
  const database: Pick<WorkerOptions, 'pool'> | { connectionString: string } =
    pool === undefined ? { connectionString } : { pool }
  const workers = queues.map(({ name, options, handlers }) =>
    createWorker({ ...settings, ...database, queues: { [name]: options }, handlers, logger }),
  )
  const stop: StopWorkers = async (options) => {
    await Promise.all(workers.map((worker) => worker.stop(options)))
  }
  try {
    await Promise.all(workers.map((worker) => worker.start()))
  } catch (error) {
    await stop({ drainMs: 0 })
    throw error
  }
  return stop
}
