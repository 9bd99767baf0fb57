import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { enqueue } from '../../src/jobs/index.js'
import { nextStanding, type AckOutcome, type JobEvent, type JobStanding } from '../../src/jobs/job-state.js'
import { JobStore } from '../../src/jobs/job-store.js'
import { useDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'

const acks: readonly AckOutcome[] = ['complete', 'retry', 'snooze', 'cancel', 'discard', 'release']
const others: readonly JobEvent[] = ['claim', 'start', 'unclaim', 'takeBack', 'operatorRetry', 'operatorCancel']

/** Random lives of a job, through the SQL functions and through the pure ones: both must say the same after each event. */
describe.each(['pg18', 'pg15'] as const)('the SQL functions on %s', (server) => {
  const database = useDatabase({ server })

  it('do what the pure transitions say, and refuse what they refuse', async () => {
    const store = new JobStore(database().pool, 10_000)
    const seen = new Set<string>()
    const oneLife = async (maxAttempts: number, events: readonly JobEvent[]): Promise<void> => {
      const queue = uniqueName('q')
      const id = await enqueue(database().pool, { name: 'work', queue, maxAttempts })
      let model: JobStanding = { state: 'available', claimed: false, attempt: 0, maxAttempts, lost: 0 }
      let claim = randomUUID()
      let worker = await register(store)
      for (const event of events) {
        if (event === 'claim') {
          claim = model.claimed ? claim : randomUUID()
          const fetching = model.claimed ? randomUUID() : claim
          await store.fetch(worker, fetching, queue, 1, [null, null, null, null], undefined, model.lost >= 2)
        } else if (event === 'start') {
          // a start that is repeated after it got through changes nothing
          await store.start(claim, [id])
        } else if (event === 'unclaim') await store.release(claim, [id])
        else if (event === 'takeBack') {
          await store.endWorker(worker, null, 'WORKER_LOST', 'gone')
          worker = await register(store)
        } else if (event === 'operatorRetry') {
          for (const state of ['retryable', 'discarded', 'cancelled', 'completed']) {
            const { rows } = await database().pool.query<{ n: number }>(
              'select waybill.job_retry(p_id => $1, p_state => $2) as n',
              [id, state],
            )
            if (rows[0]?.n === 1) break
          }
        } else if (event === 'operatorCancel')
          await database().pool.query('select waybill.job_cancel(p_id => $1)', [id])
        else await store.acknowledge([{ id, claim, outcome: event, inMs: 0 }])
        const next = nextStanding(model, event)
        if (next !== undefined) seen.add(`${model.state} ${event} ${next.state}`)
        model = next ?? model
        const { rows } = await database().pool.query(
          `select state, claim is not null as claimed, attempt, max_attempts as "maxAttempts", lost from waybill.jobs where id = $1`,
          [id],
        )
        expect(rows[0], `after ${event} of ${events.join(' ')}`).toEqual(model)
      }
    }
    // runs of claim-start-acknowledge between single events, so that paths get far
    const round = fc.constantFrom(...acks).map((ack): JobEvent[] => ['claim', 'start', ack])
    const single = fc.constantFrom(...others, ...acks).map((event): JobEvent[] => [event])
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.oneof(round, single), { minLength: 1, maxLength: 10 }),
        (maxAttempts, parts) => oneLife(maxAttempts, parts.flat()),
      ),
      { numRuns: 60 },
    )
    // the test itself got about
    expect(seen.size).toBeGreaterThan(10)
  })
})

async function register(store: JobStore): Promise<string> {
  const id = randomUUID()
  const names = { exact: [], patterns: '.*' }
  await store.register({ id, name: 'w', host: 'h', pid: 1, version: '0', queues: ['q'], leaseMs: 60_000, names })
  return id
}
