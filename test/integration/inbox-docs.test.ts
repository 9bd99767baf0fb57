import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { migrate } from '../../src/db/migrate.js'
import { onFileEnd } from '../support/cleanup.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { cli } from './cli-fixture.js'
import { begun, claim } from './inbox-fixture.js'

const root = join(import.meta.dirname, '../..')
const page = await readFile(join(root, 'docs/inbox.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, of]) => of === language).map(([, , code]) => code ?? '')

interface Blocks {
  /** Exported here, to be ended. */
  readonly pool: pg.Pool
  readonly handle: (messageId: string, order: { id: string; total: number }) => Promise<void>
  readonly attempt: (client: pg.Client, messageId: string, work: () => Promise<void>) => Promise<void>
}

describe('docs/inbox.md', () => {
  const database = useDatabase()
  let files: string[]

  beforeAll(async () => {
    vi.stubEnv('DATABASE_URL', database().url)
    await database().pool.query(
      'create table invoices (order_id text, total numeric); create table failures (message_id text, said text)',
    )
    const folder = await mkdtemp(join(root, 'test/integration/generated-'))
    onFileEnd(() => rm(folder, { recursive: true, force: true }))
    // the package by its name is what is installed; here it is the source
    files = await Promise.all(
      blocks('ts').map(async (code, i) => {
        const file = join(folder, `block-${i}.ts`)
        const here = code.replaceAll(`'waybill/inbox'`, `'../../../src/inbox/index.js'`)
        await writeFile(file, here.replace('const pool', 'export const pool'))
        return file
      }),
    )
  })
  afterAll(() => vi.unstubAllEnvs())

  it('has code that compiles', () => {
    expect(files).toHaveLength(2)
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
      config: { compilerOptions: object }
    }
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root)
    const program = ts.createProgram(files, options)
    const errors = ts.getPreEmitDiagnostics(program).filter(({ file }) => !file || files.includes(file.fileName))
    expect(errors.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([])
  })

  it('has code that does what it says', async () => {
    const { handle, pool } = (await import(files[0] ?? '')) as Blocks
    for (let delivery = 0; delivery < 3; delivery++) await handle('m1', { id: 'o1', total: 28.5 })
    await expect(handle('m2', { id: 'o2', total: 'much' as never })).rejects.toMatchObject({ code: '22P02' })
    await handle('m2', { id: 'o2', total: 3 })
    await pool.end()
    const { rows } = await database().pool.query('select order_id, total from invoices order by 1')
    expect(rows).toEqual([
      { order_id: 'o1', total: '28.5' },
      { order_id: 'o2', total: '3' },
    ])

    const { attempt } = (await import(files[1] ?? '')) as Blocks
    const client = await begun(database())
    await attempt(client, 'm3', async () => {
      await client.query(`insert into invoices values ('o3', 1)`)
      await client.query('select 1 / 0')
    })
    await client.query('commit')
    expect((await database().pool.query(`select from invoices where order_id = 'o3'`)).rowCount).toBe(0)
    expect((await database().pool.query(`select from failures where message_id = 'm3'`)).rowCount).toBe(1)
    expect(await claim(database().pool, 'billing', 'm3')).toBe(true)
  })

  it('has SQL that answers as its comments say', async () => {
    const db = await createTestDatabase({ empty: true })
    await migrate(db.url, { only: 'inbox' })
    const [claims = '', retention = ''] = blocks('sql')
    const other = await begun(db)
    await claim(other, 'billing', 'evt_2')
    const client = await db.pool.connect()
    const said: string[] = []
    for (const [, sql, comment] of claims.matchAll(/^(.+?;)(?: +-- (\w+).*)?$/gm)) {
      const { rows } = await client.query<Record<string, boolean | null>>(sql ?? '')
      if (comment !== undefined) said.push(comment)
      if (comment !== undefined) expect(String(Object.values(rows[0] ?? {})[0]), sql).toBe(comment)
    }
    expect(said).toEqual(['true', 'false', 'null', 'true'])
    await client.query(retention)
    expect(
      (await client.query('select extract(day from retention)::int as days from waybill.inbox_settings')).rows,
    ).toEqual([{ days: 90 }])
    await client.query('select waybill.inbox_maintain()')
    client.release()
  })

  it('has commands that run', async () => {
    const db = await createTestDatabase({ empty: true })
    const lines = blocks('sh').flatMap((block) => block.trim().split('\n'))
    expect(lines).toHaveLength(2)
    for (const line of [...lines, ...(/`(waybill maintain --only inbox)`/.exec(page)?.slice(1) ?? [])]) {
      const argv = line.replace(/ +#.*/, '').replace('"$CONSUMER_URL"', db.url).split(' ').slice(1)
      expect(await cli(argv, { env: { WAYBILL_DATABASE_URL: db.url } }), line).toMatchObject({ code: 0, stderr: '' })
    }
  })

  it('says how long the inbox remembers', async () => {
    const { rows } = await database().pool.query('select retention::text from waybill.inbox_settings')
    expect(rows).toEqual([{ retention: '30 days' }])
    expect(page).toContain('30 days at least')
  })
})
