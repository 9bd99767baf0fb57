import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  argument,
  type CliIo,
  defineCommand,
  option,
  type Register,
  runCli,
  usageError,
} from '../../src/cli/command.js'
import { formatDuration, Output, printable, renderTable } from '../../src/cli/output.js'
import { WaybillError } from '../../src/core/errors.js'
import { createTestDatabase } from '../support/database.js'
import { sessionsEnd, sessionsOf } from '../support/sessions.js'

async function run(commands: readonly Register[], argv: readonly string[], env: Record<string, string> = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const { signal } = new AbortController()
  const io: CliIo = { stdout, stderr, stdin: Readable.from([]), env, cwd: '/', signal, urgent: signal }
  const code = await runCli(argv, io, commands)
  stdout.end()
  stderr.end()
  return { code, stdout: await text(stdout), stderr: await text(stderr) }
}

const probe = defineCommand({
  name: 'things list',
  summary: 'List things',
  arguments: { id: argument.text('the thing'), rest: argument.optional('more') },
  options: {
    limit: option.number({ summary: 'rows', min: 1, max: 10, default: 5 }),
    since: option.time({ summary: 'from' }),
    olderThan: option.duration({ summary: 'age' }),
    state: option.choice(['dead', 'held'], { summary: 'state' }),
    reason: option.text({ summary: 'why', required: true, short: 'r' }),
    topic: option.list({ summary: 'topics' }),
    dryRun: option.flag({ summary: 'change nothing' }),
  },
  run({ out }, args, options) {
    // the compiler knows these types
    const limit: number = options.limit
    const reason: string = options.reason
    const since: Date | undefined = options.since
    const state: 'dead' | 'held' | undefined = options.state
    const id: string = args.id
    const rest: string | undefined = args.rest
    const { olderThan, topic, dryRun } = options
    out.value({ id, rest, limit, since, olderThan, state, reason, topic, dryRun }, 'text')
  },
})

describe('defineCommand', () => {
  it('gives typed arguments and options', async () => {
    const given =
      'things list a b --limit 7 --since 2026-01-31T08:00:00Z --older-than 5m --state held -r because --topic x --topic y --dry-run --json'
    const { code, stdout } = await run([probe], given.split(' '))
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({
      id: 'a',
      rest: 'b',
      limit: 7,
      since: '2026-01-31T08:00:00.000Z',
      olderThan: 300_000,
      state: 'held',
      reason: 'because',
      topic: ['x', 'y'],
      dryRun: true,
    })
  })

  it('fills in defaults, and shares none of them between runs', async () => {
    await run([probe], ['things', 'list', 'a', '-r', 'x', '--topic', 'kept?'])
    const { stdout } = await run([probe], ['things', 'list', 'a', '-r', 'x', '--json'])
    expect(JSON.parse(stdout)).toEqual({ id: 'a', limit: 5, reason: 'x', topic: [], dryRun: false })
  })

  it.each([
    ['a limit out of bounds', ['a', '-r', 'x', '--limit', '11'], 'Give a whole number from 1 to 10.'],
    ['a limit that is no number', ['a', '-r', 'x', '--limit', '1e1'], 'Give a whole number from 1 to 10.'],
    ['a time without a zone', ['a', '-r', 'x', '--since', '2026-01-31T08:00:00'], 'Give a time with its zone'],
    ['a day that is none', ['a', '-r', 'x', '--since', '2026-99-31T08:00:00Z'], 'Give a time with its zone'],
    ['a duration that is none', ['a', '-r', 'x', '--older-than', 'soon'], 'Give milliseconds'],
    ['another state', ['a', '-r', 'x', '--state', 'done'], 'Allowed choices are dead, held.'],
    ['an empty text', ['a', '-r', ''], 'not empty'],
    ['no reason', ['a'], '--reason'],
    ['no argument', ['-r', 'x'], `missing required argument 'id'`],
    ['too many arguments', ['a', 'b', 'c', '-r', 'x'], 'too many arguments'],
  ])('refuses %s as a usage error', async (_what, args, message) => {
    const { code, stdout, stderr } = await run([probe], ['things', 'list', ...args])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^waybill: /)
    expect(stderr).toContain(message)
  })

  it('turns what a command throws or returns into an exit code', async () => {
    const ends = (name: string, end: () => void | 1): Register => defineCommand({ name, summary: name, run: end })
    const fails = ends('fails', () => {
      throw new WaybillError('WAYBILL_NOT_FOUND', 'no such thing')
    })
    const misused = ends('misused', () => {
      throw usageError('give one of the two')
    })
    const amiss = ends('amiss', () => 1)
    const commands = [fails, misused, amiss]
    expect(await run(commands, ['fails'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'waybill: no such thing (WAYBILL_NOT_FOUND)\n',
    })
    expect(await run(commands, ['misused'])).toMatchObject({ code: 2 })
    expect(await run(commands, ['amiss'])).toEqual({ code: 1, stdout: '', stderr: '' })
    const json = await run(commands, ['fails', '--json'])
    expect(JSON.parse(json.stderr)).toEqual({ error: { code: 'WAYBILL_NOT_FOUND', message: 'no such thing' } })
  })

  it('shows the lines of a description as the terminal has room for them, and examples as they are', async () => {
    const told = defineCommand({
      name: 'told',
      summary: 'tells',
      description: ['One paragraph', 'of two lines.', '', '  waybill told 1', '  waybill told 2', '', 'Another.'].join(
        '\n',
      ),
      run: () => Promise.resolve(),
    })
    const { stdout } = await run([told], ['told', '--help'])
    expect(stdout).toContain('\nOne paragraph of two lines.\n\n  waybill told 1\n  waybill told 2\n\nAnother.\n')
  })

  it('opens the pool once and closes it, also when the command fails', async () => {
    const database = await createTestDatabase({ empty: true })
    let same = false
    const order: string[] = []
    const uses = defineCommand({
      name: 'uses',
      summary: 'uses the pool',
      async run(ctx) {
        ctx.onEnd(() => void order.push('registered first'))
        const pool = await ctx.pool()
        same = pool === (await ctx.pool())
        ctx.onEnd(() => void order.push('registered last'))
        await pool.query('select')
        throw new WaybillError('WAYBILL_NOT_FOUND', `sessions: ${await sessionsOf(database, 'waybill cli')}`)
      },
    })
    const { code, stderr } = await run([uses], ['uses'], { WAYBILL_DATABASE_URL: database.url })
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'waybill: sessions: 1 (WAYBILL_NOT_FOUND)\n' })
    expect(same).toBe(true)
    expect(order).toEqual(['registered last', 'registered first'])
    await sessionsEnd(database, 'waybill cli')
  })

  it('says which server did not answer, and nothing of the password', async () => {
    const uses = defineCommand({
      name: 'uses',
      summary: 'uses the pool',
      run: async ({ pool }) => void (await (await pool()).query('select 1')),
    })
    const { code, stderr } = await run([uses], ['uses'], { WAYBILL_DATABASE_URL: 'postgres://u:hunter2@localhost:1/x' })
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^waybill: no connection to database "x" at localhost:1 \(ECONNREFUSED\); .* \(WAYBILL_DATABASE_UNREACHABLE\)\n$/,
    )
    expect(stderr).not.toContain('hunter2')
  })
})

describe('output', () => {
  const columns = [
    { title: 'topic', value: (row: { topic: string; count: bigint }) => row.topic },
    { title: 'count', value: (row: { topic: string; count: bigint }) => row.count, align: 'right' as const },
  ]
  const rows = [
    { topic: 'order.created', count: 12_345n },
    { topic: '', count: 7n },
  ]

  it('aligns tables for people', () => {
    expect(renderTable(rows, columns)).toBe(
      ['TOPIC           COUNT', 'order.created  12,345', '-                   7'].join('\n'),
    )
  })

  it.each([
    [true, '[\n  {\n    "n": "9007199254740993"\n  }\n]\n{"n":1}\n'],
    [false, 'N\n9,007,199,254,740,993\none\nremark\n'],
  ])('writes for programs or for people (json: %s)', async (json, expected) => {
    const stream = new PassThrough()
    const out = new Output(stream, json)
    out.table([{ n: 9007199254740993n }], [{ title: 'n', value: (row) => row.n }])
    out.item({ n: 1 }, 'one')
    out.note('remark')
    stream.end()
    expect(await text(stream)).toBe(expected)
  })

  it('lets no control character through to a terminal', () => {
    expect(printable('a\u001b[31m\nb\u202e')).toBe('a\\u001b[31m\\nb\\u202e')
    const unit = fc.integer({ min: 0, max: 0x2100 }).map((code) => String.fromCharCode(code))
    fc.assert(
      // eslint-disable-next-line no-control-regex
      fc.property(fc.string({ unit }), (input) => !/[\u0000-\u001f\u007f-\u009f]/.test(printable(input))),
    )
  })

  it.each([
    [0, '0ms'],
    [999, '999ms'],
    [1500, '1.5s'],
    [9999, '10s'],
    [59_999, '1m'],
    [310_000, '5m 10s'],
    [7_200_000, '2h'],
    [86_404_000, '1d'],
    [97_200_000, '1d 3h'],
    [-1500, '-1.5s'],
  ])('writes %d ms as %s', (ms, expected) => expect(formatDuration(ms)).toBe(expected))
})
