import type { EntityManager as CoreEntityManager } from '@mikro-orm/core'
import type { MikroORM, SqlEntityManager } from '@mikro-orm/postgresql'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { expectTypeOf } from 'expect-type'
import type { Knex } from 'knex'
import type { ControlledTransaction, Kysely, Transaction as KyselyTrx } from 'kysely'
import type pg from 'pg'
import type postgres from 'postgres'
import type { Sequelize, Transaction as SequelizeTrx } from 'sequelize'
import type { DataSource, EntityManager, QueryRunner, Repository } from 'typeorm'
import type {
  DataSource as DataSource03,
  EntityManager as EntityManager03,
  QueryRunner as QueryRunner03,
} from 'typeorm-0.3'
import { describe, it } from 'vitest'
import type { PrismaClient } from '../../examples/orders/generated/client.js'
import { defineTopics, Queue, type Transaction } from '../../src/index.js'
import { waybillPrisma } from '../../src/queue-facade/prisma.js'

interface Tables {
  orders: { id: string }
}
type DrizzlePg = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]
type DrizzlePostgresJs = Parameters<Parameters<PostgresJsDatabase['transaction']>[0]>[0]
type PrismaTx = Parameters<Parameters<PrismaClient['$transaction']>[0]>[0]

describe('tx', () => {
  it('takes the transaction of each library', () => {
    expectTypeOf<pg.PoolClient>().toExtend<Transaction>()
    expectTypeOf<postgres.TransactionSql>().toExtend<Transaction>()
    expectTypeOf<postgres.TransactionSql<{ bigint: bigint }>>().toExtend<Transaction>()
    expectTypeOf<PrismaTx>().toExtend<Transaction>()
    expectTypeOf<DrizzlePg>().toExtend<Transaction>()
    expectTypeOf<DrizzlePostgresJs>().toExtend<Transaction>()
    expectTypeOf<KyselyTrx<Tables>>().toExtend<Transaction>()
    expectTypeOf<ControlledTransaction<Tables>>().toExtend<Transaction>()
    expectTypeOf<ControlledTransaction<Tables, ['a']>>().toExtend<Transaction>()
    expectTypeOf<Knex.Transaction>().toExtend<Transaction>()
    expectTypeOf<EntityManager>().toExtend<Transaction>()
    expectTypeOf<QueryRunner>().toExtend<Transaction>()
    expectTypeOf<Repository<Tables>>().toExtend<Transaction>()
    expectTypeOf<EntityManager03>().toExtend<Transaction>()
    expectTypeOf<QueryRunner03>().toExtend<Transaction>()
    expectTypeOf<SequelizeTrx>().toExtend<Transaction>()
    expectTypeOf<SqlEntityManager>().toExtend<Transaction>()
    expectTypeOf<CoreEntityManager>().toExtend<Transaction>()
  })

  it('takes none of their roots, as far as types tell them apart', () => {
    expectTypeOf<pg.Pool>().not.toExtend<Transaction>()
    expectTypeOf<postgres.Sql>().not.toExtend<Transaction>()
    expectTypeOf<postgres.ReservedSql>().not.toExtend<Transaction>()
    expectTypeOf<PrismaClient>().not.toExtend<Transaction>()
    expectTypeOf<NodePgDatabase>().not.toExtend<Transaction>()
    expectTypeOf<PostgresJsDatabase>().not.toExtend<Transaction>()
    expectTypeOf<Kysely<Tables>>().not.toExtend<Transaction>()
    expectTypeOf<Knex>().not.toExtend<Transaction>()
    expectTypeOf<DataSource>().not.toExtend<Transaction>()
    expectTypeOf<DataSource03>().not.toExtend<Transaction>()
    expectTypeOf<Sequelize>().not.toExtend<Transaction>()
    expectTypeOf<MikroORM>().not.toExtend<Transaction>()
    expectTypeOf<Promise<Knex.Transaction>>().not.toExtend<Transaction>()
    // an EntityManager has one type within and without a transaction: refused at run time
  })
})

describe('waybillPrisma', () => {
  const topics = defineTopics(['order.created'])
  const _extended = (prisma: PrismaClient) => prisma.$extends(waybillPrisma(new Queue({ topics })))
  type Extended = ReturnType<typeof _extended>
  const client = undefined as unknown as Extended

  it('adds $publish to the client of an interactive transaction, with the topics of the queue', () => {
    void client.$transaction(async (tx) => {
      await tx.order.count()
      expectTypeOf(tx.$publish('order.created', { id: 'o1' }, { key: 'o1', delay: '1h' })).toEqualTypeOf<
        Promise<string>
      >()
      expectTypeOf(tx.$publishMany([{ topic: 'order.created', payload: 1 }])).toEqualTypeOf<Promise<string[]>>()
      expectTypeOf(tx.$cancelMessage('id')).toEqualTypeOf<Promise<boolean>>()
      expectTypeOf(tx).toExtend<Transaction>()
      // @ts-expect-error not a topic of this queue
      void tx.$publish('order.lost', { id: 'o1' })
      // @ts-expect-error JSON has no form for a BigInt
      void tx.$publish('order.created', 1n)
      // @ts-expect-error the transaction is this one
      void tx.$publish('order.created', 1, { tx: null })
    })
  })

  it('refuses it on the root', () => {
    // @ts-expect-error each statement on the root is a transaction of its own
    void client.$publish('order.created', { id: 'o1' })
    // @ts-expect-error likewise
    void client.$publishMany([])
    // @ts-expect-error likewise
    void client.$cancelMessage('id')
    expectTypeOf<Extended>().not.toExtend<Transaction>()
  })
})
