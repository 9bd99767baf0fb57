import type { z } from 'zod'
import { jobsSettings } from './jobs.js'
import { kafkaSettings } from './kafka.js'
import { rabbitmqSettings } from './rabbitmq.js'
import { webhookSettings } from './webhook.js'

/** The schema of each kind of destination. A new kind is one line here, one helper in `../define.ts` and its adapter. */
export const destinationKinds: Readonly<Record<string, z.ZodType<object>>> = {
  webhook: webhookSettings,
  rabbitmq: rabbitmqSettings,
  kafka: kafkaSettings,
  jobs: jobsSettings,
}
