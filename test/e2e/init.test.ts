import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { frameworks } from '../../src/cli/init/detect.js'
import { stackNames, stacks } from '../../src/cli/init/stacks.js'
import { spawnChild } from '../support/children.js'
import { createTestDatabase } from '../support/database.js'
import { ensureBuilt, root } from './built.js'
import { compile, fixtureApps, type AppShape, type FixtureApps } from './init-fixture.js'
import { runnableApps } from './init-programs.js'

const waybill = join(root, 'dist/cli/main.js')
let apps: FixtureApps
let sources: readonly string[]
let errors: readonly string[]

/** All apps are compiled at once: the types of the libraries take most of the time. */
beforeAll(async () => {
  await ensureBuilt()
  apps = await fixtureApps()
  for (const shape of everyShape()) await apps.make({ ...shape, name: `all/${shape.name}` })
  for (const { program, ...shape } of runnableApps) {
    const app = await apps.make(shape)
    await writeFile(join(app, shape.language === 'typescript' ? 'main.ts' : 'main.js'), program)
  }
  const mistaken = await apps.make({
    name: 'mistaken',
    language: 'typescript',
    modules: 'esm',
    packages: ['pg', 'zod'],
  })
  const file = join(mistaken, 'src/outbox/create-order.ts')
  await writeFile(file, (await readFile(file, 'utf8')).replace('cents: number', 'cents: string'))

  sources = await sourcesOf(apps.directory)
  const isTypescript = (path: string): boolean => path.endsWith('.ts')
  errors = [
    ...compile(apps.directory, sources.filter(isTypescript)),
    ...compile(
      apps.directory,
      sources.filter((path) => !isTypescript(path)),
    ),
  ]
}, 900_000)

const frameworkPackage = { nestjs: '@nestjs/common', fastify: 'fastify', express: 'express', hono: 'hono' } as const

/** Every stack with every framework, with and without a schema for topics, in every language there is for it. */
function everyShape(): AppShape[] {
  const languages = [
    ['typescript', 'esm'],
    ['typescript', 'commonjs'],
    ['javascript', 'esm'],
    ['javascript', 'commonjs'],
  ] as const
  return stackNames.flatMap((stack, index) =>
    [...frameworks, 'none' as const].flatMap((framework, at) =>
      languages.map(([language, modules]) => ({
        name: `${stack}-${framework}-${language}-${modules}`,
        language,
        modules,
        packages: [
          ...stacks[stack].packages.slice(0, 1),
          ...(framework === 'none' ? [] : [frameworkPackage[framework]]),
          ...((index + at) % 2 === 0 ? ['zod'] : []),
        ],
      })),
    ),
  )
}

async function sourcesOf(directory: string): Promise<string[]> {
  const folders = (await readdir(directory)).filter((name) => name !== 'node_modules')
  const entries = await Promise.all(
    folders.map((name) => readdir(join(directory, name), { recursive: true, withFileTypes: true })),
  )
  return entries
    .flat()
    .filter(({ name, parentPath }) => /\.m?[jt]s$/.test(name) && !parentPath.includes('generated'))
    .map(({ name, parentPath }) => join(parentPath, name))
}

describe('what waybill init writes', () => {
  it('compiles under strict settings, for every stack, framework and language', () => {
    const own = join(apps.directory, 'all')
    const orders = sources.filter((path) => path.startsWith(own) && /create-order\.[jt]s$/.test(path))
    expect(orders).toHaveLength(everyShape().length)
    expect(errors.filter((error) => !error.startsWith('mistaken/'))).toEqual([])
  })

  it('is checked by that compilation', () => {
    expect(errors.filter((error) => error.startsWith('mistaken/')).join()).toContain(
      "Type 'string' is not assignable to type 'number'",
    )
  })

  it.each(runnableApps)('publishes and delivers: $name', async ({ name }) => {
    const app = join(apps.directory, name)
    const database = await createTestDatabase({ empty: true })
    const env = { WAYBILL_DATABASE_URL: database.url }
    const run = async (script: string, ...args: string[]): Promise<string> => {
      const child = spawnChild(script, { args, cwd: app, env })
      const { code } = await child.exited
      expect(code, child.output()).toBe(0)
      return [...child.messages().map((message) => JSON.stringify(message)), child.output()].join('\n')
    }
    const { scripts } = JSON.parse(await readFile(join(app, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>
    }
    const script = (name: string): string[] => scripts[name]?.split(' ').slice(1) ?? []

    await run(waybill, ...script('waybill:migrate'))
    const { messageId } = JSON.parse(await run(join(app, 'main.js'))) as { messageId: string }

    const { rows } = await database.pool.query('select id, topic, key, payload from waybill.messages')
    expect(rows).toEqual([{ id: messageId, topic: 'order.created', key: 'o1', payload: { orderId: 'o1', cents: 450 } }])
    await run(waybill, ...script('waybill:dispatch'), '--once')
    const jobs = await database.pool.query('select message_id, queue, name from waybill.jobs')
    expect(jobs.rows).toEqual([{ message_id: messageId, queue: 'default', name: 'order.created' }])
  })
})
