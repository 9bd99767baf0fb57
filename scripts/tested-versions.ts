import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const root = join(import.meta.dirname, '..')
const page = join(root, 'README.md')
const place = /(<!-- npx tsx scripts\/tested-versions\.ts [^\n]*-->\n)(?:\|[^\n]*\n)*/

type Tested = readonly [name: string, ...packages: string[]]

/** What the tests run with: the name that its users know, and the folders in node_modules. */
const tested: Readonly<Record<string, readonly Tested[]>> = {
  frameworks: [
    ['Fastify', 'fastify'],
    ['Express', 'express'],
    ['Hono', 'hono'],
    ['NestJS', '@nestjs/core'],
  ],
  'data layers': [
    ['pg', 'pg'],
    ['postgres.js', 'postgres'],
    ['Prisma', '@prisma/client', 'prisma6-client'],
    ['Drizzle', 'drizzle-orm'],
    ['Kysely', 'kysely'],
    ['Knex', 'knex'],
    ['TypeORM', 'typeorm', 'typeorm-0.3'],
    ['Sequelize', 'sequelize'],
    ['MikroORM', '@mikro-orm/postgresql'],
  ],
  'schemas, brokers': [
    ['zod', 'zod'],
    ['valibot', 'valibot'],
    ['arktype', 'arktype'],
    ['amqplib', 'amqplib'],
    ['kafkajs', 'kafkajs'],
  ],
}

/** The table of README.md, from what is installed. */
export function testedVersions(): string {
  const rows = Object.entries(tested).map(([kind, list]) => `| ${kind} | ${list.map(described).join(', ')} |\n`)
  return `| | tested with |\n|---|---|\n${rows.join('')}`
}

function described([name, ...packages]: Tested): string {
  return `${name} ${packages.map(versionOf).join(' and ')}`
}

function versionOf(name: string): string {
  const file = join(root, 'node_modules', name, 'package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

/** The table as the page has it. */
export function shownVersions(): string {
  const found = place.exec(readFileSync(page, 'utf8'))
  return found === null ? '' : found[0].slice(found[1]?.length)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const text = readFileSync(page, 'utf8')
  writeFileSync(
    page,
    text.replace(place, (_, head: string) => head + testedVersions()),
  )
}
