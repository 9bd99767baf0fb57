import { setTimeout as sleep } from 'node:timers/promises'
import type { Scene } from '../faults/fault.js'
import type { Load } from '../load.js'
import { eachRow } from '../rows.js'
import { untilDelivered } from '../stage.js'
import { type Ending, endings } from './endings.js'

/** After the load's end; lanes that take longer wait for the workers. */
const lanesWithinMs = 10_000
/** Until the last job is completed or discarded. */
const jobsWithinMs = 150_000

interface Job {
  readonly id: string
  readonly state: string
  readonly attempt: number
  /** Null: a sound one. */
  readonly ends: Ending | null
  /** Of its last error. */
  readonly code: string | null
  /** How often its handler took effect. */
  readonly times: number
}

const jobs = `select j.message_id::text as id, j.state::text, j.attempt, j.args::jsonb ->> 'ends' as ends,
    j.errors -> -1 ->> 'code' as code, coalesce(e.times, 0) as times
  from waybill.jobs j left join proof_effects e using (message_id) where j.queue = 'proof'`

/** Waits until workers have brought every job to its end. Gives what was not as it has to be. */
export async function soundJobsDoneAndPoisonFound({ set, workers }: Scene, load: Load): Promise<string[]> {
  try {
    const complaints: string[] = []
    await untilDelivered(set.url, lanesWithinMs).catch((error: unknown) =>
      complaints.push(`lanes waited for workers: ${String(error)}`),
    )
    const [ids, late] = [new Set(Array.from(await load.ledger(), ({ id }) => id)), performance.now() + jobsWithinMs]
    let all = await read(set.url)
    while ((all.length < ids.size || all.some(isUnderWay)) && performance.now() < late) {
      await sleep(500)
      all = await read(set.url)
    }
    complaints.push(...judged(all))
    if (complaints.length > 0) complaints.push(workers.output())
    await eachRow<{ id: string }>(set.url, 'select message_id::text as id from proof_effects', ({ id }) => {
      if (!ids.has(id)) complaints.push(`a job ran whose message ${id} was never committed`)
    })
    const poison = all.filter(({ ends }) => ends !== null).length
    const again = all.filter(({ times }) => times > 1).length
    console.log(
      `poison-jobs: ${poison} of ${all.length} jobs ended ${workers.ended} workers; ${again} sound jobs ran more than once`,
    )
    return complaints
  } finally {
    await workers.stop()
  }
}

async function read(url: string): Promise<Job[]> {
  const all: Job[] = []
  await eachRow<Job>(url, jobs, (job) => all.push(job))
  return all
}

const isUnderWay = ({ state }: Job): boolean => state !== 'completed' && state !== 'discarded'

/** What each job has to be, and what it is called where it is not. */
const demands: readonly (readonly [string, (job: Job) => boolean])[] = [
  ['sound jobs were not completed', ({ ends, state }) => ends !== null || state === 'completed'],
  ['sound jobs never took effect', ({ ends, times }) => ends !== null || times > 0],
  ['sound jobs were charged for a neighbour', ({ ends, attempt }) => ends !== null || attempt <= 1],
  [
    'poison jobs were not discarded as POISON',
    ({ ends, state, code }) => ends === null || (state === 'discarded' && code === 'POISON'),
  ],
]

function judged(all: readonly Job[]): string[] {
  const complaints = demands.flatMap(([what, holds]) => {
    const others = all.filter((job) => !holds(job))
    return others.length === 0 ? [] : [`${others.length} ${what}, such as ${JSON.stringify(others.slice(0, 3))}`]
  })
  const missing = endings.filter((ending) => !all.some(({ ends }) => ends === ending))
  return [...complaints, ...missing.map((ending) => `no job was published that ${ending}`)]
}
