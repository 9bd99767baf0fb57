import { Module } from '@nestjs/common'
import { Pool } from 'pg'
import { defineConfig, env, jobs } from 'waybill/config'
import { WaybillModule } from 'waybill/nestjs'
import { DatabaseModule } from './database.module.js'
import { HealthController } from './health.controller.js'
import { Mailer } from './mailer.js'
import { OrdersController } from './orders.controller.js'
import { OrdersService } from './orders.service.js'
import { topics } from './topics.js'

const config = defineConfig({
  database: { url: env('DATABASE_URL') },
  destinations: { mail: jobs({ queue: 'mail' }) },
  routes: { 'order.*': 'mail' },
})

@Module({
  imports: [
    DatabaseModule,
    WaybillModule.forRootAsync({
      imports: [DatabaseModule],
      inject: [Pool],
      useFactory: (pool: Pool) => ({
        topics,
        pool,
        dispatcher: { config, drainMs: 5_000 },
        worker: { drainMs: 5_000 },
      }),
    }),
  ],
  controllers: [OrdersController, HealthController],
  providers: [OrdersService, Mailer],
})
export class AppModule {}
