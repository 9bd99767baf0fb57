import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { beforeAll, describe, expect, it } from 'vitest'
import { pickPort } from '../../scripts/services/ports.js'
import { spawnChild, type TestChild } from '../support/children.js'
import { onFileEnd } from '../support/cleanup.js'
import { useDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'
import { ensureBuilt, root } from './built.js'

const readme = await readFile(join(root, 'README.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, of]) => of === language)
    .map(([, , code = '']) => code)

/** The files that a reader makes, by the name in their first line. */
const files = new Map(blocks('ts').map((code) => [/^\/\/ (\S+)\n/.exec(code)?.[1] ?? 'nameless', code]))
const database = useDatabase({ empty: true })
const waybill = join(root, 'dist/cli/main.js')
let project: string
let environment: NodeJS.ProcessEnv

/** A project like a reader's: the package as it is published, their own dependencies, and the files of the README. */
beforeAll(async () => {
  await ensureBuilt()
  project = await mkdtemp(join(tmpdir(), 'waybill-readme-'))
  onFileEnd(() => rm(project, { recursive: true, force: true }))
  await mkdir(join(project, 'node_modules'))
  await symlink(root, join(project, 'node_modules/waybill'))
  for (const name of ['pg', 'zod', 'standardwebhooks', '@types', '@prisma']) {
    await symlink(join(root, 'node_modules', name), join(project, 'node_modules', name))
  }
  await writeFile(join(project, 'package.json'), '{ "type": "module" }')
  const port = await pickPort(4000)
  for (const [name, code] of files) await writeFile(join(project, name), code.replaceAll('4000', String(port)))
  await writePrismaClient()
  environment = {
    DATABASE_URL: database().url,
    CRM_SECRET: `whsec_${Buffer.from('a secret of a reader').toString('base64')}`,
    CRM_PORT: String(port),
  }
}, 300_000)

/** What the Prisma variant takes for granted: a client for the orders table. */
async function writePrismaClient(): Promise<void> {
  const schema = `generator client {
    provider = "prisma-client"
    output = "./generated"
  }
  datasource db {
    provider = "postgresql"
  }
  model Order {
    id String @id @default(uuid()) @db.Uuid
    customer String
    cents Int
    @@map("orders")
  }`
  await writeFile(join(project, 'schema.prisma'), schema)
  const prisma = join(root, 'node_modules/prisma/build/index.js')
  await promisify(execFile)(process.execPath, [prisma, 'generate', '--schema', join(project, 'schema.prisma')], {
    cwd: root,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
  })
  await writeFile(
    join(project, 'database.ts'),
    `import { PrismaPg } from '@prisma/adapter-pg'
    import { PrismaClient } from './generated/client.js'
    export const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL ?? '' }) })`,
  )
}

/** Runs a program of the project to its end, or leaves it running. */
const start = (script: string, ...args: string[]): TestChild<never> =>
  spawnChild(script, { args, cwd: project, env: environment })

async function run(script: string, ...args: string[]): Promise<string> {
  const child = start(script, ...args)
  const { code } = await child.exited
  expect(code, child.output()).toBe(0)
  return child.output()
}

const prints = (child: TestChild<never>, text: string) =>
  waitFor(() => child.output().includes(text), {
    timeoutMs: 20_000,
    what: `${JSON.stringify(text)} of ${child.output()}`,
  })

async function place(module: string, customer: string): Promise<void> {
  await writeFile(
    join(project, 'place.ts'),
    `const { placeOrder } = await import('./${module}')
    await placeOrder('${customer}', 1999)
    process.exit(0)`,
  )
  await run(join(project, 'place.ts'))
}

describe('README.md', () => {
  it('is short, and what it links to is there', () => {
    expect(readme.split('\n').length).toBeLessThan(300)
    const links = [...readme.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target)
    const local = links.filter((target) => !target.startsWith('http'))
    expect(local.length).toBeGreaterThan(10)
    expect(local.filter((target) => !existsSync(join(root, target)))).toEqual([])
  })

  it('has code that compiles under strict settings', () => {
    expect([...files.keys()]).toEqual([
      ...['topics.ts', 'waybill.config.ts', 'orders.ts', 'orders-prisma.ts', 'dispatcher.ts', 'crm.ts', 'worker.ts'],
    ])
    const names = [...files.keys()].map((name) => join(project, name))
    const program = ts.createProgram(names, {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: ['node'],
      typeRoots: [join(project, 'node_modules/@types')],
    })
    const errors = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
      return `${file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
    })
    expect(errors).toEqual([])
  })

  it('names commands that there are', async () => {
    const help = await run(waybill, '--help')
    const known = new Set([...help.matchAll(/^ {2}([a-z]+)\b/gm)].map(([, name = '']) => name))
    const called = blocks('sh').flatMap((code) => [...code.matchAll(/npx waybill (\w+)/g)].map(([, name = '']) => name))
    expect(called.length).toBeGreaterThan(4)
    expect([...called, ...['show', 'retry', 'drop']].filter((name) => !known.has(name))).toEqual([])
  })

  it('does what it says, from an empty database to a delivered message', async () => {
    const [createTable = '', publishInSql = '', look = ''] = blocks('sql')
    await run(waybill, 'migrate')
    await database().pool.query(createTable)

    const crm = start(join(project, 'crm.ts'))
    await waitFor(() => listens(Number(environment['CRM_PORT'])), { what: 'the CRM' })
    const worker = start(join(project, 'worker.ts'))
    await place('orders.ts', 'Ada')
    const dispatcher = start(waybill, 'dispatch')
    await prints(crm, "customer: 'Ada'")
    await prints(worker, "customer: 'Ada'")
    expect(crm.output()).toContain('order.created')

    await place('orders-prisma.ts', 'Grace')
    await prints(crm, "customer: 'Grace'")
    await database().pool.query(publishInSql)
    await prints(crm, 'order.cancelled')

    const parked = async () => (await database().pool.query('select from waybill.undelivered')).rowCount
    await waitFor(async () => (await parked()) === 0)
    expect(await run(waybill, 'status')).toMatch(/crm +active/)
    for (const command of ['undelivered', 'destinations']) await run(waybill, command)
    for (const statement of look.split(';').filter((text) => text.trim() !== '')) await database().pool.query(statement)

    // The same inside a process of one's own.
    expect(await dispatcher.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    const own = start(join(project, 'dispatcher.ts'))
    await place('orders.ts', 'Edsger')
    await prints(crm, "customer: 'Edsger'")
    expect(await own.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(await worker.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.end())
  })
}
