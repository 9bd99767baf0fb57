import { databaseUrlProblem } from '../core/database-url.js'
import { InputError, type Problem } from '../core/errors.js'
import type { PublishPool, QueueOptions } from './options.js'
import { shapeOf } from '../core/shape.js'
import { checkTopics, type TopicMap } from './topics.js'

export interface CheckedQueueOptions {
  readonly pool: PublishPool | undefined
  readonly connectionString: string | undefined
  readonly maxConnections: number
  readonly maxPayloadBytes: number
  readonly prepared: boolean
}

export const queueOptionNames: readonly string[] = [
  ...['topics', 'pool', 'connectionString', 'maxConnections', 'maxPayloadBytes', 'prepared'],
]
/** No message in the log has more. */
const mostPayloadBytes = 64 * 1024 * 1024

/** Fills in defaults; throws an `InputError` that lists everything that is wrong. */
export function checkQueueOptions<Topics extends TopicMap>(options: QueueOptions<Topics>): CheckedQueueOptions {
  const problems: Problem[] = []
  const { topics, pool, connectionString, maxConnections = 4, maxPayloadBytes = 1_048_576, prepared = false } = options
  for (const name of Object.keys(options))
    if (!queueOptionNames.includes(name)) problems.push({ path: name, message: 'is not an option of Queue' })
  if (topics !== undefined) checkTopics(topics)
  if (pool !== undefined && typeof (pool as Partial<PublishPool> | null)?.query !== 'function') {
    problems.push({ path: 'pool', message: `is ${shapeOf(pool)}; give a pg.Pool, or a connectionString` })
  }
  if (connectionString !== undefined && (typeof connectionString !== 'string' || connectionString === '')) {
    problems.push({
      path: 'connectionString',
      message: `is ${shapeOf(connectionString)}; give postgres://user@host/database`,
    })
  }
  const wrongUrl =
    typeof connectionString === 'string' && connectionString !== '' && databaseUrlProblem(connectionString)
  if (wrongUrl) problems.push({ path: 'connectionString', message: wrongUrl })
  if (pool !== undefined && connectionString !== undefined) {
    problems.push({ path: 'connectionString', message: 'excludes pool; give one of them' })
  }
  checkCount(maxConnections, 'maxConnections', 1000, problems)
  checkCount(maxPayloadBytes, 'maxPayloadBytes', mostPayloadBytes, problems)
  if (typeof prepared !== 'boolean')
    problems.push({ path: 'prepared', message: `is ${shapeOf(prepared)}; give true or false` })
  if (problems.length > 0)
    throw new InputError('WAYBILL_PUBLISH_INVALID', 'the options of Queue are not valid', problems)
  return { pool, connectionString, maxConnections, maxPayloadBytes, prepared }
}

function checkCount(value: unknown, path: string, most: number, problems: Problem[]): void {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > most) {
    problems.push({
      path,
      message: `is ${typeof value === 'number' ? value : shapeOf(value)}; give a whole number from 1 to ${most}`,
    })
  }
}
