import { databaseUrlProblem } from '../core/database-url.js'
import type pg from 'pg'
import { didYouMean } from '../config/did-you-mean.js'
import { parseDuration } from '../core/duration.js'
import { messageOf, type Problem } from '../core/errors.js'
import { isTopicPattern } from '../core/topic-pattern.js'
import { pathText } from '../queue-facade/path-text.js'
import { shapeOf } from '../core/shape.js'
import type { FakeDestination } from './fake-adapter.js'
import type { FakeRow } from './fake-destinations.js'
import { refusal } from './message.js'

export interface DeliverNowOptions<Name extends string = string> {
  /** Of at least 3 connections; stays open. Excludes `connectionString`. */
  readonly pool?: pg.Pool | undefined
  /** Excludes `pool`. */
  readonly connectionString?: string | undefined
  /** By the names of the destinations they stand for: 1 to 63 of `a-z 0-9 _ -`, a letter first. */
  readonly destinations: Readonly<Record<Name, FakeDestination>>
  /**
   * As in the configuration: `{ 'order.*': ['crm', 'audit'] }`. Destinations that are not faked are passed over, so that
   * the routes of the configuration itself can be given. Default: every fake gets every topic.
   */
  readonly routes?: Readonly<Record<string, string | readonly string[]>> | undefined
  /**
   * What is scheduled up to then is delivered as well: a time, or `+5m` from the database's own. Default: what is due
   * anyway. A time in the past changes nothing.
   */
  readonly now?: Date | `+${string}` | undefined
  /** Attempts before a message is dead, 1–1,000. Default 3. */
  readonly maxAttempts?: number | undefined
  /** As of a destination. Default `key`. */
  readonly order?: 'key' | 'none' | undefined
  /** As of a destination. Default `hold`. */
  readonly onDead?: 'hold' | 'release' | undefined
  /** Milliseconds or text such as `10s`, for all of it. Default 30 s. */
  readonly timeout?: number | string | undefined
}

export interface CheckedDeliverOptions {
  readonly database: { readonly pool: pg.Pool } | { readonly connectionString: string }
  readonly fakes: readonly (FakeRow & { readonly deliver: FakeDestination })[]
  readonly now: Date | { readonly afterMs: number }
  readonly maxAttempts: number
  readonly timeoutMs: number
}

const known = [
  ...['pool', 'connectionString', 'destinations', 'routes', 'now', 'maxAttempts', 'order', 'onDead', 'timeout'],
]
const nameSyntax = /^[a-z][a-z0-9_-]{0,62}$/
const leastConnections = 3

/** Throws an `InputError` that lists everything that is wrong. */
export function checkDeliverOptions(options: DeliverNowOptions): CheckedDeliverOptions {
  const problems: Problem[] = []
  const report = (path: string, message: string): void => void problems.push({ path, message })
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) report(name, `is not an option of deliverNow${didYouMean(name, known)}`)
  }
  const { pool, connectionString, destinations, routes, maxAttempts = 3, order = 'key', onDead = 'hold' } = options
  const database = checkDatabase(pool, connectionString, report)
  checkDestinations(destinations, report)
  for (const pattern of Object.keys(routes ?? {})) {
    if (!isTopicPattern(pattern))
      report(pathText(['routes', pattern]), 'is not a topic pattern; "*" stands for one word, a last "**" for more')
  }
  if (!Number.isInteger(maxAttempts) || maxAttempts < 1 || maxAttempts > 1000)
    report('maxAttempts', `is ${shapeOf(maxAttempts)}; give a whole number from 1 to 1,000`)
  if (!['key', 'none'].includes(order)) report('order', 'is neither "key" nor "none"')
  if (!['hold', 'release'].includes(onDead)) report('onDead', 'is neither "hold" nor "release"')
  const now = checkNow(options.now, report)
  const timeoutMs = checkDuration(options.timeout ?? 30_000, 'timeout', report)
  if (database === undefined || problems.length > 0) throw refusal(problems)
  const fakes = Object.entries(destinations).map(([name, deliver]) => ({
    ...{ name, deliver, order, onDead },
    patterns: routes === undefined ? ['**'] : patternsTo(name, routes),
  }))
  return { database, fakes, now, maxAttempts, timeoutMs }
}

type Report = (path: string, message: string) => void

/** Undefined: neither or both were given, and that was reported. */
function checkDatabase(
  pool: pg.Pool | undefined,
  connectionString: string | undefined,
  report: Report,
): CheckedDeliverOptions['database'] | undefined {
  if (pool !== undefined && connectionString === undefined) {
    const max = (pool as Partial<pg.Pool>).options?.max
    if (typeof max !== 'number') report('pool', `is ${shapeOf(pool)}; give a pg.Pool, or a connectionString`)
    else if (max < leastConnections)
      report('pool', `has ${max} connections at most; give one of ${leastConnections} or more, or a connectionString`)
    return { pool }
  }
  if (typeof connectionString === 'string' && pool === undefined) {
    const wrongUrl = databaseUrlProblem(connectionString)
    if (wrongUrl !== undefined) report('connectionString', wrongUrl)
    return { connectionString }
  }
  report('pool', 'or connectionString: give one of them, of a database of the tests’ own')
  return undefined
}

function checkDestinations(destinations: unknown, report: Report): void {
  const given = typeof destinations === 'object' && destinations !== null ? Object.entries(destinations) : []
  if (given.length === 0) return report('destinations', 'has none; give { name: async (message) => … }')
  for (const [name, fake] of given as [string, unknown][]) {
    const path = pathText(['destinations', name])
    if (!nameSyntax.test(name)) report(path, 'is not a name; use 1 to 63 of a-z 0-9 _ -, a letter first')
    if (typeof fake !== 'function') report(path, `is ${shapeOf(fake)}; give a function that takes a message`)
  }
}

function checkNow(now: unknown, report: Report): CheckedDeliverOptions['now'] {
  if (now === undefined) return { afterMs: 0 }
  if (now instanceof Date && !Number.isNaN(now.getTime())) return now
  if (typeof now === 'string' && now.startsWith('+')) return { afterMs: checkDuration(now.slice(1), 'now', report) }
  report('now', `is ${shapeOf(now)}; give a valid Date, or a duration after a plus, such as "+5m"`)
  return { afterMs: 0 }
}

function checkDuration(value: number | string, field: string, report: Report): number {
  try {
    return parseDuration(value, field)
  } catch (error) {
    report(field, messageOf(error).replace(`${field}: `, ''))
    return 0
  }
}

function patternsTo(name: string, routes: Readonly<Record<string, string | readonly string[]>>): string[] {
  return Object.entries(routes).flatMap(([pattern, to]) => ([to].flat().includes(name) ? [pattern] : []))
}
