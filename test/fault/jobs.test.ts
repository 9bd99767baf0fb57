import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { enqueue, insertJobs } from '../../src/jobs/index.js'
import { countJobs, jobInState, readJob, startWorker } from '../integration/jobs-fixture.js'
import { spawnChild, type TestChild } from '../support/children.js'
import { useDatabase, type TestDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'
import { waitFor } from '../support/wait-for.js'

interface Told {
  readonly ready?: true
  readonly began?: string
  readonly ran?: string
  readonly aborted?: string
  readonly attempt?: number
  readonly reason?: string
  readonly log?: string
}

// long enough that a busy machine does not make a live worker look dead
const leaseMs = 3_000

async function workerProcess(
  database: TestDatabase,
  queue: string,
  { concurrency = 10, sticks = false } = {},
): Promise<TestChild<Told>> {
  const child = spawnChild<Told>(join(import.meta.dirname, 'jobs-worker-child.ts'), {
    args: [database.url, queue, String(leaseMs), String(concurrency), ...(sticks ? ['sticks'] : [])],
  })
  await child.waitForMessage(({ ready }) => ready === true)
  return child
}

describe.each(['pg18', 'pg15'] as const)('workers on %s', { timeout: 120_000 }, (server) => {
  const database = useDatabase({ server })

  it('a killed worker loses no job, and none of those that it ran is charged', async () => {
    const queue = uniqueName('q')
    const ids = await insertJobs(
      database().pool,
      Array.from({ length: 300 }, (_, n) => ({ name: n < 3 ? 'stuck' : 'slow', queue })),
    )
    const victim = await workerProcess(database(), queue, { sticks: true })
    await waitFor(() => victim.messages().filter(({ ran }) => ran !== undefined).length > 30)
    const survivor = await workerProcess(database(), queue)
    await victim.kill('SIGKILL')
    await waitFor(async () => (await countJobs(database(), queue))['completed'] === 300)

    const told = [...victim.messages(), ...survivor.messages()]
    const ran = told.flatMap((message) => message.ran ?? [])
    expect(new Set(ran)).toEqual(new Set(ids))
    // at most what ran when it was killed, and what it had not yet acknowledged
    expect(ran.length - 300).toBeLessThanOrEqual(10)
    const { rows } = await database().pool.query<{ id: string; attempt: number; code: string | null }>(
      `select id, attempt, errors -> 0 ->> 'code' as code from waybill.jobs where queue = $1`,
      [queue],
    )
    expect(new Set(rows.map(({ attempt }) => attempt))).toEqual(new Set([1]))
    const charged = rows.filter(({ code }) => code === 'WORKER_LOST')
    // the three that it was stuck in, and what else was running
    expect(charged.length).toBeGreaterThanOrEqual(3)
    expect(charged.length).toBeLessThanOrEqual(10)
    console.log(`killed: ${ran.length - 300} of 300 jobs ran twice, ${charged.length} told of it`)
  })

  it('takes the jobs of a killed worker back', async () => {
    const queue = uniqueName('q')
    const id = await enqueue(database().pool, { name: 'endless', queue })
    const victim = await workerProcess(database(), queue)
    await victim.waitForMessage(({ began }) => began === id)
    const ran: number[] = []
    await startWorker(database(), queue, { endless: ({ attempt }) => void ran.push(attempt) }, { leaseMs })
    const killedAt = performance.now()
    await victim.kill('SIGKILL')
    const row = await jobInState(database(), id, 'completed')
    const tookMs = performance.now() - killedAt
    expect(ran).toEqual([2])
    expect(row.errors?.[0]).toMatchObject({ code: 'WORKER_LOST', attempt: 1 })
    console.log(`rescued ${Math.round(tookMs)} ms after the kill, at a lease of ${leaseMs} ms`)
  })

  it('a worker frozen past its lease touches nothing when it wakes, and goes on under a new id', async () => {
    const queue = uniqueName('q')
    const id = await enqueue(database().pool, { name: 'endless', queue })
    const zombie = await workerProcess(database(), queue)
    await zombie.waitForMessage(({ began }) => began === id)
    const { worker: oldId } = await readJob(database(), id)
    const rescuer = await workerProcess(database(), queue)
    zombie.signal('SIGSTOP')
    await rescuer.waitForMessage(({ began, attempt }) => began === id && attempt === 2)
    const held = await readJob(database(), id)
    zombie.signal('SIGCONT')
    await zombie.waitForMessage(({ aborted, reason }) => aborted === id && reason === 'LeaseLost')
    // it said that it was done; the answer was that the job is another's
    await zombie.waitForMessage(({ log }) => log === 'the job was taken from this worker before it was acknowledged')
    expect(await readJob(database(), id)).toMatchObject({
      state: 'executing',
      attempt: 2,
      claim: held.claim,
      worker: held.worker,
    })

    const { rows } = await database().pool.query<{ id: string; pid: number }>(
      'select id, pid from waybill.workers where queues = $1 and pid = $2',
      [[queue], zombie.pid],
    )
    expect(rows).toHaveLength(1)
    expect(rows[0]?.id).not.toBe(oldId)
    await rescuer.kill('SIGKILL')
    await zombie.waitForMessage(({ began, attempt }) => began === id && attempt === 3)
  })

  it('a job that kills its worker is discarded after its attempts, and holds up no other', async () => {
    const queue = uniqueName('q')
    const poison = await enqueue(database().pool, { name: 'poison', queue, maxAttempts: 2 })
    for (let life = 0; life < 2; life++) {
      const victim = spawnChild(join(import.meta.dirname, 'jobs-worker-child.ts'), {
        args: [database().url, queue, String(leaseMs), '1'],
      })
      expect(await victim.exited).toMatchObject({ signal: 'SIGKILL' })
    }
    // the second victim could only have run it after it had taken it back from the first
    expect(await readJob(database(), poison)).toMatchObject({ state: 'executing', attempt: 2 })
    const good = await enqueue(database().pool, { name: 'quick', queue })
    await workerProcess(database(), queue)
    await jobInState(database(), good, 'completed')
    const row = await jobInState(database(), poison, 'discarded')
    expect(row.errors?.map(({ code }) => code)).toEqual(['WORKER_LOST', 'WORKER_LOST'])
  })

  it('jobs that end their workers are found, and cost no other job anything', async () => {
    const queue = uniqueName('q')
    const poisons = await insertJobs(
      database().pool,
      ['poison', 'spins', 'exits'].map((name) => ({ name, queue })),
    )
    const sound = 150
    // one attempt: a charge would discard them
    await insertJobs(
      database().pool,
      Array.from({ length: sound }, () => ({ name: 'slow', queue, maxAttempts: 1 })),
    )
    let over = false
    let deaths = 0
    // what a supervisor does: starts it again, and ends one that does not answer
    const supervise = async (): Promise<void> => {
      while (!over) {
        const child = spawnChild<Told>(join(import.meta.dirname, 'jobs-worker-child.ts'), {
          args: [database().url, queue, String(leaseMs), '5'],
        })
        const beats = async (): Promise<boolean> => {
          const { rows } = await database().pool.query(
            `select from waybill.workers where pid = $1 and seen_at > clock_timestamp() - interval '4 s'`,
            [child.pid],
          )
          return rows.length > 0
        }
        await new Promise((resolve) => setTimeout(resolve, 4_000))
        while (!over && (await beats())) await new Promise((resolve) => setTimeout(resolve, 500))
        if (!over) deaths++
        await child.kill('SIGKILL')
      }
    }
    const supervised = [supervise(), supervise()]
    await waitFor(
      async () => {
        const { completed = 0, discarded = 0 } = await countJobs(database(), queue)
        return completed + discarded === sound + poisons.length
      },
      { what: 'every job at its end', timeoutMs: 110_000 },
    ).finally(() => (over = true))
    await Promise.all(supervised)
    expect(await countJobs(database(), queue)).toEqual({ completed: sound, discarded: poisons.length })
    for (const id of poisons) {
      const { state, errors } = await readJob(database(), id)
      expect([state, errors?.at(-1)?.code]).toEqual(['discarded', 'POISON'])
      expect(errors?.at(-1)?.message).toMatch(
        /^3 workers ended while they ran this job, .* with 0 others beside it; mend/,
      )
    }
    console.log(`poison: ${deaths} workers ended for ${poisons.length} jobs`)
  })

  it('SIGTERM drains: every started job ends, and none is left claimed', async () => {
    const queue = uniqueName('q')
    await insertJobs(
      database().pool,
      Array.from({ length: 2_000 }, () => ({ name: 'slow', queue })),
    )
    const child = await workerProcess(database(), queue)
    await waitFor(() => child.messages().filter(({ ran }) => ran !== undefined).length > 50)
    expect(await child.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    const counts = await countJobs(database(), queue)
    const began = child.messages().filter((message) => message.began !== undefined).length
    expect(counts).toEqual({ completed: began, available: 2_000 - began })
    const { rowCount } = await database().pool.query(
      'select from waybill.jobs where queue = $1 and claim is not null',
      [queue],
    )
    expect(rowCount).toBe(0)
  })

  it('waits out lost connections: every job is done, none twice but those whose claim was lost', async () => {
    const queue = uniqueName('q')
    const ids = await insertJobs(
      database().pool,
      Array.from({ length: 500 }, () => ({ name: 'slow', queue })),
    )
    const child = await workerProcess(database(), queue)
    const cut = `select count(pg_terminate_backend(pid)) from pg_stat_activity
                  where datname = current_database() and application_name = 'waybill jobs'`
    for (let round = 1; round <= 5; round++) {
      await waitFor(() => child.messages().filter(({ ran }) => ran !== undefined).length > round * 50)
      await database().pool.query(cut)
    }
    await waitFor(async () => (await countJobs(database(), queue))['completed'] === 500)
    const ran = child.messages().flatMap((message) => message.ran ?? [])
    expect(new Set(ran)).toEqual(new Set(ids))
    expect(ran).toHaveLength(500)
  })
})
