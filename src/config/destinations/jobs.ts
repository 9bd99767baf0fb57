import { z } from 'zod'
import { name, wholeNumber } from '../fields.js'

const templateHelp = 'must be text in which {topic} is the only placeholder, such as "{topic}" or "on.{topic}"'

/** The name of the job that a message becomes: fixed text, or `{topic}` for the message's topic. */
const jobName = z
  .string({ error: templateHelp })
  .min(1, { error: templateHelp })
  .max(255, { error: 'must not be longer than 255 characters' })
  .refine((template) => !/[{}]/.test(template.replaceAll('{topic}', '')), { error: templateHelp })

/**
 * Settings of a destination of kind `jobs`: each message becomes a job in this database, in the transaction that moves
 * the lane's cursor. `jobMaxAttempts` is how often a worker tries the job; the delivery option `maxAttempts` is how often
 * the dispatcher tries to hand the message over, which is another matter.
 */
export const jobsSettings = z.strictObject({
  /** The queue that takes the jobs. Default `default`. */
  queue: name.default('default'),
  /** 0 goes first, 3 last. Default 0. */
  priority: wholeNumber(0, 3).default(0),
  /** Attempts a worker has before the job is discarded, 1–1,000. Default 20. */
  jobMaxAttempts: wholeNumber(1, 1000).default(20),
  /** Name of the job. `{topic}` stands for the message's topic. Default `{topic}`. */
  name: jobName.default('{topic}'),
})

export type JobsSettings = z.output<typeof jobsSettings>
export type JobsOptions = z.input<typeof jobsSettings>
