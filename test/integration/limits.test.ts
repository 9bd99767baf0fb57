import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'
import { withClient } from './publish-fixture.js'

describe.each(['pg18', 'pg15'] as const)('limits of what is published, on %s', (server) => {
  const database = useDatabase({ server })
  const tried = async (sql: string, values: unknown[] = []): Promise<string> => {
    try {
      await database().pool.query(sql, values)
      return 'ok'
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error
      return `${error.code}: ${error.message}`
    }
  }
  const published = (what: string): Promise<string> => tried(`select waybill.publish('a', ${what})`)
  const headers = (count: number, size: number): string =>
    `'1', headers => (select json_object_agg('h' || i, repeat('v', ${size})) from generate_series(1, ${count}) i)`

  it.each([
    [
      'a payload of a byte more',
      `to_json(repeat('x', 1048575))`,
      /^22023: .*payload of 1048577 bytes is larger than 1048576/,
    ],
    ['129 headers', headers(129, 1), /^22023: .*more than 128 headers/],
    ['headers of more than 64 KiB', headers(10, 7000), /^22023: .*headers of 70\d\d\d bytes are larger than 65536/],
    ['a header value with U+0000', `'1', headers => '{"a":"x\\u0000"}'`, /^22023: .*U\+0000/],
    ['a header name with U+0000', `'1', headers => '{"\\u0000":"x"}'`, /^22023: .*U\+0000/],
    ['U+0000 behind escaped backslashes', `'1', headers => '{"a":"\\\\\\u0000"}'`, /^22023: .*U\+0000/],
    ['what looks like it and is none', `'1', headers => '{"a":"\\\\u0000"}'`, /^ok$/],
    [
      'a dedupe key of 10,000 characters',
      `'1', dedupe_key => repeat('d', 10000)`,
      /^22023: .*dedupe_key has 10000 bytes/,
    ],
    ['an empty dedupe key', `'1', dedupe_key => ''`, /^22023: .*dedupe_key has 0 bytes/],
    [
      'a dedupe key of 1,024 bytes that don’t compress',
      `'1', dedupe_key => (select left(string_agg(md5(i::text), ''), 1024) from generate_series(1, 40) i)`,
      /^ok$/,
    ],
    [
      '1,001 destinations',
      `'1', destinations => array_fill('x'::text, array[1001])`,
      /^22023: .*more than 1000 destinations/,
    ],
    ['64 KiB of headers, all but', headers(9, 7000), /^ok$/],
  ])('%s', async (_, what, answer) => {
    expect(await published(what)).toMatch(answer)
  })

  it('publish_many has the same ones, and names the element', async () => {
    const many = (dedupe: string, h: string): Promise<string> =>
      tried(`select waybill.publish_many('{a,a}', '{1,2}', null, ${h}, null, null, ${dedupe}, null, null, null)`)
    expect(await many(`array['d', repeat('d', 10000)]`, 'null')).toMatch(/^22023: .*dedupe_key.*element 2 of 2/)
    expect(await many('null', `array[null, json_build_object('a', repeat('v', 70000))]`)).toMatch(
      /^22023: .*headers.*element 2 of 2/,
    )
    expect(await many('null', `array['{"a":"\\u0000"}'::json, null]`)).toMatch(/^22023: .*U\+0000.*element 1 of 2/)
  })

  it('what a session sets changes none of them', async () => {
    await withClient(database(), async (client) => {
      await client.query(`set waybill.max_payload_bytes = '1000000000'; set waybill.max_header_bytes = '1000000000'`)
      const large = `select waybill.publish('a', to_json(repeat('x', 1048575)))`
      await expect(client.query(large)).rejects.toMatchObject({ code: '22023' })
      await client.query(`set waybill.max_payload_bytes = 'nonsense'`)
      await client.query(`select waybill.publish('a', '1')`)
    })
  })

  it('the owner sets them, for sessions that have published already; nobody else does', async () => {
    await withClient(database(), async (client) => {
      const of = (bytes: number): string => `select waybill.publish('a', to_json(repeat('x', ${bytes - 2})))`
      await client.query(of(1048576))
      await expect(client.query(of(1048577))).rejects.toMatchObject({ code: '22023' })
      await database().pool.query('select waybill.set_limits(payload_bytes => 2000000, header_bytes => 100)')
      await client.query(of(2000000))
      await expect(client.query(of(2000001))).rejects.toMatchObject({ code: '22023' })
      await expect(client.query(`select waybill.publish('a', ${headers(2, 60)})`)).rejects.toMatchObject({
        code: '22023',
      })
      const queue = new Queue({ pool: database().pool })
      await expect(queue.publish('a', 1, { tx: null, headers: { a: 'x'.repeat(20_000) } })).rejects.toMatchObject({
        code: 'WAYBILL_PUBLISH_INVALID',
        message: expect.stringContaining('headers of 20') as string,
      })
      await database().pool.query('select waybill.set_limits(1048576, 65536)')
      await client.query(`select waybill.publish('a', ${headers(2, 60)})`)
      const role = uniqueName('limits')
      await client.query(`create role ${role}; grant usage on schema waybill to ${role};
        grant execute on function waybill.set_limits to ${role}; set role ${role}`)
      await expect(client.query('select waybill.set_limits(2000000)')).rejects.toMatchObject({ code: '42501' })
      await client.query(`reset role; drop owned by ${role}; drop role ${role}`)
    })
    for (const values of ['67108865', '0', 'null, 1048577', 'null, -1'])
      expect(await tried(`select waybill.set_limits(${values})`)).toMatch(/^22023: waybill.set_limits/)
  })

  it.each([
    ['a payload of more than 64 MiB', 'payload', `to_json(repeat('x', 67108863))`, '23514'],
    ['headers of more than 1 MiB', 'headers', `json_build_object('x', repeat('x', 1048570))`, '23514'],
    ['64 MiB of payload', 'payload', `to_json(repeat('x', 67108862))`, 'ok'],
    ['1 MiB of headers', 'headers', `json_build_object('x', repeat('x', 1048560))`, 'ok'],
  ])('what is inserted by hand has no %s', async (_, column, value, answer) => {
    const given: Record<string, string> = {
      payload: `'1'::json`,
      headers: 'null',
      key: 'null',
      topic: `'a'`,
      [column]: value,
    }
    for (const table of ['messages', 'scheduled'])
      expect(
        await tried(
          `insert into waybill.${table} (id, topic, key, payload, headers${table === 'scheduled' ? ', run_at' : ''})
           select gen_random_uuid(), ${given['topic']}, ${given['key']}, ${given['payload']}, ${given['headers']}${table === 'scheduled' ? ', now()' : ''}`,
        ),
      ).toMatch(new RegExp(`^${answer}`))
  })

  it('a value that comes from another table, packed, is measured unpacked', async () => {
    await database().pool.query(`create table packed (p json, h json);
      insert into packed values (to_json(repeat('x', 67108863)), json_build_object('x', repeat('x', 1048570)))`)
    const insert = (columns: string): string =>
      `insert into waybill.messages (id, topic, ${columns}) select gen_random_uuid(), 'a', `
    expect(await tried(`${insert('payload')} p from packed`)).toMatch(/^23514/)
    expect(await tried(`${insert('payload, headers')} '1', h from packed`)).toMatch(/^23514/)
  })

  it('jobs have them too', async () => {
    const job = (args: string, h = 'null', queue = `'q'`, key = 'null'): Promise<string> =>
      tried(`select waybill.job_insert('{null,null}', array['q', ${queue}], '{0,0}', '{n,n}', array[null, ${key}],
        array['1'::json, ${args}], array[null::json, ${h}], '{1,1}', '{null,null}')`)
    expect(await job(`to_json(repeat('x', 67108863))`)).toMatch(/^22023: .*args is too large \(element 2 of 2\)/)
    expect(await job(`'1'::json`, `json_build_object('x', repeat('x', 1048570))`)).toMatch(
      /^22023: .*headers is too large/,
    )
    expect(await job(`'1'::json`, 'null', `repeat('q', 5000)`)).toMatch(/^22023: .*queue is too large/)
    expect(await job(`'1'::json`, 'null', `'q'`, `repeat('k', 5000)`)).toMatch(/^22023: .*key is too large/)
    expect(await job(`'1'::json`)).toBe('ok')
    expect(
      await tried(`insert into waybill.jobs (id, message_id, queue, name, args)
        values (gen_random_uuid(), gen_random_uuid(), 'q', 'n', to_json(repeat('x', 67108863)))`),
    ).toMatch(/^23514/)
  })
})
