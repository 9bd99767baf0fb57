import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../generated/client.js'

export const databaseUrl = process.env['DATABASE_URL'] ?? ''
if (databaseUrl === '') throw new Error('set DATABASE_URL, such as postgres://postgres@localhost:5432/orders')

export const prisma = new PrismaClient({
  adapter: new PrismaPg({ connectionString: databaseUrl, max: 10 }),
  // Prisma gives up after 2 s of waiting for a connection: little for a busy machine.
  transactionOptions: { maxWait: 15_000, timeout: 15_000 },
})
export type Tx = Parameters<Parameters<typeof prisma.$transaction>[0]>[0]
