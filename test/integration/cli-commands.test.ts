import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { eventually, waitFor } from '../support/wait-for.js'
import { cli, type CliOptions, configDirectory, errorOf, startCli } from './cli-fixture.js'

const database = useDatabase()
const env = () => ({ WAYBILL_DATABASE_URL: database().url })

describe('waybill migrate', () => {
  it('checks, applies, and has nothing left to do', async () => {
    const empty = await createTestDatabase({ empty: true })
    const options = { env: { WAYBILL_DATABASE_URL: empty.url } }
    const check = await cli(['migrate', '--check', '--json'], options)
    expect(check.code).toBe(1)
    const { pending } = JSON.parse(check.stdout) as { pending: string[] }
    expect(pending[0]).toBe('20261122000000_log')
    const applied = await cli(['migrate'], options)
    expect(applied).toMatchObject({ code: 0, stdout: `applied ${pending.join(', ')}\n` })
    expect(await cli(['migrate', '--check'], options)).toMatchObject({ code: 0, stdout: 'nothing is pending\n' })
    expect(JSON.parse((await cli(['migrate', '--json'], options)).stdout)).toEqual({ applied: [], present: pending })
    expect(await cli(['migrate', '--sql'], options)).toMatchObject({ code: 0, stdout: '-- nothing is pending\n' })
    const roles = await cli(['migrate', '--roles', '--json'], options)
    expect(roles.code).toBe(0)
    expect(JSON.parse(roles.stdout)).toMatchObject({
      roles: {
        granted: ['waybill_publisher', 'waybill_dispatcher', 'waybill_observer', 'waybill_reader', 'waybill_consumer'],
        adminSql: null,
      },
    })
  })

  it('prints SQL that makes the schema, without a database too', async () => {
    const { code, stdout, stderr } = await cli(['migrate', '--sql'], { cwd: '/' })
    expect(code).toBe(0)
    expect(stderr).toContain('everything')
    expect(stdout).toMatch(/^\\set ON_ERROR_STOP on\n\nbegin;/)
    expect(stdout).toContain('create table waybill.messages')
  })

  it('takes the direct URL, and says when it is wrong', async () => {
    const options = { env: { ...env(), WAYBILL_DIRECT_URL: 'postgres://u:hunter2@127.0.0.1:1/x' } }
    const result = await cli(['migrate', '--json'], options)
    expect(result.code).toBe(1)
    expect(errorOf(result).code).toBe('WAYBILL_DATABASE_UNREACHABLE')
    expect(result.stderr).not.toContain('hunter2')
    expect((await cli(['migrate', '--check', '--sql'], { env: env() })).code).toBe(2)
  })

  it('says that a database is not there, with what to look at', async () => {
    const url = new URL(database().url)
    url.pathname = '/no_such_database'
    const { stderr } = await cli(['migrate'], { env: { WAYBILL_DATABASE_URL: url.href } })
    expect(stderr).toMatch(
      /no connection to database "no_such_database" .* 3D000\); check the user, the password and the name/,
    )
  })
})

async function messages(): Promise<{ topic: string; payload: string; key: string | null; headers: unknown }[]> {
  const { rows } = await database().pool.query<{ topic: string; payload: string; key: string; headers: unknown }>(
    'select topic, payload::text, key, headers from waybill.messages order by seq',
  )
  return rows
}

async function published(argv: string[], options: CliOptions = {}) {
  const before = (await messages()).length
  const result = await cli(['publish', ...argv], { env: env(), ...options })
  return { ...result, rows: (await messages()).slice(before) }
}

describe('waybill publish', () => {
  it('publishes one message, byte for byte, with all that goes with it', async () => {
    const id = '01976d2e-0000-7000-8000-0000000000aa'
    const options = ['--key', 'k', '--header', 'Source=a=b', '--header', 'x=', '--id', id]
    const one = await published(['order.created', '--payload', '{"n": 12345678901234567890 }', ...options])
    expect(one).toEqual({
      code: 0,
      stdout: `published ${id}\n`,
      stderr: '',
      rows: [
        {
          topic: 'order.created',
          payload: '{"n": 12345678901234567890 }',
          key: 'k',
          headers: { source: 'a=b', x: '' },
        },
      ],
    })
    const twice = ['order.created', '--payload', '1', '--dedupe-key', 'once', '--json']
    const [first, second] = [await published(twice), await published(twice)]
    expect(first.rows).toHaveLength(1)
    expect(second).toMatchObject({ rows: [], stdout: first.stdout })
  })

  it('publishes a file', async () => {
    const cwd = await configDirectory({})
    await writeFile(join(cwd, 'order.json'), '{"from": "a file"}\n')
    expect((await published(['order.created', '--file', 'order.json'], { cwd })).rows).toMatchObject([
      { payload: '{"from": "a file"}' },
    ])
  })

  it('publishes for later, and takes it back', async () => {
    const { stdout, rows } = await published(['order.created', '--payload', '1', '--delay', '1h', '--json'])
    expect(rows).toEqual([])
    const { id } = JSON.parse(stdout) as { id: string }
    const later = await database().pool.query('select from waybill.scheduled where id = $1', [id])
    expect(later.rowCount).toBe(1)
    expect(await cli(['cancel', id], { env: env() })).toMatchObject({ code: 0, stdout: `cancelled ${id}\n` })
    const again = await cli(['cancel', id, '--json'], { env: env() })
    expect(again.code).toBe(1)
    expect(errorOf(again).code).toBe('WAYBILL_NOT_FOUND')
    expect((await cli(['cancel', 'x'], { env: env() })).code).toBe(2)
    expect((await published(['order.created', '--payload', '1', '--at', '2020-01-01T00:00:00Z'])).rows).toHaveLength(1)
  })

  it('publishes payloads from standard input, one on each line, in order', async () => {
    const stdin = ['{"n":1}\r\n\n', '  \n{"n"', ':2}\n', '"é', '"\n3']
    const { code, stdout, rows } = await published(['order.created', '-', '--key', 'k'], { stdin })
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'published 4 messages\n' })
    expect(rows.map(({ payload, key }) => [payload, key])).toEqual([
      ['{"n":1}', 'k'],
      ['{"n":2}', 'k'],
      ['"é"', 'k'],
      ['3', 'k'],
    ])
  })

  it('publishes lines that say everything themselves, payloads byte for byte', async () => {
    const lines = [
      `{"topic":"a.b","payload":{"n": 1.10, "s":"}\\"{,"},"key":"k1","headers":{"h":"v"},"id":"01976d2e-0000-7000-8000-0000000000bb"}`,
      `{ "payload" : [ 98765432109876543210 ] , "topic" : "c" }`,
      `{"pay\\u006coad":null,"topic":"d","key":null}`,
      `{"topic":"later","payload":1,"at":"2126-01-01T00:00:00Z"}`,
    ]
    const { code, stdout, rows } = await published(['-', '--json', '--key', 'default'], { stdin: [lines.join('\n')] })
    expect(code).toBe(0)
    const printed = stdout.trim().split('\n')
    expect(printed.map((line) => (JSON.parse(line) as { line: number }).line)).toEqual([1, 2, 3, 4])
    expect(rows).toEqual([
      { topic: 'a.b', payload: '{"n": 1.10, "s":"}\\"{,"}', key: 'k1', headers: { h: 'v' } },
      { topic: 'c', payload: '[ 98765432109876543210 ]', key: 'default', headers: null },
      { topic: 'd', payload: 'null', key: null, headers: null },
    ])
  })

  it('splits bytes of one character between chunks', async () => {
    const bytes = Buffer.from('{"s":"€"}\n')
    const { rows } = await published(['t', '-'], { stdin: [bytes.subarray(0, 8), bytes.subarray(8)] })
    expect(rows).toMatchObject([{ payload: '{"s":"€"}' }])
  })

  it.each([
    ['a line that is no JSON', ['t', '-'], '1\n{"a"\n', 'line 2', 'is not JSON'],
    ['a line without a topic', ['-'], '{"payload":1}', 'line 1, topic', 'is undefined'],
    ['a line without a payload', ['-'], '{"topic":"a"}', 'line 1, payload', 'is missing'],
    ['a line that is no object', ['-'], '[1]', 'line 1', 'is not a JSON object'],
    ['a member that is not known', ['-'], '{"topic":"a","payload":1,"keys":1}', 'line 1, keys', 'is not known'],
    ['a time without a zone', ['-'], '{"topic":"a","payload":1,"at":"2026-01-01"}', 'line 1, at', 'with its zone'],
    ['an id that is none', ['-'], '\n\n{"topic":"a","payload":1,"id":"x"}', 'line 3, id', 'not a uuid'],
    ['a key that is none', ['-'], '{"topic":"a","payload":1,"key":7}', 'line 1, key', 'a number'],
    ['a destination that is not there', ['-'], '{"topic":"a","payload":1,"to":["zz"]}', 'line 1', 'not known'],
  ])('names the line of %s', async (_what, argv, stdin, path, message) => {
    const result = await published([...argv, '--json'], { stdin: [stdin] })
    expect(result).toMatchObject({ code: 1, stdout: '', rows: [] })
    const error = errorOf(result)
    expect(error.code).toBe('WAYBILL_PUBLISH_INVALID')
    expect(error.problems?.[0]?.path).toBe(path)
    expect(error.problems?.[0]?.message).toContain(message)
  })

  it('keeps what was published before a line that is wrong, and says so', async () => {
    const good = Array.from({ length: 1000 }, (_, n) => `${n}\n`).join('')
    const { code, stderr, rows } = await published(['t', '-'], { stdin: [`${good}7\nx\n`] })
    expect(code).toBe(1)
    expect(stderr).toContain('published before the error: 1,000\n')
    expect(stderr).toContain('line 1002')
    expect(rows).toHaveLength(1000)
  })

  it('refuses bytes that are not UTF-8', async () => {
    const result = await published(['t', '-', '--json'], { stdin: [Buffer.from([0x31, 0x0a, 0xff, 0x0a])] })
    expect(result.code).toBe(1)
    expect(errorOf(result).problems?.[0]?.path).toBe('line 1')
  })

  it('publishes what a slow producer writes at once, and stops when it is told to', async () => {
    const stdin = new PassThrough()
    const before = (await messages()).length
    const run = startCli(['publish', 't', '-'], { env: env(), stdin })
    stdin.write('1\n')
    await eventually(async () => expect((await messages()).length).toBe(before + 1))
    run.stop()
    expect(await run.result).toMatchObject({ code: 1, stderr: 'interrupted; published: 1\n' })
  })

  it.each([
    ['no payload', ['t']],
    ['two payloads', ['t', '--payload', '1', '--file', 'x']],
    ['a payload and standard input', ['t', '-', '--payload', '1']],
    ['a second argument', ['t', 'x']],
    ['- and -', ['-', '-']],
    ['one id for many', ['t', '-', '--id', '01976d2e-0000-7000-8000-0000000000aa']],
    ['a header without a value', ['t', '--payload', '1', '--header', 'x']],
    ['a header twice', ['t', '--payload', '1', '--header', 'x=1', '--header', 'x=2']],
    ['a time that is a duration', ['t', '--payload', '1', '--at', '2h']],
  ])('refuses %s as a usage error', async (_what, argv) => {
    expect(await published(argv)).toMatchObject({ code: 2, stdout: '', rows: [] })
  })

  it.each([
    ['a topic', ['a..b', '--payload', '1'], 'WAYBILL_PUBLISH_INVALID'],
    ['a payload', ['t', '--payload', '{'], 'WAYBILL_PAYLOAD_INVALID'],
    ['a file', ['t', '--file', '/nonexistent'], 'WAYBILL_PAYLOAD_INVALID'],
    ['a header', ['t', '--payload', '1', '--header', 'a b=1'], 'WAYBILL_PUBLISH_INVALID'],
    ['an id', ['t', '--payload', '1', '--id', 'x'], 'WAYBILL_PUBLISH_INVALID'],
  ])('refuses %s that is not valid', async (_what, argv, code) => {
    const result = await published([...argv, '--json'])
    expect(result).toMatchObject({ code: 1, stdout: '', rows: [] })
    expect(errorOf(result).code).toBe(code)
  })

  it('keeps to the limit of the configuration', async () => {
    const options = { env: { ...env(), WAYBILL_MAX_PAYLOAD_BYTES: '10' } }
    const result = await published(['t', '--payload', '"01234567890"', '--json'], options)
    expect(errorOf(result).code).toBe('WAYBILL_PAYLOAD_TOO_LARGE')
    const line = await published(['t', '-', '--json'], { ...options, stdin: ['"01234567890"'] })
    expect(errorOf(line)).toMatchObject({ code: 'WAYBILL_PAYLOAD_TOO_LARGE', problems: [{ path: 'line 1, payload' }] })
  })

  it('reads no file with --database-url', async () => {
    const cwd = await configDirectory({ bogus: true })
    expect((await published(['t', '--payload', '1'], { cwd })).code).toBe(1)
    const argv = ['t', '--payload', '1', '--database-url', database().url]
    expect(await published(argv, { cwd, env: {} })).toMatchObject({ code: 0, rows: [{ topic: 't' }] })
  })
})

describe('waybill maintain', () => {
  it('makes one pass', async () => {
    const { code, stdout } = await cli(['maintain', '--json'], { env: env() })
    expect(code).toBe(0)
    const report = JSON.parse(stdout) as { ran: boolean; tasks: { task: string; error: unknown }[] }
    expect(report.ran).toBe(true)
    expect(report.tasks.map((task) => task.task)).toContain('extend messages')
    expect((await cli(['maintain'], { env: env() })).stdout).toMatch(/^TASK +TOOK +RESULT\n/)
  })

  it('does nothing while another process is at it', async () => {
    await database().pool.query(
      `update waybill.maintenance set holder = gen_random_uuid(), until = now() + interval '1 minute'`,
    )
    const busy = await cli(['maintain'], { env: env() })
    expect(busy).toMatchObject({ code: 0, stdout: 'another process is at it: nothing was done\n' })
    await database().pool.query(`update waybill.maintenance set holder = null, until = '-infinity'`)
  })
})

describe('every command', () => {
  it('status --watch shows again until it is told to stop', async () => {
    const run = startCli(['status', '--watch', '--every', '20ms', '--json'], { env: env() })
    await waitFor(() => run.stdout().split('\n').length > 3, { what: 'three looks' })
    run.stop()
    const { code, stdout } = await run.result
    expect(code).toBe(0)
    expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({ lanes: [] })
  })

  it.each([['status'], ['undelivered'], ['show', '01976d2e-0000-7000-8000-0000000000aa'], ['retry', '--all']])(
    '%s says that the schema is missing',
    async (...argv) => {
      const empty = await createTestDatabase({ empty: true })
      const result = await cli([...argv, '--json'], { env: { WAYBILL_DATABASE_URL: empty.url } })
      expect(result).toMatchObject({ code: 1, stdout: '' })
      expect(errorOf(result).code).toBe('WAYBILL_SCHEMA_MISSING')
    },
  )

  it.each([
    ['undelivered', '--limit', '0'],
    ['undelivered', '--state', 'gone'],
    ['show'],
    ['retry', '--state', 'pending', '--all'],
    ['drop', '--all'],
    ['destinations', 'remove'],
    ['destinations', 'delete', 'x'],
    ['cancel'],
    ['maintain', 'now'],
    ['doctor', '--disk-bytes', '1TB'],
    ['status', '--every', 'often'],
    ['migrate', '--wait', 'forever'],
  ])('refuses wrong usage: %s %s %s', async (...argv) => {
    const result = await cli([...argv.filter(Boolean), '--json'], { env: env() })
    expect(result).toMatchObject({ code: 2, stdout: '' })
    expect(errorOf(result).code).toBe('WAYBILL_USAGE')
  })
})
