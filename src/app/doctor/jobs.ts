import { describeUnhandled, listUnhandledJobs } from '../../jobs/unhandled-jobs.js'
import { type Check, ok, warn } from './finding.js'

/** Of so many names at most. */
const maxNames = 20

/** Jobs that wait for a worker that is not there. */
export const jobsCheck: Check = {
  name: 'jobs',
  needsSchema: true,
  async run({ pool }) {
    const unhandled = await listUnhandledJobs(pool)
    if (unhandled.length === 0) return [ok('no job waits for a worker that has a handler for it')]
    return unhandled
      .slice(0, maxNames)
      .map((jobs) =>
        warn(
          describeUnhandled(jobs),
          'they wait, uncharged, until there is one',
          `start a worker of queue ${jobs.queue} with a handler for ${JSON.stringify(jobs.name)}, look at how the name is spelled on both sides, or cancel them: select waybill.job_cancel(p_queue => …, p_name => …)`,
        ),
      )
  },
}
