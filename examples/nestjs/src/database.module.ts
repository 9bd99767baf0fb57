import { Module, type OnApplicationShutdown } from '@nestjs/common'
import { Pool } from 'pg'

/** The pool of the application, ended when handlers of jobs no longer use it. */
@Module({
  providers: [
    { provide: Pool, useFactory: () => new Pool({ connectionString: process.env['DATABASE_URL'], max: 10 }) },
  ],
  exports: [Pool],
})
export class DatabaseModule implements OnApplicationShutdown {
  constructor(private readonly pool: Pool) {}

  async onApplicationShutdown(): Promise<void> {
    await this.pool.end()
  }
}
