import { bigint, integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'

export const orders = pgTable('orders', {
  id: uuid().primaryKey().defaultRandom(),
  customer: text().notNull(),
  cents: integer().notNull(),
  status: text({ enum: ['created', 'paid'] })
    .notNull()
    .default('created'),
})

export const payments = pgTable('payments', {
  id: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  orderId: uuid('order_id').notNull(),
  cents: integer().notNull(),
})
