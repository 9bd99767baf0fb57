import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { kafkaBrokers } from './kafka.js'

export interface KcatRecord {
  readonly partition: number
  readonly offset: bigint
  readonly timestamp: number
  /** Null when the record has none, as apart from an empty one. */
  readonly key: Buffer | null
  readonly payload: Buffer | null
  /** In the record's order; a name may occur more than once. */
  readonly headers: readonly (readonly [name: string, value: string | null])[]
}

/**
 * Reads a whole topic with kcat: a client that shares no code with ours, so it sees what is really in the log.
 * Bytes and headers take two passes: kcat's text format keeps bytes but runs headers together, its JSON the reverse.
 */
export async function kcatConsume(topic: string, brokers = kafkaBrokers()): Promise<KcatRecord[]> {
  const [bytes, json] = await Promise.all([
    kcat(brokers, topic, ['-f', '%p %o %T %K %S\n%k%s\n']),
    kcat(brokers, topic, ['-J']).then((output) => output.toString('utf8')),
  ])
  const headers = new Map<string, KcatRecord['headers']>()
  for (const line of json.split('\n').filter((text) => text !== '')) {
    const record = JSON.parse(line) as { partition: number; offset: number; headers?: (string | null)[] }
    headers.set(`${record.partition} ${record.offset}`, pairs(record.headers ?? []))
  }
  const records = [...parse(bytes)]
  return records.map((record) => ({ ...record, headers: headers.get(`${record.partition} ${record.offset}`) ?? [] }))
}

function* parse(output: Buffer): Generator<Omit<KcatRecord, 'headers'>> {
  let at = 0
  const take = (length: number): Buffer | null => {
    if (length < 0) return null
    const part = output.subarray(at, at + length)
    at += length
    return part
  }
  while (at < output.length) {
    const lineEnd = output.indexOf('\n', at)
    const [partition, offset = '', timestamp, keyLength, length] = output.toString('utf8', at, lineEnd).split(' ')
    at = lineEnd + 1
    const key = take(Number(keyLength))
    const payload = take(Number(length))
    at += 1
    yield { partition: Number(partition), offset: BigInt(offset), timestamp: Number(timestamp), key, payload }
  }
}

function pairs(flat: readonly (string | null)[]): KcatRecord['headers'] {
  const result: (readonly [string, string | null])[] = []
  for (let i = 0; i < flat.length; i += 2) result.push([flat[i] ?? '', flat[i + 1] ?? null])
  return result
}

async function kcat(brokers: readonly string[], topic: string, format: readonly string[]): Promise<Buffer> {
  const args = ['-C', '-b', brokers.join(','), '-t', topic, '-o', 'beginning', '-e', '-q', ...format]
  try {
    const { stdout } = await promisify(execFile)('kcat', args, {
      encoding: 'buffer',
      timeout: 20_000,
      maxBuffer: 256 * 1024 * 1024,
    })
    return stdout
  } catch (error) {
    throw new Error('kcat failed; is it installed (Debian package kcat)?', { cause: error })
  }
}
