import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDispatcher } from '../../src/app/index.js'
import { defineConfig, jobs, webhook } from '../../src/config/index.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { onFileEnd } from '../support/cleanup.js'
import { useDatabase } from '../support/database.js'
import { publish } from '../support/dispatching.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'
import { root } from './built.js'

type Model = { findMany(args?: object): Promise<Record<string, unknown>[]> }
type Prisma = Readonly<Record<string, Model>> & { $disconnect(): Promise<void> }

const database = useDatabase()
const schema = await readFile(join(root, 'prisma/schema.prisma'), 'utf8')
const models = [...schema.matchAll(/^model (\w+)/gm)].map(([, name = '']) => name[0]?.toLowerCase() + name.slice(1))
let prisma: Prisma

beforeAll(async () => {
  // Inside the checkout, where the generated client finds its runtime.
  const folder = await mkdtemp(join(root, 'test/e2e/generated-'))
  onFileEnd(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'schema.prisma')
  await writeFile(file, schema.replace('"./generated"', JSON.stringify(join(folder, 'client'))))
  const cli = join(root, 'node_modules/prisma/build/index.js')
  await promisify(execFile)(process.execPath, [cli, 'generate', '--schema', file], {
    cwd: root,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
  })
  const { PrismaClient } = (await import(join(folder, 'client/client.ts'))) as {
    PrismaClient: new (options: { adapter: PrismaPg }) => Prisma
  }
  prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: database().url }) })
})
afterAll(() => prisma.$disconnect())

it('reads each of its models from a database that has rows in them', async () => {
  const { pool, url } = database()
  const receiver = await startHttpReceiver(({ body }) => ({ status: body.toString().includes('bad') ? 500 : 204 }))
  const config = defineConfig({
    database: { url },
    destinations: {
      crm: webhook({ url: receiver.url, allowNetworks: ['127.0.0.0/8'], backoff: { base: '1h', cap: '1h' } }),
      mail: jobs({ queue: 'mail' }),
    },
    routes: { 'order.*': ['crm', 'mail'] },
  })
  const good = await publish(pool, 'order.created', { it: 'good' }, { key: 'o-1', headers: { tenant: 'a' } })
  const bad = await publish(pool, 'order.created', { it: 'bad' }, { key: 'o-2' })
  await pool.query(`select waybill.publish('order.created', '{}', run_at => now() + interval '1 hour')`)
  await pool.query(`select waybill.worker_register(gen_random_uuid(), 'w', 'host', 1, '0', '{mail}', 30000)`)
  const dispatcher = createDispatcher(config, { logger: silentLogger })
  await dispatcher.start()
  try {
    const count = async (table: string) => (await pool.query(`select from waybill.${table}`)).rowCount
    await waitFor(async () => (await count('receipts')) === 1 && (await count('deliveries')) === 1)
    await waitFor(async () => (await count('jobs')) === 2)
    await pool.query(`select waybill.retry(p_message => $1, p_reason => 'a test')`, [bad])

    const rows: Record<string, Record<string, unknown>[]> = {}
    for (const name of models) rows[name] = (await prisma[name]?.findMany()) ?? []
    for (const name of models) expect(rows[name]?.length, name).toBeGreaterThan(0)
    expect(rows['message']).toContainEqual(
      expect.objectContaining({ id: good, key: 'o-1', payload: { it: 'good' }, headers: { tenant: 'a' } }),
    )
    expect(rows['undelivered']).toMatchObject([{ destination: 'crm', messageId: bad, errorCode: 'HTTP_500' }])
    expect(rows['job']?.map(({ messageId }) => messageId).sort()).toEqual([good, bad].sort())
    const lanes = await prisma['lane']?.findMany({ include: { destination: { include: { routes: true } } } })
    expect(lanes).toHaveLength(2)
    expect(lanes?.[0]).toMatchObject({ destination: { routes: [{ pattern: 'order.*' }] } })
  } finally {
    await dispatcher.stop()
  }
})

it('has a model for what a table holds, column by column', async () => {
  const { rows } = await database().pool.query<{ name: string; columns: string[] }>(
    `select table_name as name, array_agg(column_name::text) as columns from information_schema.columns
      where table_schema = 'waybill' group by 1`,
  )
  const columns = new Map(rows.map((row) => [row.name, row.columns]))
  for (const [, body = ''] of schema.matchAll(/^model \w+ \{\n([\s\S]*?)^\}/gm)) {
    const table = /@@map\("(\w+)"\)/.exec(body)?.[1] ?? ''
    for (const line of body.split('\n')) {
      const [, field, type = ''] = /^ {2}(\w+) +(\w+)/.exec(line) ?? []
      // Relations are no columns.
      if (field === undefined || schema.includes(`model ${type} {`)) continue
      expect(columns.get(table), `${table}.${field}`).toContain(/@map\("(\w+)"\)/.exec(line)?.[1] ?? field)
    }
  }
})
