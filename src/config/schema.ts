import { z } from 'zod'
import { databaseUrlProblem } from '../core/database-url.js'
import { secret } from './destinations/secret.js'
import { duration, flag, oneOf, text, wholeNumber } from './fields.js'
import { logLevels } from './types.js'

/**
 * The shape of a configuration file, defaults included. The entries of `destinations` and `routes` are read one by one
 * (`resolve`), so that a problem in one does not hide those of another.
 */

const databaseUrlMissing =
  'is not set; give database.url, --database-url or the environment variable WAYBILL_DATABASE_URL'

/** What is wrong is said of its form; its text may be a password in any place. */
const databaseUrl = secret.superRefine((url, context) => {
  const message = databaseUrlProblem(url.reveal())
  if (message !== undefined) context.addIssue({ code: 'custom', message })
})

const database = z.strictObject({
  url: z.custom((input) => input !== undefined, { error: databaseUrlMissing }).pipe(databaseUrl),
  directUrl: databaseUrl.optional(),
  poolSize: wholeNumber(1, 500).default(10),
})

const durabilityHelp = 'must be "local" or { replicated: "name of the stand-by" }'

const dispatcher = z.strictObject({
  name: text.max(200, { error: 'must not be longer than 200 characters' }).optional(),
  leaseMs: wholeNumber(1000, 60_000).default(15_000),
  pageSize: wholeNumber(1, 10_000).default(1000),
  listen: flag.default(true),
  drainMs: wholeNumber(0, 600_000).default(30_000),
  maintenance: flag.default(true),
  durability: z
    .union([z.literal('local'), z.strictObject({ replicated: text })], { error: durabilityHelp })
    .default('local'),
})

/** One entry of `destinations`; its options are read by the schema of its kind. */
export const destinationSchema = z.strictObject({
  kind: text,
  options: z.record(z.string(), z.unknown(), { error: 'must be an object' }).default({}),
})

const targetHelp = 'must be the name of a destination, or a list of names'

/** One entry of `routes`: the names, each once. */
export const routeSchema = z
  .union([z.string(), z.array(z.string())], { error: targetHelp })
  .transform((target) => (typeof target === 'string' ? [target] : [...new Set(target)]))
  .refine((names) => names.length > 0, { error: 'names no destination; name one, or remove the route' })

export const patternHelp =
  'is not a topic pattern: use words of letters, digits, "_" and "-" joined by dots; "*" stands for one word, a last "**" for one or more'

const entries = z.record(z.string(), z.unknown()).default({})

export const configSchema = z.strictObject({
  database: database.prefault({} as z.input<typeof database>),
  generation: wholeNumber(1, 2_147_483_647).optional(),
  destinations: entries,
  routes: entries,
  dispatcher: dispatcher.prefault({}),
  retention: duration('1h', '3650d').prefault('7d'),
  maxHold: duration('1h', '3650d').optional(),
  publish: z.strictObject({ maxPayloadBytes: wholeNumber(1, 67_108_864).default(1_048_576) }).prefault({}),
  log: z.strictObject({ level: oneOf(logLevels).default('info') }).prefault({}),
})

export type ParsedConfig = z.output<typeof configSchema>
