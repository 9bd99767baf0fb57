import type { JobsSettings } from '../../config/destinations/jobs.js'
import { WaybillError } from '../../core/errors.js'
import { insertJobs } from '../../jobs/insert-jobs.js'
import type {
  AdapterFactory,
  Capabilities,
  OutboundMessage,
  Outcome,
  SqlExecutor,
  TransactionalAdapter,
} from '../contract.js'

/**
 * Destinations of kind `jobs`: each message becomes a job in `waybill.jobs`, in the transaction that moves the lane's
 * cursor. Both are there or neither is, so that a crash makes no second job; only a replay does.
 */
export const jobQueueAdapter: AdapterFactory<JobsSettings> = {
  kind: 'jobs',
  receiptsByDefault: false,
  create: (settings, { destination }) => new JobQueueAdapter(settings, destination),
}

class JobQueueAdapter implements TransactionalAdapter {
  readonly kind = 'jobs'
  readonly capabilities: Capabilities = { ordered: true, maxBatch: 1_000, concurrency: 1, transactional: true }
  readonly #settings: JobsSettings
  readonly #destination: string
  #closed = false

  constructor(settings: JobsSettings, destination: string) {
    this.#settings = settings
    this.#destination = destination
  }

  async deliver(): Promise<void> {
    this.#refuseWhenClosed()
    throw new WaybillError(
      'WAYBILL_TX_REQUIRED',
      `destination ${JSON.stringify(this.#destination)}: jobs are inserted in the lane's own transaction; call deliverIn`,
    )
  }

  async deliverIn(tx: SqlExecutor, batch: readonly OutboundMessage[]): Promise<readonly Outcome[]> {
    this.#refuseWhenClosed()
    const { queue, priority, jobMaxAttempts, name } = this.#settings
    const ids = await insertJobs(
      tx,
      batch.map((message) => ({
        name: name.replaceAll('{topic}', () => message.topic),
        argsText: message.payload,
        queue,
        key: message.key,
        headers: message.headers,
        priority,
        maxAttempts: jobMaxAttempts,
        messageId: message.id,
      })),
    )
    return ids.map((jobId) => ({ kind: 'delivered', receipt: { jobId } }))
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #refuseWhenClosed(): void {
    if (!this.#closed) return
    throw new WaybillError(
      'WAYBILL_ADAPTER_CLOSED',
      `destination ${JSON.stringify(this.#destination)}: the adapter is closed`,
    )
  }
}
