/** The database job queue: insert jobs in your transaction, and perform them with workers. */
export { createWorker } from './worker.js'
export { enqueue, insertJobs, type JobExecutor, type NewJob } from './insert-jobs.js'
export { Cancel, Discard, Snooze } from './decisions.js'
export { jobStates, type JobState } from './job-state.js'
export {
  type Job,
  type JobContext,
  type JobHandler,
  type JobHandlerOptions,
  type JobLogger,
  type JobPool,
  type QueueOptions,
  type StopOptions,
  type Worker,
  type WorkerOptions,
} from './types.js'
