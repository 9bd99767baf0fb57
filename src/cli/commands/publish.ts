import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { MessageOptions, Queue, RawJson } from '../../app/publishing.js'
import { InputError, messageOf } from '../../core/errors.js'
import { argument, type CommandContext, defineCommand, type ExitCode, option, usageError } from '../command.js'
import { formatCount } from '../output.js'
import type { LineRules } from '../publish-lines.js'
import { readLines } from '../read-lines.js'

/** Messages of one transaction when many are read. */
const batchSize = 1000

/** `waybill publish`: messages from the command line, a file or standard input. */
export const register = defineCommand({
  name: 'publish',
  summary: 'Publish a message, or many from standard input',
  description: [
    '  waybill publish order.created --payload \'{"id": 1}\' --key order-1',
    '  waybill publish order.created --file order.json',
    '  waybill publish order.created - < payloads.ndjson   each line is a payload',
    '  waybill publish - < messages.ndjson                 each line is',
    '      {"topic", "payload", "key", "headers", "id", "at", …}',
    '',
    'Payloads are stored byte for byte. Lines are published up to 1,000 at a time, each batch whole or not at all; an',
    'error names its line, and what was published before it stays. With --json an id is printed for each line.',
  ].join('\n'),
  arguments: {
    topic: argument.text('topic, or - for lines that name their own'),
    input: argument.optional('- for payloads on standard input, one on each line'),
  },
  options: {
    payload: option.text({ summary: 'the payload', value: 'json' }),
    file: option.text({ summary: 'file that holds the payload', value: 'path' }),
    key: option.text({ summary: 'messages with equal keys arrive in publish order' }),
    header: option.list({ summary: 'header, several times', value: 'name=value' }),
    id: option.text({ summary: 'id of the message, one of your own', value: 'uuid' }),
    at: option.timestamp({ summary: 'not before this time' }),
    delay: option.duration({ summary: 'not before this much later' }),
    dedupeKey: option.text({ summary: 'publish only once within 24 hours' }),
    to: option.list({ summary: 'exactly this destination, several times', value: 'destination' }),
  },
  async run(ctx, { topic, input }, options): Promise<ExitCode> {
    const many = topic === '-' || input === '-'
    if (topic === '-' && input !== undefined) throw usageError('- takes no second argument: each line names its topic')
    if (input !== undefined && input !== '-') throw usageError('the second argument is - (standard input) or left out')
    const sources = [many, options.payload !== undefined, options.file !== undefined].filter(Boolean).length
    if (sources !== 1) throw usageError('give the payload once: --payload, --file, or - for lines on standard input')
    if (many && (options.id !== undefined || options.dedupeKey !== undefined))
      throw usageError('--id and --dedupe-key are for one message; give lines that are objects their own')
    const message = messageOptions(options)
    const { Queue, rawJson } = await import('../../app/publishing.js')
    const queue = new Queue({ pool: await ctx.pool(), ...(await limits(ctx)) })
    ctx.onEnd(() => queue.close())
    if (many) return publishInput(ctx, queue, { topic: topic === '-' ? undefined : topic, options: message })
    const payload = asJson(rawJson, options.payload ?? (await read(ctx, options.file ?? '')))
    const id = await queue.publish(topic, payload, { ...message, tx: null })
    ctx.out.value({ id, topic }, `published ${id}`)
    return 0
  },
})

interface Given {
  readonly key: string | undefined
  readonly header: readonly string[]
  readonly id: string | undefined
  readonly at: Date | undefined
  readonly delay: number | undefined
  readonly dedupeKey: string | undefined
  readonly to: readonly string[]
}

/** Only what was given: lines may say the rest themselves. */
function messageOptions({ header, to, ...rest }: Given): MessageOptions {
  const { key, id, at, delay, dedupeKey } = rest
  const given = Object.entries({ key, id, at, delay, dedupeKey }).filter(([, value]) => value !== undefined)
  return {
    ...Object.fromEntries(given),
    ...(header.length > 0 && { headers: headersOf(header) }),
    ...(to.length > 0 && { to }),
  }
}

function headersOf(given: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const text of given) {
    const at = text.indexOf('=')
    if (at <= 0) throw usageError('--header: give name=value')
    const name = text.slice(0, at)
    if (Object.hasOwn(headers, name)) throw usageError(`--header: ${name} is given twice`)
    headers[name] = text.slice(at + 1)
  }
  return headers
}

/** With `--database-url` alone no file is read: the default limit then. */
async function limits({ globals, loadSettings }: CommandContext): Promise<{ maxPayloadBytes?: number }> {
  if (globals.databaseUrl !== undefined && globals.config === undefined) return {}
  return { maxPayloadBytes: (await loadSettings(['publish'])).publish.maxPayloadBytes }
}

async function read({ io }: CommandContext, file: string): Promise<string> {
  const path = resolve(io.cwd, file)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path))
  } catch (error) {
    const message = error instanceof TypeError ? 'is not UTF-8 text' : `cannot be read: ${messageOf(error)}`
    throw new InputError('WAYBILL_PAYLOAD_INVALID', 'nothing was published', [{ path: '--file', message }], {
      cause: error,
    })
  }
}

function asJson(rawJson: (text: string) => RawJson, text: string): RawJson {
  try {
    return rawJson(text.trim())
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    const problems = error.problems.map(({ message }) => ({ path: 'payload', message }))
    throw new InputError(error.code, 'nothing was published', problems, { cause: error })
  }
}

async function publishInput(ctx: CommandContext, queue: Queue, rules: LineRules): Promise<ExitCode> {
  const { io, out } = ctx
  const { maxPayloadBytes = 1_048_576 } = await limits(ctx)
  // a key, headers and names beside a payload of the greatest size
  const bounds = { maxLength: maxPayloadBytes * 2 + 65_536, maxLines: batchSize }
  const { publishLines } = await import('../publish-lines.js')
  let published = 0
  const stop = (): void => void io.stdin.destroy()
  io.signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const lines of readLines(io.stdin, bounds)) {
      if (io.signal.aborted) break
      const ids = await publishLines(queue, lines, rules)
      published += ids.length
      if (out.json) ids.forEach((id, index) => out.item({ line: lines[index]?.number, id }, ''))
    }
  } catch (error) {
    if (io.signal.aborted && !(error instanceof InputError)) return interrupted(ctx, published)
    if (!out.json) io.stderr.write(`published before the error: ${formatCount(published)}\n`)
    throw error
  } finally {
    io.signal.removeEventListener('abort', stop)
  }
  if (io.signal.aborted) return interrupted(ctx, published)
  out.note(`published ${formatCount(published)} messages`)
  return 0
}

function interrupted({ io }: CommandContext, published: number): ExitCode {
  io.stderr.write(`interrupted; published: ${formatCount(published)}\n`)
  return 1
}
