import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { PrismaPg } from '@prisma/adapter-pg'
import { onFileEnd } from './cleanup.js'
import { uniqueName } from './services.js'

const root = join(import.meta.dirname, '../..')
const fixture = join(root, 'test/fixtures/prisma')

/** Generates a client of Prisma 7 for this file; Prisma's schema engine is not needed for it, only looked for. */
export async function generatePrismaClient(): Promise<new (options: { adapter: PrismaPg }) => unknown> {
  const folder = join(fixture, uniqueName('generated'))
  const schema = `${folder}.prisma`
  onFileEnd(() => Promise.all([rm(folder, { recursive: true, force: true }), rm(schema, { force: true })]))
  const text = await readFile(join(fixture, 'schema.prisma'), 'utf8')
  await writeFile(schema, text.replace('"./generated"', JSON.stringify(folder)))
  const prisma = join(root, 'node_modules/prisma/build/index.js')
  await promisify(execFile)(process.execPath, [prisma, 'generate', '--schema', schema], {
    cwd: root,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
  })
  const generated = (await import(join(folder, 'client.ts'))) as {
    PrismaClient: new (options: { adapter: PrismaPg }) => unknown
  }
  return generated.PrismaClient
}
