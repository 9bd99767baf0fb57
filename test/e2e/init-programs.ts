import type { AppShape } from './init-fixture.js'

/** Programs of apps that use what `waybill init` wrote: each makes one order and prints `{"messageId":…}`. */

const url = `process.env.WAYBILL_DATABASE_URL ?? ''`
const order = `{ orderId: 'o1', cents: 450 }`
const request = `{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(${order}) }`
const create = (client: string): string =>
  `console.log(JSON.stringify({ messageId: await createOrder(${client}, ${order}) }))`
const post = (address: string): string => `const response = await fetch(${address}, ${request})
if (response.status !== 201) throw new Error(await response.text())
console.log(await response.text())`
const fromOutbox = (name: string, module: string): string => `import { ${name} } from './src/outbox/${module}.js'`

export interface RunnableApp extends AppShape {
  readonly program: string
}

const typescript = { language: 'typescript', modules: 'esm' } as const

export const runnableApps: readonly RunnableApp[] = [
  {
    ...{ ...typescript, name: 'pg-express', packages: ['pg', 'express', 'zod', 'vitest'] },
    program: `import express from 'express'
import pg from 'pg'
${fromOutbox('orderRoutes', 'order-routes')}
const pool = new pg.Pool({ connectionString: ${url} })
const server = express().use(orderRoutes(pool)).listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
const address = server.address()
const port = typeof address === 'object' ? address?.port : 0
${post('`http://127.0.0.1:${port}/orders`')}
server.close()
await pool.end()`,
  },
  {
    ...{
      ...typescript,
      name: 'prisma-fastify',
      packages: ['@prisma/client', '@prisma/adapter-pg', 'pg', 'fastify', 'zod'],
    },
    program: `import { PrismaPg } from '@prisma/adapter-pg'
import fastify from 'fastify'
import { PrismaClient } from './src/generated/client.js'
${fromOutbox('orderRoutes', 'order-routes')}
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: ${url} }) })
const app = fastify()
await app.register(orderRoutes, { prisma })
const response = await app.inject({ method: 'POST', url: '/orders', payload: ${order} })
if (response.statusCode !== 201) throw new Error(response.body)
console.log(response.body)
await prisma.$disconnect()`,
  },
  {
    ...{ ...typescript, name: 'drizzle-hono', packages: ['drizzle-orm', 'pg', 'hono'] },
    program: `import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, text } from 'drizzle-orm/pg-core'
import pg from 'pg'
${fromOutbox('orderRoutes', 'order-routes')}
const pool = new pg.Pool({ connectionString: ${url} })
const db = drizzle(pool, { schema: { orders: pgTable('orders', { id: text().primaryKey() }) } })
const response = await orderRoutes(db).request('/orders', ${request})
if (response.status !== 201) throw new Error(await response.text())
console.log(await response.text())
await pool.end()`,
  },
  {
    ...{ ...typescript, name: 'drizzle-postgres', packages: ['drizzle-orm', 'postgres'] },
    program: `import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
${fromOutbox('createOrder', 'create-order')}
const sql = postgres(${url})
${create('drizzle(sql)')}
await sql.end()`,
  },
  {
    ...{ ...typescript, name: 'kysely', packages: ['kysely', 'pg', 'zod'] },
    program: `import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
${fromOutbox('createOrder', 'create-order')}
const pool = new pg.Pool({ connectionString: ${url} })
const db = new Kysely<{ orders: { id: string } }>({ dialect: new PostgresDialect({ pool }) })
${create('db')}
await db.destroy()`,
  },
  {
    ...{ ...typescript, name: 'knex', packages: ['knex', 'pg'] },
    program: `import knex from 'knex'
${fromOutbox('createOrder', 'create-order')}
const db = knex({ client: 'pg', connection: ${url} })
${create('db')}
await db.destroy()`,
  },
  {
    ...{ ...typescript, name: 'typeorm-nestjs', packages: ['typeorm', '@nestjs/common', 'express', 'pg', 'zod'] },
    program: `import 'reflect-metadata'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { DataSource } from 'typeorm'
${fromOutbox('OrdersController', 'orders.controller')}
const dataSource = await new DataSource({ type: 'postgres', url: ${url} }).initialize()
@Module({ controllers: [OrdersController], providers: [{ provide: DataSource, useValue: dataSource }] })
class App {}
const app = await NestFactory.create(App, { logger: ['error'] })
await app.listen(0, '127.0.0.1')
${post('`${await app.getUrl()}/orders`')}
await app.close()
await dataSource.destroy()`,
  },
  {
    ...{ ...typescript, name: 'sequelize', packages: ['sequelize', 'pg', 'zod'] },
    program: `import { Sequelize } from 'sequelize'
${fromOutbox('createOrder', 'create-order')}
const sequelize = new Sequelize(${url}, { dialect: 'postgres', logging: false })
${create('sequelize')}
await sequelize.close()`,
  },
  {
    ...{ ...typescript, name: 'mikro-orm', packages: ['@mikro-orm/core', '@mikro-orm/postgresql', 'zod'] },
    program: `import { EntitySchema, MikroORM } from '@mikro-orm/postgresql'
${fromOutbox('createOrder', 'create-order')}
const Order = new EntitySchema<{ id: string }>({ name: 'Order', properties: { id: { type: 'text', primary: true } } })
const orm = await MikroORM.init({ clientUrl: ${url}, entities: [Order] })
${create('orm.em')}
await orm.close()`,
  },
  {
    ...{ ...typescript, name: 'postgres', packages: ['postgres', 'zod'] },
    program: `import postgres from 'postgres'
${fromOutbox('createOrder', 'create-order')}
const sql = postgres(${url})
${create('sql')}
await sql.end()`,
  },
  {
    ...{ ...typescript, name: 'commonjs-typescript', modules: 'commonjs', packages: ['pg', 'zod'] },
    program: `import { Pool } from 'pg'
import { createOrder } from './src/outbox/create-order'
async function main(): Promise<void> {
  const pool = new Pool({ connectionString: ${url} })
  ${create('pool')}
  await pool.end()
}
void main()`,
  },
  {
    ...{ name: 'commonjs-javascript', language: 'javascript', modules: 'commonjs', packages: ['pg', 'express', 'zod'] },
    program: `const express = require('express')
const { Pool } = require('pg')
const { orderRoutes } = require('./src/outbox/order-routes.js')
const pool = new Pool({ connectionString: ${url} })
const server = express().use(orderRoutes(pool)).listen(0, '127.0.0.1', async () => {
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  ${post('`http://127.0.0.1:${port}/orders`')}
  server.close()
  await pool.end()
})`,
  },
  {
    ...{ name: 'javascript', language: 'javascript', modules: 'esm', packages: ['postgres', 'fastify'] },
    program: `import fastify from 'fastify'
import postgres from 'postgres'
${fromOutbox('orderRoutes', 'order-routes')}
const sql = postgres(${url})
const app = fastify()
await app.register(orderRoutes, { sql })
const response = await app.inject({ method: 'POST', url: '/orders', payload: ${order} })
if (response.statusCode !== 201) throw new Error(response.body)
console.log(response.body)
await sql.end()`,
  },
]
